import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'vitest'
import type { AlertBody } from '../../src/alert/message-text.ts'
import type { IncidentChange } from '../../src/record/shapes/alerts.ts'
import { AlertReceiver, type Received } from '../support/alert-receiver.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { command, echoServer, type Watched, withWatched } from '../support/watched.ts'

/** What a receiver that goes by ids has heard: a monitor that is killed just when it was told of a success delivers again. */
function changesOf(received: readonly Received[]): IncidentChange[] {
  const changes = received.flatMap(({ body }) => (JSON.parse(body) as AlertBody).changes)
  return [...new Map(changes.map((change) => [change.id, change])).values()]
}

/** A monitor that notices quickly and tells at once; the URL comes from its environment. */
function startMonitor(watched: Watched, listen: number, target: number, url: string): Resident {
  const file = watched.file('configuration.json')
  const configuration = {
    interval: '200ms',
    restart: { failureThreshold: 2 },
    forwards: [{ name: 'one', listen, target: `localhost:${target}`, targetCheck: '100ms' }],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
    alerts: { group: '0', channels: [{ type: 'webhook', name: 'hook', url: '${ALERT_TEST_URL}' }] },
  }
  writeFileSync(file, JSON.stringify(configuration))
  const words = command('proxy-monitor', '--config', file, '--state-dir', watched.directory)
  return watched.adopt(new Resident(words, { ALERT_TEST_URL: url }))
}

describe('kill -9 of the monitor while an incident is open', () => {
  it('repeats nothing, and the next monitor resolves it', async (t) => {
    const receiver = await AlertReceiver.start(t)
    await withWatched(async (watched) => {
      const echo = await echoServer()
      const port = await freePort()
      const first = startMonitor(watched, port, echo.port, receiver.url())
      await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy')
      await echo.close()
      await receiver.count(1)
      await first.stop('SIGKILL')

      const second = startMonitor(watched, port, echo.port, receiver.url())
      // It has seen the trouble, too, and keeps quiet about it.
      await watched.statusWhen('seen by the second', ({ monitor, forwards }) => {
        return (
          monitor.pid === second.pid &&
          forwards[0]?.state === 'unreachable' &&
          monitor.lastCheckAgeMs !== null
        )
      })
      await second.stop('SIGKILL')

      startMonitor(watched, port, echo.port, receiver.url())
      const again = await echoServer(echo.port)
      const changes = changesOf(await receiver.when((received) => changesOf(received).length >= 2))
      assert.deepEqual(
        changes.map(({ event, subject }) => `${subject} ${event}`),
        ['target opened', 'target resolved'],
      )
      assert.equal(changes[0]?.incident, changes[1]?.incident)
      const well = await watched.statusWhen('the channel is well', ({ alertChannels }) => {
        return alertChannels[0]?.state === 'ok' && alertChannels[0].queued === 0
      })
      assert.equal(well.alertChannels[0]?.lastError, null)
      await again.close()
    })
  })
})

describe('a webhook that refuses', () => {
  it('shows in proxy-status and its exit code, and its URL nowhere', async (t) => {
    const path = '/services/T0123456789/B0123456789/secretsecretsecret'
    const receiver = await AlertReceiver.start(t, [{ status: 404, body: `no such hook: ${path}` }])
    await withWatched(async (watched) => {
      const echo = await echoServer()
      const port = await freePort()
      startMonitor(watched, port, echo.port, receiver.url(path))
      await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy')
      await echo.close()
      const report = await watched.statusWhen('disabled', ({ alertChannels }) => {
        return alertChannels[0]?.state === 'disabled'
      })
      assert.match(report.alertChannels[0]?.lastError ?? '', /^HTTP 404: "no such hook: \[redacted\]"$/)
      const again = await echoServer(echo.port)
      await watched.statusWhen('degraded by the mute channel alone', ({ exitCode, forwards }) => {
        return forwards[0]?.state === 'healthy' && exitCode === 151
      })
      const { stdout } = await watched.run('proxy-status')
      assert.match(stdout, /alerts: hook DISABLED, \d queued \(HTTP 404: "no such hook: \[redacted\]"\)/)
      assert.match(stdout, /next: correct alert channel hook/)
      const written = readdirSync(watched.directory)
        .filter((name) => !name.endsWith('.sock'))
        .map((name) => readFileSync(watched.file(name), 'utf8'))
      assert.doesNotMatch([...written, stdout].join('\n'), /secretsecretsecret|T0123456789/)
      await again.close()
    })
  })
})
