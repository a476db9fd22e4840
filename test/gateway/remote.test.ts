// Servers that are reached by a URL: a gateway in front of a gateway, by every transport.
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { child, configured, LineClient, served } from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const key = 'PORT_WATCHDOG_TEST_KEY'

describe('a connector with a URL', () => {
  it.for(['http', 'sse'])('is served over %s as one that is a child is', async (type, { watched }) => {
    const far = new Watched()
    try {
      const { url, key: secret } = await served(far, { raw: child() })
      process.env[key] = secret
      const place = type === 'sse' ? `${url}/sse/raw` : `${url}/mcp/raw`
      const headers = { Authorization: `Bearer \${env:${key}}` }
      const client = new LineClient(
        watched,
        '--all',
        '--config',
        configured(watched, { far: { type, url: place, headers } }),
      )
      await client.initialize('near', { elicitation: {} })
      const { result } = await client.ask(1, 'tools/list')
      expect(result?.tools?.map(({ name }) => name)).toContain('far__echo')
      client.send(
        '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"far__echo","arguments":{"n":12345678901234567890}}}',
      )
      expect(await client.line(2)).toContain('12345678901234567890')
      client.send(
        '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"far__progress","_meta":{"progressToken":"mine"}}}',
      )
      await client.line(3)
      expect((await client.heard('notifications/progress')).params).toMatchObject({ progressToken: 'mine' })
      client.send(
        '{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"far__ask","arguments":{"question":"far?"}}}',
      )
      const asked = await client.heard('elicitation/create')
      expect(asked.params?.message).toBe('far?')
      client.send(`{"jsonrpc":"2.0","id":${JSON.stringify(asked.id)},"result":{"action":"decline"}}`)
      expect(await client.line(4)).toContain('decline')
      client.lines.length = 0
      await client.ask(5, 'tools/call', { name: 'far__change' })
      await client.heard('notifications/tools/list_changed')
      await client.end()
    } finally {
      await far.remove()
      delete process.env[key]
    }
  })

  it('is in use again when its server has come back, without a word from the client', async ({ watched }) => {
    const far = new Watched()
    try {
      const first = await served(far, { raw: child() }, '--allow-none')
      const { port } = new URL(first.url)
      const client = new LineClient(
        watched,
        '--all',
        '--config',
        configured(watched, { far: { url: `${first.url}/mcp/raw` } }),
      )
      await client.initialize()
      await client.ask(1, 'tools/list')
      await first.resident.stop()
      const down = await client.ask(2, 'tools/call', { name: 'far__pid' })
      expect(down.error?.message).toMatch(
        /^connector 'far' (ended during the call|is not available): .*cannot be reached/,
      )
      const words = [
        '--all',
        '--config',
        far.file('connectors.json'),
        '--allow-none',
        '--http',
        `127.0.0.1:${port}`,
      ]
      await far.start('mcp-proxy', 'start', ...words).line(/Proxy started/)
      await until('the call is answered', async () => {
        const { result } = await client.ask(Math.random(), 'tools/call', { name: 'far__pid' })
        return result?.content
      })
      await client.end()
    } finally {
      await far.remove()
    }
  })
})
