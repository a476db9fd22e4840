import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseProcStat } from '../../src/os/linux/processes.ts'
import { system } from '../../src/os/system.ts'
import {
  identityOf,
  isExiting,
  judgeProcess,
  ownIdentity,
  type ProcessIdentity,
  signalProcess,
} from '../../src/process/identity.ts'
import { Resident } from '../support/resident.ts'
import { onEverySystem } from '../support/systems.ts'
import { until } from '../support/tools.ts'

async function judgedAs(identity: ProcessIdentity, verdict: string): Promise<void> {
  await until(`verdict ${verdict}`, async () => (judgeProcess(identity) === verdict ? true : undefined))
}

function provenIdentity(pid: number): ProcessIdentity {
  const identity = identityOf(pid)
  if (identity === undefined) throw new Error(`${pid} has no identity`)
  return identity
}

/** The start time of a process that was started before this one. */
const earlier = (startTime: string) =>
  system.name === 'linux' ? String(Number(startTime) - 1) : 'Thu Jan 1 00:00:01 1970'

onEverySystem('A process', () => {
  it('is alive, stopped, alive again, gone, by its own word each', async () => {
    const sleeper = new Resident(['sleep', '600'], {})
    const identity = provenIdentity(sleeper.pid)
    expect(judgeProcess(identity)).toBe('alive')
    process.kill(sleeper.pid, 'SIGSTOP')
    await judgedAs(identity, 'stopped')
    process.kill(sleeper.pid, 'SIGCONT')
    await judgedAs(identity, 'alive')
    await sleeper.stop('SIGKILL')
    expect(judgeProcess(identity)).toBe('gone')
  })

  it('that ended and was not waited for is a zombie, although kill(pid, 0) says it is there', async () => {
    const script = `
import os, sys, time
child = os.fork()
if child == 0: os._exit(0)
print(child, flush=True)
time.sleep(600)`
    const parent = new Resident(['python3', '-c', script], {})
    // The child is a zombie as soon as it has ended: its parent never waits.
    const pid = Number(await parent.line(/^\d+$/))
    const identity = await until('the child', async () => identityOf(pid))
    await judgedAs(identity, 'zombie')
    expect(() => process.kill(pid, 0)).not.toThrow()
    expect(signalProcess(identity, 'SIGTERM'), 'nobody to signal').toBe(false)
    await parent.stop('SIGKILL')
  })

  it('with the PID of another is reused, and never signalled', async () => {
    const stranger = new Resident(['sleep', '600'], {})
    const identity = provenIdentity(stranger.pid)
    const recorded = { ...identity, startTime: earlier(identity.startTime) }
    expect(judgeProcess(recorded)).toBe('reused')
    expect(signalProcess(recorded, 'SIGKILL')).toBe(false)
    expect(judgeProcess({ ...identity, bootId: 'another' })).toBe('reused')
    expect(judgeProcess(identity)).toBe('alive')
    await stranger.stop('SIGKILL')
  })

  it('of another PID namespace, or without a start time, is unverifiable, and never signalled', () => {
    const own = ownIdentity()
    for (const doubtful of [
      { ...own, pidNamespace: 'pid:[1]' },
      { ...own, startTime: 'unknown' },
    ]) {
      expect(judgeProcess(doubtful)).toBe('unverifiable')
      expect(signalProcess(doubtful, 'SIGTERM')).toBe(false)
    }
  })

  it('of another boot has ended, whatever its PID namespace was', () => {
    const recorded = { ...ownIdentity(), bootId: 'another', pidNamespace: 'pid:[1]' }
    expect(judgeProcess(recorded)).toBe('reused')
    expect(judgeProcess({ ...recorded, pid: 2 ** 22 + 1 })).toBe('gone')
  })

  it('says of itself what the system says', () => {
    expect(ownIdentity()).toEqual(identityOf(process.pid))
  })
})

describe('In /proc a process', () => {
  it('is known to be on its way out while it still looks alive', async () => {
    // The kernel takes a while to give so much memory back.
    const large = spawn('python3', [
      '-c',
      'import sys; b = b"x" * (1 << 30); print(flush=True); sys.stdin.read()',
    ])
    await once(large.stdout, 'data')
    const identity = provenIdentity(large.pid ?? 0)
    expect(isExiting(identity)).toBe(false)
    large.kill('SIGKILL')
    let seen = false
    while (judgeProcess(identity) === 'alive') seen ||= isExiting(identity)
    expect(seen).toBe(true)
    await once(large, 'exit')
  })

  it('is read whatever its name is', () => {
    const rest = 'S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21'
    fc.assert(
      fc.property(fc.string(), (name) => {
        const facts = { parent: 1, processGroup: 2, session: 3, cpuTicks: 11 + 12 }
        const expected = { state: 'S', startTime: '4711', isExiting: true, ...facts }
        expect(parseProcStat(`12 (${name}) ${rest}`)).toEqual(expected)
      }),
    )
    expect(parseProcStat('')).toBeUndefined()
    expect(parseProcStat('12 (x) S 1')).toBeUndefined()
  })
})
