// A forwarder may be ended by a signal while the monitor looks at it. What the look saw before is no longer so, and proves no fault.
import { describe, expect } from 'vitest'
import { withDefaults } from '../../src/config/option-table.ts'
import { type ControlClient, connectControl } from '../../src/control/client.ts'
import { checkForward } from '../../src/forward/unit/check.ts'
import { diagnose } from '../../src/forward/unit/diagnose.ts'
import { LongStream } from '../support/exact-clients.ts'
import { it } from '../support/fixtures.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

/** What the look asks in turn, and whether the signal comes before the answer or after it. */
const moments = [
  { command: 'health', isBefore: true },
  { command: 'health', isBefore: false },
  { command: 'identify', isBefore: false },
  { command: 'expect-probe', isBefore: true },
  { command: 'expect-probe', isBefore: false },
]

describe('SIGTERM to a forwarder in the middle of a look at it', () => {
  for (const { command, isBefore } of moments) {
    const moment = `${isBefore ? 'before' : 'after'} its answer to ${command}`
    it(`is found as an end by a signal, ${moment}`, async ({ watched }) => {
      const echo = await echoServer()
      const port = await freePort()
      const words = ['--bind', '127.0.0.1', '--allow', '127.0.0.1', '--drain', '10m']
      const forwarder = watched.start('tcp-proxy', String(port), 'localhost', String(echo.port), ...words)
      await forwarder.line(/Listening on/)
      const stream = await LongStream.open(port)
      await stream.exchange(10)
      let isEnded = false
      const end = async () => {
        if (isEnded) return
        isEnded = true
        process.kill(forwarder.pid, 'SIGTERM')
        await until(
          'its port is closed',
          async () => (await askThrough(port)) === 'ECONNREFUSED' || undefined,
        )
      }
      const connect = async (): Promise<ControlClient> => {
        const client = await connectControl(watched.file(`tcp_proxy_${port}.sock`))
        const request: ControlClient['request'] = async (asked, ...rest) => {
          if (asked === command && isBefore) await end()
          const answer = await client.request(asked, ...rest)
          if (asked === command) await end()
          return answer
        }
        return { ...client, request }
      }
      const found = await checkForward({
        options: withDefaults({ listenPort: port, targetHost: 'localhost', targetPort: echo.port }, {}),
        pidFile: watched.file(`tcp_proxy_${port}.pid`),
        connect,
        turn: 0,
      })
      expect(diagnose(found)).toMatchObject({ condition: 'dead', fault: { code: 'ended-by-signal' } })
      await stream.exchange(10)
      await stream.close()
      expect(await forwarder.ended()).toBe(0)
      await echo.close()
    })
  }
})
