import assert from 'node:assert/strict'
import { it } from 'node:test'
import { withDefaults } from '../../src/config/option-table.ts'
import type { ControlClient } from '../../src/control/client.ts'
import { checkForward } from '../../src/watch/check-forward.ts'
import { wellHealth } from '../support/status-facts.ts'

const options = withDefaults({ listenPort: 6274, targetHost: 'localhost', targetPort: 6274 }, {})

/** A control connection to a forwarder that still answers what it is and how it is, and hangs from then on. */
function hangsAtTheProbe(): ControlClient {
  const address = { address: '192.0.2.1', port: 6274 }
  const answers: Record<string, unknown> = {
    health: { ...wellHealth, listen: { ...wellHealth.listen, addresses: [address] } },
    identify: { options: JSON.stringify(options) },
  }
  return {
    request: async (command) => {
      if (command in answers) return answers[command]
      throw Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })
    },
    closed: new Promise(() => {}),
    close: () => {},
  }
}

it('a forwarder that begins to hang in the middle of a check is found by that check', async () => {
  const found = await checkForward({
    options,
    pidFile: '/nonexistent/tcp_proxy_6274.pid',
    connection: hangsAtTheProbe(),
    turn: 0,
    portHolder: undefined,
  })
  assert.equal(found.listener, 'silent')
})
