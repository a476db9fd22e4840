// Somebody guesses the token of a gate under a monitor: log, status, --why of the incident and an alert tell it.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { describe, it } from 'vitest'
import type { AlertBody } from '../../src/alert/message-text.ts'
import { AlertReceiver } from '../support/alert-receiver.ts'
import { freePort } from '../support/tools.ts'
import { echoServer, withWatched } from '../support/watched.ts'

/** Resolves with the status of the answer to a wrong token. */
function guess(port: number, localAddress: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: 'Bearer wrong-token-of-a-guesser' }
    const request = get({ host: '127.0.0.1', port, localAddress, headers, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0))
    })
    request.on('error', reject)
  })
}

describe('Guesses at the token of a gate', () => {
  it('are told by the status, and alerted with their source, without the tokens', (t) =>
    withWatched(async (watched) => {
      const receiver = await AlertReceiver.start(t)
      const echo = await echoServer()
      const port = await freePort()
      const file = watched.file('c.json')
      const configuration = {
        interval: '200ms',
        forwards: [{ name: 'web', listen: port, target: `localhost:${echo.port}`, gate: 'token' }],
        alerts: { group: '0', channels: [{ type: 'webhook', name: 'hook', url: receiver.url() }] },
      }
      writeFileSync(file, JSON.stringify(configuration))
      const monitor = watched.start('proxy-monitor', '--config', file)
      await monitor.line(/web started successfully/)
      for (let source = 2; source < 8; source++)
        for (let guesses = 0; guesses < 4; guesses++)
          assert.ok([401, 429].includes(await guess(port, `127.0.0.${source}`)))
      const [alert] = await receiver.count(1)
      const { changes } = JSON.parse(alert?.body ?? '') as AlertBody
      const opened = changes.find(({ subject }) => subject === 'login')
      assert.equal(opened?.event, 'opened', alert?.body)
      assert.match(JSON.stringify(opened), /may be guessing the token of web: \d+ wrong tokens/)
      assert.match(JSON.stringify(opened), /127\.0\.0\./)
      const { stdout } = await watched.run('proxy-status', 'web')
      assert.match(stdout, /wrong tokens +\d+ in the last hour/)
      for (const text of [stdout, watched.log(), alert?.body ?? ''])
        assert.doesNotMatch(text, /wrong-token-of-a-guesser/)
      await echo.close()
    }))
})
