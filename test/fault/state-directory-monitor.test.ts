// The files of a running monitor are removed or renamed, or its directory is gone and cannot be made again.
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe } from 'vitest'
import { readRing } from '../../src/log/ring-log.ts'
import { readJournal } from '../../src/record/journal.ts'
import type { ForwardEventKind } from '../../src/record/shapes/journal.ts'
import { it } from '../support/fixtures.ts'
import { healthyAs, startMonitor } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { freePort, run, until } from '../support/tools.ts'
import { askThrough, command, echoServer } from '../support/watched.ts'

const isLinux = process.platform === 'linux'

const there = (file: string) => until(file, async () => existsSync(file) || undefined)

function deletedFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${descriptor}`)
      return target.endsWith(' (deleted)') && target.startsWith('/tmp/') ? [target] : []
    } catch {
      return []
    }
  })
}

/** The log tells it first, the journal follows. */
async function inJournal(directory: string, kind: ForwardEventKind): Promise<true | undefined> {
  const journal = await readJournal(directory)
  return journal.some((entry) => entry.event === 'forward' && entry.kind === kind) || undefined
}

describe('A running monitor whose files are removed', () => {
  it('writes each of them again, and what happens then is in them', async ({ watched }) => {
    const [echo, port] = [await echoServer(), await freePort()]
    const monitor = await startMonitor(watched, {
      forwards: [{ name: 'web', listen: port, target: `localhost:${echo.port}` }],
    })
    const { pid } = await healthyAs(watched, port)
    const names = ['proxy_monitor.log', 'proxy-logs.jsonl', 'events.jsonl', 'runtime-state.json']
    for (const name of names) {
      unlinkSync(watched.file(name))
      await there(watched.file(name))
    }
    // Which of them it names depends on what it has just written by itself.
    await watched.logLine(/Restored missing files: /)
    process.kill(pid, 'SIGKILL')
    await healthyAs(watched, port, pid)
    await watched.logLine(/was killed by SIGKILL/)
    assert.ok(readRing(watched.file('proxy-logs.jsonl')).some(({ message }) => /SIGKILL/.test(message)))
    await until('the death in the journal', () => inJournal(watched.directory, 'died'))
    if (isLinux) assert.deepEqual(deletedFiles(monitor.pid), [])
    await echo.close()
  })

  it('opens its logs anew on SIGHUP, as logrotate expects', async ({ watched }) => {
    const monitor = await startMonitor(watched, { forwards: [] })
    await there(watched.file('proxy_monitor.log'))
    renameSync(watched.file('proxy_monitor.log'), watched.file('rotated'))
    process.kill(monitor.pid, 'SIGHUP')
    await there(watched.file('proxy_monitor.log'))
    await watched.logLine(/SIGHUP/)
    assert.doesNotMatch(readFileSync(watched.file('rotated'), 'utf8'), /SIGHUP/)
  })

  it('says that others can enter its directory, and goes on', async ({ watched }) => {
    const monitor = await startMonitor(watched, { forwards: [] })
    chmodSync(watched.directory, 0o755)
    await monitor.line(/Other users can enter the state directory .*: chmod 700 /)
  })
})

describe('A monitor whose directory is gone and cannot be made again', () => {
  it('watches on, remembers what happens, and writes it when it can', async ({ watched }) => {
    const [echo, port] = [await echoServer(), await freePort()]
    const parent = watched.file('run')
    const directory = join(parent, 'port-watchdog')
    mkdirSync(parent)
    const forwards = [{ name: 'web', listen: port, target: `127.0.0.1:${echo.port}`, targetCheck: '1s' }]
    writeFileSync(watched.file('c.json'), JSON.stringify({ interval: '1s', forwards }))
    const words = ['--config', watched.file('c.json'), '--state-dir', directory]
    const monitor = watched.adopt(new Resident(command('proxy-monitor', ...words), {}))
    const status = async () => {
      const { stdout } = await run(command('proxy-status', '--json', '--state-dir', directory))
      return JSON.parse(stdout)
    }
    const wellAs = (pid?: number) =>
      until('the forward is healthy', async () => {
        const { monitor: seen, forwards: all } = await status()
        const isWell = seen.state === 'RUNNING' && seen.cause === null && all[0]?.state === 'healthy'
        return isWell && (pid === undefined || all[0].pid === pid) ? (all[0].pid as number) : undefined
      })
    const pid = await wellAs()
    rmSync(parent, { recursive: true, maxRetries: 5 })
    // Even root cannot make a folder below a file.
    writeFileSync(parent, '')
    await monitor.line(/The state cannot be written: .*; monitoring continues/)
    assert.equal(await askThrough(port), 'hello')
    await echo.close()
    // News that only a monitor that watches can have.
    await monitor.line(/target .* (?:does not answer|no longer answers|stopped answering)/i)
    if (isLinux) assert.deepEqual(deletedFiles(monitor.pid), [])
    unlinkSync(parent)
    await monitor.line(/The state can be written again/)
    const again = await echoServer(echo.port)
    await wellAs(pid)
    const log = readFileSync(join(directory, 'proxy_monitor.log'), 'utf8')
    assert.match(log, /The state cannot be written/)
    await until('the silent target in the journal', () => inJournal(directory, 'target-down'))
    assert.ok(monitor.isRunning)
    await again.close()
    process.kill(pid, 'SIGKILL')
  })
})
