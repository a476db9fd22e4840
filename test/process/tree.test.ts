import { describe, expect, it } from 'vitest'
import { system } from '../../src/os/system.ts'
import { identityOf } from '../../src/process/identity.ts'
import { processTree } from '../../src/process/tree.ts'
import { Resident } from '../support/resident.ts'
import { onEverySystem } from '../support/systems.ts'
import { until } from '../support/tools.ts'

const treeOf = (pid: number) => {
  const identity = identityOf(pid)
  return identity === undefined ? [] : processTree(identity, system.processTable()).map((entry) => entry.pid)
}

onEverySystem('A tree of processes', () => {
  it('holds the members of its session, orphans too, and not who left with a session of their own', async () => {
    const script =
      'sleep 600 & echo child $!; (sleep 601 & echo orphan $!); setsid sleep 602 & echo left $!; wait'
    const leader = new Resident(['bash', '-c', script], {})
    const pidIn = async (pattern: RegExp) => Number((await leader.line(pattern)).split(' ')[1])
    const [child, orphan, left] = [await pidIn(/^child/), await pidIn(/^orphan/), await pidIn(/^left/)]
    await until('it has left', async () => {
      return system.processTable().find(({ pid }) => pid === left)?.session === left || undefined
    })
    expect(new Set(treeOf(leader.pid))).toEqual(new Set([leader.pid, child, orphan]))
    const another = { pid: leader.pid, startTime: '1' }
    expect(processTree(another, system.processTable()), 'another of that PID').toEqual([])
    process.kill(left, 'SIGKILL')
    await leader.stop('SIGKILL')
    expect(treeOf(leader.pid)).toEqual([])
  })

  it('holds the descendants of one that leads nothing, and not their neighbours', async () => {
    const script =
      'bash -c "sleep 600 & echo child \\$!; wait" & echo parent $!; sleep 601 & echo other $!; wait'
    const shell = new Resident(['bash', '-c', script], {})
    const pidIn = async (pattern: RegExp) => Number((await shell.line(pattern)).split(' ')[1])
    const [parent, child] = [await pidIn(/^parent/), await pidIn(/^child/)]
    await pidIn(/^other/)
    expect(new Set(treeOf(parent))).toEqual(new Set([parent, child]))
    await shell.stop('SIGKILL')
  })
})

describe('The memory of a process', () => {
  it('is counted without what others share with it', () => {
    const own = system.memoryOf(process.pid) ?? 0
    expect(own).toBeGreaterThan(0)
    expect(own).toBeLessThanOrEqual(process.memoryUsage.rss() * 1.2)
  })
})
