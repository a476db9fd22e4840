import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  identityOf,
  isExiting,
  judgeProcess,
  ownIdentity,
  parseProcStat,
  signalProcess,
} from '../../src/os/process-identity.ts'
import { Resident } from '../support/resident.ts'
import { until } from '../support/tools.ts'

async function judgedAs(identity: Parameters<typeof judgeProcess>[0], verdict: string): Promise<void> {
  await until(`verdict ${verdict}`, async () => (judgeProcess(identity) === verdict ? true : undefined))
}

describe('A process', () => {
  it('is alive, stopped, alive again, gone, by its own word each', async () => {
    const sleeper = new Resident(['sleep', '600'], {})
    const identity = identityOf(sleeper.pid)
    assert.ok(identity)
    assert.equal(judgeProcess(identity), 'alive')
    process.kill(sleeper.pid, 'SIGSTOP')
    await judgedAs(identity, 'stopped')
    process.kill(sleeper.pid, 'SIGCONT')
    await judgedAs(identity, 'alive')
    await sleeper.stop('SIGKILL')
    assert.equal(judgeProcess(identity), 'gone')
  })

  it('that ended and was not waited for is a zombie, although kill(pid, 0) says it is there', async () => {
    const script = `
import os, sys, time
child = os.fork()
if child == 0: os._exit(0)
print(child, flush=True)
sys.stdin.read()`
    const parent = new Resident(['python3', '-c', script], {})
    // The child is a zombie as soon as it has ended: its parent never waits.
    const pid = Number(await parent.line(/^\d+$/))
    const identity = await until('the child', async () => identityOf(pid))
    await judgedAs(identity, 'zombie')
    assert.doesNotThrow(() => process.kill(pid, 0))
    assert.equal(signalProcess(identity, 'SIGTERM'), false, 'nobody to signal')
    await parent.stop('SIGKILL')
  })

  it('with the PID of another is reused, and never signalled', async () => {
    const stranger = new Resident(['sleep', '600'], {})
    const identity = identityOf(stranger.pid)
    assert.ok(identity)
    const recorded = { ...identity, startTime: String(Number(identity.startTime) - 1) }
    assert.equal(judgeProcess(recorded), 'reused')
    assert.equal(signalProcess(recorded, 'SIGKILL'), false)
    assert.equal(judgeProcess({ ...identity, bootId: 'another' }), 'reused')
    assert.equal(judgeProcess(identity), 'alive')
    await stranger.stop('SIGKILL')
  })

  it('of another PID namespace, or without a start time, is unverifiable, and never signalled', () => {
    const own = ownIdentity()
    for (const doubtful of [
      { ...own, pidNamespace: 'pid:[1]' },
      { ...own, startTime: 'unknown' },
    ]) {
      assert.equal(judgeProcess(doubtful), 'unverifiable')
      assert.equal(signalProcess(doubtful, 'SIGTERM'), false)
    }
  })

  it('of another boot has ended, whatever its PID namespace was', () => {
    const recorded = { ...ownIdentity(), bootId: 'another', pidNamespace: 'pid:[1]' }
    assert.equal(judgeProcess(recorded), 'reused')
    assert.equal(judgeProcess({ ...recorded, pid: 2 ** 22 + 1 }), 'gone')
  })

  it('is known to be on its way out while it still looks alive', async () => {
    // The kernel takes a while to give so much memory back.
    const large = spawn('python3', [
      '-c',
      'import sys; b = b"x" * (1 << 30); print(flush=True); sys.stdin.read()',
    ])
    await once(large.stdout, 'data')
    const identity = identityOf(large.pid ?? 0)
    assert.ok(identity)
    assert.equal(isExiting(identity), false)
    large.kill('SIGKILL')
    let seen = false
    while (judgeProcess(identity) === 'alive') seen ||= isExiting(identity)
    assert.equal(seen, true)
    await once(large, 'exit')
  })

  it('is read whatever its name is', () => {
    const rest = 'S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21'
    fc.assert(
      fc.property(fc.string(), (name) => {
        const facts = { parent: 1, processGroup: 2, session: 3, cpuTicks: 11 + 12 }
        const expected = { state: 'S', startTime: '4711', isExiting: true, ...facts }
        assert.deepEqual(parseProcStat(`12 (${name}) ${rest}`), expected)
      }),
    )
    assert.equal(parseProcStat(''), undefined)
    assert.equal(parseProcStat('12 (x) S 1'), undefined)
  })

  it('says of itself what the kernel says', () => {
    assert.deepEqual(ownIdentity(), identityOf(process.pid))
  })
})
