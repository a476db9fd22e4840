import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'vitest'
import { runAlertCommand } from '../../src/alert/command-run.ts'
import { childEnvironment } from '../../src/os/child-environment.ts'
import { printable } from '../../src/os/printable.ts'
import { commandOf } from '../../src/process/summary.ts'
import { run, temporaryDirectory } from '../support/children.ts'
import { Resident } from '../support/resident.ts'
import { freePort, skipFor, until } from '../support/tools.ts'
import { command, echoServer, withWatched } from '../support/watched.ts'

const asRoot = {
  skip: skipFor(process.getuid?.() !== 0 && 'only root can give files to another user'),
}

describe('The environment of what a monitor starts', () => {
  it('holds no secret of others: forwarders get none, and the gate’s token only where there is a gate', () =>
    withWatched(async (watched) => {
      const echo = await echoServer()
      const [plain, gated] = [await freePort(), await freePort()]
      const configuration = watched.file('c.json')
      const target = `localhost:${echo.port}`
      const proof = watched.file('environment-of-command')
      const forwards = [
        { name: 'plain', listen: plain, target },
        { name: 'gated', listen: gated, target, gate: 'token' },
      ]
      const alerts = {
        group: 0,
        channels: [
          // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
          { type: 'slack', url: '${SLACK_URL}' },
          { type: 'command', command: ['sh', '-c', `env > ${proof}`], environment: ['WANTED'] },
        ],
      }
      writeFileSync(
        configuration,
        JSON.stringify({ interval: '1s', restart: { failureThreshold: 1 }, alerts, forwards }),
      )
      const secrets = {
        SLACK_URL: 'http://127.0.0.1:9/slack-secret',
        PORT_WATCHDOG_GATE_TOKEN: 'token-of-sixteen-letters',
        AWS_SECRET_ACCESS_KEY: 'aws-secret',
        NOTIFY_SOCKET: '/nowhere',
        WANTED: 'wanted',
      }
      const words = command('proxy-monitor', '--config', configuration, '--state-dir', watched.directory)
      watched.adopt(new Resident(words, secrets))
      await watched.statusWhen(
        'both',
        ({ forwards }) => forwards.length === 2 && forwards.every(({ state }) => state === 'healthy'),
      )
      const environment = (port: number) => readFileSync(`/proc/${watched.pid(port)}/environ`, 'utf8')
      for (const port of [plain, gated]) {
        assert.doesNotMatch(environment(port), /slack-secret|aws-secret|NOTIFY_SOCKET/)
        assert.match(environment(port), /(^|\0)PATH=/)
      }
      assert.doesNotMatch(environment(plain), /token-of-sixteen/)
      assert.match(environment(gated), /token-of-sixteen/)
      await echo.close()
      const told = await until('the command', async () => {
        return existsSync(proof) ? readFileSync(proof, 'utf8') || undefined : undefined
      })
      assert.match(told, /^WANTED=wanted$/m)
      assert.doesNotMatch(told, /slack-secret|aws-secret|token-of-sixteen/)
    }))

  it('is a list', () => {
    const given = { PATH: '/bin', LC_ALL: 'C', NODE_AUTH_TOKEN: 'x', GITHUB_TOKEN: 'x', MINE: 'y' }
    assert.deepEqual(childEnvironment(given, ['MINE']), { PATH: '/bin', LC_ALL: 'C', MINE: 'y' })
  })
})

describe('The command of an alert channel', () => {
  it('is not run by root when another user can change it', asRoot, async (t) => {
    const folder = path.join(temporaryDirectory(t), 'bin')
    mkdirSync(folder)
    const [program, proof] = [path.join(folder, 'notify'), `${folder}.proof`]
    writeFileSync(program, `#!/bin/sh\ntouch ${proof}\n`, { mode: 0o755 })
    const how = { timeoutMs: 5_000, environment: { PATH: `${folder}:${process.env.PATH}` } }
    assert.equal((await runAlertCommand(['notify'], '', how)).kind, 'delivered')
    assert.ok(existsSync(proof))
    chownSync(folder, 65_534, 65_534)
    chmodSync(folder, 0o755)
    for (const words of [[program], ['notify']]) {
      const outcome = await runAlertCommand(words, '', how)
      assert.ok(outcome.kind === 'refused')
      assert.match(outcome.why, /root does not run it: .*belongs to another user/)
    }
  })
})

describe('What others have named', () => {
  it('is one line without controls: the title of a process', async () => {
    const title = 'x\n2026-11-26 01:02:03.000+00:00 ✓ FORGED\n\u202eRTL\u001b[2J (y)'
    const child = spawn('sleep', ['600'], { argv0: title })
    const { pid } = child
    assert.ok(pid)
    const told = await until('its title', async () => {
      const text = commandOf(pid) ?? ''
      return text.includes('600') ? text : undefined
    })
    child.kill('SIGKILL')
    assert.equal(told, 'x␊2026-11-26 01:02:03.000+00:00 ✓ FORGED␊<U+202E>RTL␛[2J [y] 600')
  })

  it('cannot write on the terminal: the keys of a configuration, the words of a command line', async (t) => {
    const file = path.join(temporaryDirectory(t), 'c.json')
    const key = '\u001b[2J\u001b]0;owned\u0007\u202e\u2028'
    writeFileSync(file, JSON.stringify({ forwards: [], [key]: 1 }))
    const check = await run('proxy-monitor', ['--check', '--config', file])
    const usage = await run('proxy-status', [`--${key}\nnew line`])
    for (const { stdout, stderr, code } of [check, usage]) {
      assert.notEqual(code, 0)
      assert.equal(stdout, '')
      assert.equal(printable(stderr), stderr)
      assert.equal(stderr.split('\n').length, 2, stderr)
    }
  })

  for (const [what, how] of [
    ['an exception that nothing catches', 'setTimeout(() => { throw new Error(text) }, 1)'],
    ['a rejection that nothing catches', 'Promise.reject(new Error(text))'],
  ]) {
    it(`cannot forge an entry of the log: ${what}`, () =>
      withWatched(async (watched) => {
        const forged = '2026-11-26 01:02:03.000+00:00 ✓ FORGED'
        const preload = watched.file('fails.mjs')
        writeFileSync(
          preload,
          `const text = ${JSON.stringify(`x\n${forged}\u001b[2J\u202e`)}
          process.once('SIGWINCH', () => { ${how} })`,
        )
        const port = await freePort()
        const [node = '', ...words] = command('tcp-proxy', String(port), 'localhost', '1')
        const place = ['--state-dir', watched.directory]
        const argv = [node, '--import', preload, ...words, ...place]
        const forwarder = watched.adopt(new Resident(argv, {}))
        await forwarder.line(/Listening/)
        process.kill(forwarder.pid, 'SIGWINCH')
        assert.equal(await forwarder.ended(), 70)
        assert.match(forwarder.output, /^tcp-proxy: a fault in port-watchdog: x␊2026.*FORGED␛\[2J<U\+202E>$/m)
        assert.doesNotMatch(forwarder.output, new RegExp(`^${forged.slice(0, 10)}.*FORGED`, 'm'))
        assert.equal(printable(forwarder.output), forwarder.output)
      }))
  }
})
