import { afterEach, describe, expect, it, vi } from 'vitest'
import { system } from '../../src/os/system.ts'
import { endProcesses } from '../../src/process/ending.ts'
import { identityOf } from '../../src/process/identity.ts'
import { awayFrom, runVariable } from '../../src/process/program-mark.ts'
import { nextProcessTable, processTableOfTurn } from '../../src/process/table.ts'
import { Resident } from '../support/resident.ts'
import { until } from '../support/tools.ts'

afterEach(() => void vi.restoreAllMocks())

const demandIdentity = (pid: number) => {
  const identity = identityOf(pid)
  if (identity === undefined) throw new Error(`${pid} does not run`)
  return identity
}

describe('The process table', () => {
  it('is read once for all who ask in one turn, and after they have asked', async () => {
    const read = vi.spyOn(system, 'processTable')
    const asked = [nextProcessTable(), nextProcessTable()]
    expect(read).not.toHaveBeenCalled()
    const [one, other] = await Promise.all(asked)
    expect(one).toBe(other)
    expect(read).toHaveBeenCalledTimes(1)
    expect(await nextProcessTable()).not.toBe(one)
  })

  it('of a turn is read at its first call, and again in the next one', async () => {
    const one = processTableOfTurn()
    expect(processTableOfTurn()).toBe(one)
    await new Promise((resolve) => setImmediate(resolve))
    expect(processTableOfTurn()).not.toBe(one)
  })

  it('is read twice for programs that are ended together, however many: to know them, and that nothing is left', async () => {
    const residents = Array.from({ length: 12 }, () => new Resident(['sleep', '600'], {}))
    const identities = residents.map(({ pid }) => demandIdentity(pid))
    const read = vi.spyOn(system, 'processTable')
    const left = await Promise.all(identities.map((identity) => endProcesses(identity, 10_000, () => false)))
    expect(left.flat()).toEqual([])
    // They need not be seen to end in the same turn.
    expect(read.mock.calls.length).toBeLessThanOrEqual(6)
  })

  it('tells what each of several starts has left in sessions of their own, in one look', async () => {
    const started = ['first', 'second'].map((run) => {
      const script = 'setsid sleep 600 & echo away $!; wait'
      return { run, leader: new Resident(['bash', '-c', script], { [runVariable]: run }) }
    })
    const pids = await Promise.all(
      started.map(async ({ leader }) => Number((await leader.line(/^away/)).split(' ')[1])),
    )
    for (const pid of pids) {
      const hasLeft = () => system.processTable().find((one) => one.pid === pid)?.session === pid
      await until('it has begun a session', async () => hasLeft() || undefined)
    }
    const read = vi.spyOn(system, 'processTable')
    const away = await Promise.all(
      started.map(({ run, leader }) => awayFrom(demandIdentity(leader.pid), run)),
    )
    expect(away.map((found) => found.map(({ pid }) => pid))).toEqual(pids.map((pid) => [pid]))
    expect(read).toHaveBeenCalledTimes(1)
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    for (const { leader } of started) await leader.stop('SIGKILL')
  })
})
