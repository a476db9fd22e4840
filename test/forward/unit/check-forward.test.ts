import { expect, it } from 'vitest'
import { withDefaults } from '../../../src/config/option-table.ts'
import type { ControlClient } from '../../../src/control/client.ts'
import { checkForward } from '../../../src/forward/unit/check.ts'
import { wellHealth } from '../../support/status-facts.ts'

const options = withDefaults({ listenPort: 6274, targetHost: 'localhost', targetPort: 6274 }, {})

/** A control connection to a forwarder that still answers what it is and how it is, and hangs from then on. */
function hangsAtTheProbe(): ControlClient {
  const [bound] = wellHealth.listen.addresses
  const address = { ...bound, address: '192.0.2.1', port: 6274 }
  const answers: Record<string, unknown> = {
    health: { ...wellHealth, listen: { ...wellHealth.listen, addresses: [address] } },
    identify: {
      role: 'forwarder',
      identity: wellHealth.identity,
      version: wellHealth.version,
      options: JSON.stringify(options),
    },
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
    connect: async () => hangsAtTheProbe(),
    turn: 0,
  })
  expect(found.listener).toBe('silent')
})
