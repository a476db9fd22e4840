import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'vitest'
import { parseJournalLine } from '../../src/record/journal.ts'
import type { StatusReport } from '../../src/record/shapes/status-report.ts'
import { commandFile, RunningCommand, run, temporaryDirectory } from '../support/children.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

/** A file system of its own, so small that it can be filled; undefined where this user may not mount. */
function tinyDisk(t: TestContext): string | undefined {
  const directory = mkdtempSync(path.join(tmpdir(), 'pw-disk-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=0700', 'tmpfs', directory])
  t.onTestFinished(() => {
    if (mounted.status === 0) execFileSync('umount', ['-l', directory])
    rmSync(directory, { recursive: true })
  })
  if (mounted.status === 0) return directory
  const why = `this user cannot mount a file system (${mounted.error ?? mounted.stderr})`
  void t.annotate(why)
  t.skip(why)
  return undefined
}

interface Scene {
  readonly directory: string
  readonly port: number
  readonly monitor: RunningCommand
  readonly status: () => Promise<StatusReport>
}

/** A monitor with one forward, its records on the tiny disk. */
async function watchOn(t: TestContext, directory: string): Promise<Scene> {
  const [port, target] = [await freePort(), await echoServer()]
  t.onTestFinished(() => target.close())
  const configuration = path.join(temporaryDirectory(t), 'c.json')
  const forwards = [{ name: 'web', listen: port, target: `127.0.0.1:${target.port}` }]
  writeFileSync(configuration, JSON.stringify({ interval: '1s', forwards }))
  const words = ['--config', configuration, '--state-dir', directory, '--stop-forwards']
  const monitor = new RunningCommand(commandFile('proxy-monitor'), words)
  t.onTestFinished(async () => {
    monitor.child.kill('SIGTERM')
    await monitor.ended
  })
  await monitor.until((out) => out.includes('started successfully'))
  const status = async () => {
    const { stdout } = await run('proxy-status', ['--json', '--state-dir', directory])
    return JSON.parse(stdout) as StatusReport
  }
  assert.equal(await askThrough(port), 'hello')
  return { directory, port, monitor, status }
}

async function staysWatched({ monitor, port, status }: Scene, code: string, cure: () => void): Promise<void> {
  await monitor.until((out) => out.includes('The state cannot be written'))
  const report = await status()
  assert.equal(report.monitor.state, 'RUNNING')
  assert.equal(report.monitor.cause, 'records')
  assert.match(report.monitor.reason ?? '', new RegExp(code))
  assert.equal(report.exitCode, 151)
  assert.equal(report.forwards[0]?.state, 'healthy')
  assert.equal(await askThrough(port), 'hello')
  cure()
  const out = await monitor.until((text) => text.includes('The state can be written again'))
  assert.equal(out.split('The state cannot be written').length - 1, 1, 'said more than once')
  const after = await status()
  assert.deepEqual([after.monitor.cause, after.exitCode], [null, 0])
}

test('disk full (ENOSPC): the watching goes on, it is said once and in proxy-status, and it is over when there is room', async (t) => {
  const directory = tinyDisk(t)
  if (directory === undefined) return
  const scene = await watchOn(t, directory)
  const filler = path.join(directory, 'filler')
  fill(filler)
  await staysWatched(scene, 'ENOSPC', () => rmSync(filler))
  const log = readFileSync(path.join(directory, 'proxy_monitor.log'), 'utf8')
  assert.match(log, /The state can be written again/)
})

test('disk full (ENOSPC): a forward that dies meanwhile is back when there is room, and the journal tells of the loss', async (t) => {
  const directory = tinyDisk(t)
  if (directory === undefined) return
  const scene = await watchOn(t, directory)
  const before = (await scene.status()).forwards[0]?.pid
  assert.ok(before)
  const filler = path.join(directory, 'filler')
  fill(filler)
  await scene.monitor.until((out) => out.includes('The state cannot be written'))
  process.kill(before, 'SIGKILL')
  // The line of its first start says "is not running, starting it".
  await scene.monitor.until((out) => /is not running.*failure/.test(out))
  // What a start needs room for is this machine's lack, and told as that.
  await scene.monitor.until((out) =>
    /web (cannot be started: .*disk|started successfully[\s\S]*started successfully)/.test(out),
  )
  rmSync(filler)
  const words = ['--wait', 'healthy', '--timeout', '60s', '--state-dir', directory]
  const waited = await run('proxy-status', words)
  assert.equal(waited.code, 0, waited.stdout + waited.stderr)
  assert.equal(await askThrough(scene.port), 'hello')
  const journal = () =>
    readFileSync(path.join(directory, 'events.jsonl'), 'utf8').split('\n').flatMap(parseJournalLine)
  await until('the death, or the loss of it, in the journal', async () => {
    const isTold = journal().some(
      (entry) => entry.event === 'events-lost' || (entry.event === 'forward' && entry.kind === 'died'),
    )
    return isTold || undefined
  })
})

test('disk read-only (EROFS): the watching goes on, it is said, and it is over when it can be written', async (t) => {
  const directory = tinyDisk(t)
  if (directory === undefined) return
  const scene = await watchOn(t, directory)
  // A file system with files open for writing cannot be made read-only; a second mount of it over the first one can.
  execFileSync('mount', ['--bind', directory, directory])
  execFileSync('mount', ['-o', 'remount,bind,ro', directory])
  await staysWatched(scene, 'EROFS', () => execFileSync('umount', ['-l', directory]))
})

/** Takes all the room there is. */
function fill(file: string): void {
  spawnSync('dd', ['if=/dev/zero', `of=${file}`, 'bs=4096'])
}
