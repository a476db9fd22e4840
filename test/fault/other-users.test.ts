import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import { run, temporaryDirectory } from '../support/children.ts'
import { freePort, skipFor } from '../support/tools.ts'
import { askThrough, echoServer, withWatched } from '../support/watched.ts'

/** A user who is neither root nor the one that runs the tests. */
const stranger = 65_534
const asRoot = {
  skip: skipFor(process.getuid?.() !== 0 && 'only root can give files to another user'),
}

/** A folder of another user with a configuration in it. */
function foreign(t: TestContext, text = 'forwards: []\n'): { folder: string; file: string } {
  const folder = path.join(temporaryDirectory(t), 'foreign')
  mkdirSync(folder)
  const file = path.join(folder, 'pw.yaml')
  writeFileSync(file, text)
  return { folder, file }
}

const giveAway = (file: string) => chownSync(file, stranger, stranger)

/** The records of a monitor, as far as a reader looks for them: one that is a FIFO. */
function plantedRecords(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const name of [
    'runtime-state.json',
    'proxy_monitor.log',
    'events.jsonl',
    'alerts.json',
    'alert_x.json',
  ]) {
    execFileSync('mkfifo', [path.join(folder, name)])
  }
}

describe('A configuration that another user may write', () => {
  for (const [what, spoil] of [
    ['because it is his', ({ file }: ReturnType<typeof foreign>) => giveAway(file)],
    ['because its folder is his', ({ folder }: ReturnType<typeof foreign>) => giveAway(folder)],
    ['because everybody may', ({ file }: ReturnType<typeof foreign>) => chmodSync(file, 0o666)],
  ] as const) {
    it(`${what}, is refused with the cure`, asRoot, async (t) => {
      const made = foreign(t)
      spoil(made)
      const { code, stderr } = await run('proxy-monitor', ['--check', '--config', made.file])
      assert.equal(code, 78)
      assert.match(stderr, /^proxy-monitor: .*cannot be trusted; ch(own 0|mod go-w) \/\S+\n$/)
    })
  }

  it('takes no effect in a monitor that runs', asRoot, (t) =>
    withWatched(async (watched) => {
      const { file } = foreign(t)
      const monitor = watched.start('proxy-monitor', '--config', file)
      await monitor.line(/Monitor started/)
      giveAway(file)
      const proof = path.join(watched.directory, 'proof')
      writeFileSync(
        file,
        `forwards: []\nalerts: { channels: [{ type: command, command: [touch, ${proof}] }] }\n`,
      )
      await watched.logLine(/Configuration file rejected.*belongs to another user/)
      assert.ok(!existsSync(proof))
    }),
  )

  it('is refused for a user who is not root, too', asRoot, async (t) => {
    const { file } = foreign(t)
    chmodSync(path.dirname(path.dirname(file)), 0o755)
    chownSync(file, 12_345, 12_345)
    const monitor = path.resolve('dist/bin/proxy-monitor.cjs')
    const asUser = [
      '--reuid',
      String(stranger),
      '--regid',
      String(stranger),
      '--clear-groups',
      process.execPath,
    ]
    const refused = () =>
      execFileSync('setpriv', [...asUser, monitor, '--check', '--config', file], { stdio: 'pipe' })
    assert.throws(refused, (error) => {
      assert.match(String((error as { stderr: Buffer }).stderr), /belongs to another user \(uid 12345\)/)
      return true
    })
  })
})

describe('A FIFO', () => {
  it('as the configuration is refused at once', async (t) => {
    const fifo = path.join(temporaryDirectory(t), 'c.yaml')
    execFileSync('mkfifo', [fifo])
    const { code, stderr } = await run('proxy-monitor', ['--config', fifo])
    assert.equal(code, 78)
    assert.match(stderr, /c\.yaml is a FIFO, not a regular file\n$/)
  })

  it('among the records keeps neither the status nor the logs waiting', async (t) => {
    const directory = temporaryDirectory(t)
    plantedRecords(directory)
    const status = await run('proxy-status', ['--state-dir', directory])
    assert.match(status.stdout + status.stderr, /is a FIFO, not a regular file/)
    await run('proxy-log', ['--state-dir', directory])
    await run('proxy-log', ['--state-dir', directory, '--why', 'web'])
    await run('proxy-status', ['--state-dir', directory, '--history'])
  })
})

describe('A state directory', () => {
  it('below a folder of another user is refused before anything is written', asRoot, async (t) => {
    const { folder } = foreign(t)
    giveAway(folder)
    const directory = path.join(folder, 'state')
    const { code, stderr } = await run('proxy-monitor', ['--state-dir', directory])
    assert.equal(code, 78)
    assert.match(stderr, /belongs to another user .*choose another --state-dir\n$/)
    assert.ok(!existsSync(directory))
  })

  it(
    'that another user has made in a runtime directory that su left over is neither used nor believed',
    asRoot,
    async (t) => {
      const home = temporaryDirectory(t)
      const runtime = path.join(home, 'run')
      plantedRecords(path.join(runtime, 'port-watchdog'))
      for (const each of [runtime, path.join(runtime, 'port-watchdog')]) giveAway(each)
      const environment = { XDG_RUNTIME_DIR: runtime, XDG_STATE_HOME: path.join(home, 'state'), TMPDIR: home }
      const { stdout, stderr } = await run('proxy-status', [], environment)
      assert.doesNotMatch(stdout + stderr, /FIFO/)
      assert.doesNotMatch(stdout + stderr, new RegExp(runtime))
    },
  )
})

describe('An access log', () => {
  it('is not written through the link of another user', asRoot, async (t) => {
    const { folder } = foreign(t)
    const precious = path.join(temporaryDirectory(t), 'precious')
    writeFileSync(precious, 'text')
    giveAway(folder)
    const log = path.join(folder, 'access.log')
    symlinkSync(precious, log)
    const echo = await echoServer()
    const port = await freePort()
    await withWatched(async (watched) => {
      await watched.monitor([{ name: 'web', listen: port, target: `localhost:${echo.port}`, accessLog: log }])
      await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy')
      assert.equal(await askThrough(port), 'hello')
    })
    assert.equal(readFileSync(precious, 'utf8'), 'text')
    await echo.close()
  })
})
