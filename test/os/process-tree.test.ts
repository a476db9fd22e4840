import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { identityOf } from '../../src/os/process-identity.ts'
import { processMemory } from '../../src/os/process-memory.ts'
import { processTable, processTree } from '../../src/os/process-tree.ts'
import { Resident } from '../support/resident.ts'
import { until } from '../support/tools.ts'

const treeOf = (pid: number) => {
  const identity = identityOf(pid)
  return identity === undefined ? [] : processTree(identity, processTable()).map((entry) => entry.pid)
}

describe('A tree of processes', { timeout: 30_000 }, () => {
  it('holds the members of its session, orphans too, and not who left with a session of their own', async () => {
    const script =
      'sleep 600 & echo child $!; (sleep 601 & echo orphan $!); setsid sleep 602 & echo left $!; wait'
    const leader = new Resident(['bash', '-c', script], {})
    const pidIn = async (pattern: RegExp) => Number((await leader.line(pattern)).split(' ')[1])
    const [child, orphan, left] = [await pidIn(/^child/), await pidIn(/^orphan/), await pidIn(/^left/)]
    await until('it has left', async () => {
      return processTable().find(({ pid }) => pid === left)?.session === left || undefined
    })
    assert.deepEqual(new Set(treeOf(leader.pid)), new Set([leader.pid, child, orphan]))
    const identity = identityOf(leader.pid)
    assert.ok(identity)
    assert.deepEqual(processTree({ ...identity, startTime: '1' }, processTable()), [], 'another of that PID')
    process.kill(left, 'SIGKILL')
    await leader.stop('SIGKILL')
    assert.deepEqual(treeOf(leader.pid), [])
  })

  it('holds the descendants of one that leads nothing, and not their neighbours', async () => {
    const script =
      'bash -c "sleep 600 & echo child \\$!; wait" & echo parent $!; sleep 601 & echo other $!; wait'
    const shell = new Resident(['bash', '-c', script], {})
    const pidIn = async (pattern: RegExp) => Number((await shell.line(pattern)).split(' ')[1])
    const [parent, child] = [await pidIn(/^parent/), await pidIn(/^child/)]
    await pidIn(/^other/)
    assert.deepEqual(new Set(treeOf(parent)), new Set([parent, child]))
    await shell.stop('SIGKILL')
  })
})

describe('The memory of a process', () => {
  it('rises by what it fills', async () => {
    const script = `
import sys
print("before", flush=True)
sys.stdin.readline()`
    assert.equal(processMemory(2 ** 22 + 1), undefined, 'nobody')
    const small = new Resident(['python3', '-c', script], {})
    const large = new Resident(
      [
        'python3',
        '-c',
        `held = b"x" * (64 << 20)\nprint("before", flush=True)\nimport time\ntime.sleep(600)`,
      ],
      {},
    )
    await small.line(/before/)
    await large.line(/before/)
    const before = process.memoryUsage.rss()
    assert.ok((processMemory(large.pid) ?? 0) > 64 << 20)
    assert.ok((processMemory(large.pid) ?? 0) < 96 << 20)
    const own = processMemory(process.pid) ?? 0
    assert.ok(own > 0 && own <= before * 1.2, `${own} of ${before}`)
    await small.stop('SIGKILL')
    await large.stop('SIGKILL')
  })
})
