import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { run } from '../support/children.ts'
import { it } from '../support/fixtures.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

const umbrella = (...words: string[]) => run('port-watchdog', words)

describe('port-watchdog', () => {
  it('is no command, so that npx port-watchdog finds nothing to run', async () => {
    const help = await umbrella('--help')
    assert.equal(help.code, 0)
    for (const word of ['start', 'status', 'log', 'forward', 'install-service']) {
      assert.match(help.stdout, new RegExp(`^ {2}${word} `, 'm'))
    }
  })

  it('prints its help on stderr and ends with 64 when it is given nothing', async () => {
    const { code, stdout, stderr } = await umbrella()
    assert.deepEqual({ code, stdout }, { code: 64, stdout: '' })
    assert.match(stderr, /^Usage: port-watchdog COMMAND/)
  })

  it('suggests a command for an unknown word', async () => {
    const { code, stderr } = await umbrella('statsu')
    assert.equal(code, 64)
    assert.match(stderr, /unknown command 'statsu' \(Did you mean status\?\)/)
    assert.equal(stderr.split('\n').length, 2)
  })

  it('shows the help of a command, under the name by which it was called', async () => {
    for (const words of [
      ['help', 'log'],
      ['log', '--help'],
    ]) {
      assert.match((await umbrella(...words)).stdout, /^Usage: port-watchdog log /)
    }
    assert.match((await umbrella('forward', '--help')).stdout, /^Usage: port-watchdog forward /)
  })

  it('gives each command its options, exit codes and mistakes', async ({ watched }) => {
    const told = await umbrella('status', '--json', '--state-dir', watched.directory)
    assert.equal(told.code, 3)
    assert.equal(JSON.parse(told.stdout).exitCode, 3)
    const mistaken = await umbrella('start', '--confg', 'x')
    assert.equal(mistaken.code, 64)
    assert.match(mistaken.stderr, /^port-watchdog start: unknown option '--confg'/)
    const forward = await umbrella('forward', '1', '2')
    assert.equal(forward.code, 64)
    assert.match(forward.stderr, /^port-watchdog forward: TARGET_HOST/)
  })

  it('forwards in its own process, and can be replaced like any forwarder', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    // `--drain=1s` is what only commander reads.
    for (const drain of [['--drain', '1s'], ['--drain=1s']]) {
      const forward = watched.start(
        'port-watchdog',
        'forward',
        String(port),
        'localhost',
        String(echo.port),
        ...drain,
      )
      await forward.line(/Listening/)
      assert.equal(await askThrough(port), 'hello')
      const socket = watched.file(`tcp_proxy_${port}.sock`)
      const pid = async () => ((await askControl(socket, 'health')) as ForwarderHealth).identity.pid
      assert.equal(await pid(), forward.pid)
      process.kill(forward.pid, 'SIGUSR2')
      const successor = await until('the replacement', async () => {
        const now = await pid()
        return now === forward.pid ? undefined : now
      })
      await until('the end of the first process', async () => !forward.isRunning || undefined)
      assert.equal(await askThrough(port), 'hello')
      process.kill(successor, 'SIGTERM')
      await until('the end of the replacement', async () =>
        (await askThrough(port)) === 'ECONNREFUSED' ? true : undefined,
      )
    }
    await echo.close()
  })
})
