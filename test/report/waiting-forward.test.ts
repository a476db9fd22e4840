// A forward whose app has not been started yet: nothing is wrong, and who waits learns at once that the app is there.
import assert from 'node:assert/strict'
import { describe } from 'vitest'
import { commandFile, RunningCommand } from '../support/children.ts'
import { it } from '../support/fixtures.ts'
import { startMonitor } from '../support/monitored.ts'
import { freePort, until } from '../support/tools.ts'
import { echoServer } from '../support/watched.ts'

describe('A forward whose app has not been started', () => {
  it('starts without a word of failure', async ({ watched }) => {
    const [port, target] = [await freePort(), await freePort()]
    const monitor = await startMonitor(watched, {
      forwards: [{ name: 'web', listen: port, target: `localhost:${target}` }],
      interval: '200ms',
    })
    const report = await watched.statusWhen('it waits', ({ forwards }) => forwards[0]?.state === 'waiting')
    assert.equal(report.exitCode, 0)
    await watched.logLine(/web.*localhost:\d+/)
    assert.equal(await monitor.stop(), 0)
    assert.doesNotMatch(watched.log() + monitor.output, /✗|failure #|does not answer|ALERT/)
  })

  it('is found healthy by who waits, however rarely it would be looked at', async ({ watched }) => {
    const [port, target] = [await freePort(), await freePort()]
    await startMonitor(watched, {
      forwards: [{ name: 'web', listen: port, target: `localhost:${target}`, targetCheck: '1h' }],
      interval: '10m',
    })
    const words = ['--wait', 'healthy', '--timeout', '50s', '--state-dir', watched.directory]
    const waiting = new RunningCommand(commandFile('proxy-status'), words)
    await new Promise<void>((resolve) => {
      waiting.child.stderr?.on('data', (text: string) => {
        if (/waiting \d+ s: web is waiting for localhost:\d+/.test(text)) resolve()
      })
    })
    const echo = await echoServer(target)
    const { code, stdout, stderr } = await waiting.ended
    assert.equal(code, 0, stderr)
    assert.match(stdout, /✓ web +healthy/)
    await echo.close()
  })
})

it('--why tells how long a restart may wait, and that chance shortens it', async ({ watched }) => {
  const echo = await echoServer()
  const port = await freePort()
  await startMonitor(watched, {
    forwards: [{ name: 'web', listen: port, target: `localhost:${echo.port}` }],
    restart: { backoff: '400ms', backoffLimit: '10s', resetAfter: '1h' },
  })
  for (let death = 0; death < 2; death++) {
    const { forwards } = await watched.statusWhen(
      'it runs',
      (report) => report.forwards[0]?.state === 'healthy',
    )
    process.kill(forwards[0]?.pid ?? assert.fail(), 'SIGKILL')
    await watched.statusWhen('it is gone', (report) => report.forwards[0]?.pid !== forwards[0]?.pid)
  }
  await watched.logLine(/web will be restarted in/)
  // The log tells it first, the journal follows.
  const told = await until('the wait in the journal', async () => {
    const text = (await watched.run('proxy-log', '--why', 'web')).stdout.replaceAll(/\s+/g, ' ')
    return /waits double up to 10 s, less a random part of up to half/.test(text) ? text : undefined
  })
  assert.doesNotMatch(told, /twice the one before/)
  await echo.close()
})
