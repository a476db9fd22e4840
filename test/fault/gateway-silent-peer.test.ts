// A client that goes without a word (a laptop that sleeps, a network that is away) keeps nothing: the signs of life that the gateway sends to it
// go into the send buffer, no write fails, and the kernel's own probes rest meanwhile.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { successful } from '../support/bad-wire.ts'
import { child, childrenOf, configured, LineClient, small } from '../support/gateway.ts'
import { whyNoLab } from '../support/namespaces.ts'
import { skipFor, until } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'
import { inLab } from '../support/wire-room.ts'

const skip = skipFor(whyNoLab())
const initialize =
  '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}'
const call = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"own__run"}}'

describe('A client whose packets are lost', { skip }, () => {
  it('loses its stream, then its session and the process that was its own', () =>
    inLab(async (lab) => {
      const watched = new Watched()
      try {
        const own = { ...small(watched.file('begun')), isolation: 'session', start: 'demand' }
        const access = { sessions: { idle: '1s', peerTimeout: '2s' } }
        const config = configured(watched, { own, shared: child() }, { access })
        const at = `${lab.host.address.ipv4}:8080`
        const words = ['--all', '--config', config, '--http', at, '--insecure-http']
        const gateway = lab.host.start([
          ...command('mcp-proxy', 'start', ...words),
          '--state-dir',
          watched.directory,
        ])
        await gateway.line(/Proxy started/)
        const key = `X-API-Key: ${readFileSync(path.join(watched.directory, 'mcp_proxy_key'), 'utf8').trim()}`
        const curl = (...more: string[]) => ['curl', '-sS', '-H', key, `http://${at}/mcp`, ...more]
        const json = [
          '-H',
          'Content-Type: application/json',
          '-H',
          'Accept: application/json, text/event-stream',
        ]
        const { stdout } = await lab.visitor.run(curl('-i', ...json, '-d', initialize))
        const session = `Mcp-Session-Id: ${/^mcp-session-id: (\S+)/im.exec(stdout)?.[1]}`
        await successful(lab.visitor.run(curl(...json, '-H', session, '-d', call)))
        const stream = lab.visitor.start(curl('-N', '-H', 'Accept: text/event-stream', '-H', session))
        await stream.line(/^:/)
        const before = childrenOf(gateway.pid).length
        // What the client's machine sends is lost from here on; what is sent to it arrives.
        await successful(lab.visitor.run(['ip', 'route', 'add', 'blackhole', `${lab.host.address.ipv4}/32`]))
        const other = new LineClient(watched, '--all', '--config', config)
        await other.initialize()
        await other.ask('change', 'tools/call', { name: 'shared__change' })
        await stream.line(/list_changed/)
        await until('the process of the lost client is gone', async () =>
          childrenOf(gateway.pid).length === before - 1 ? true : undefined,
        )
        expect((await other.ask('well', 'tools/call', { name: 'shared__pid' })).result).toBeDefined()
        await other.end()
      } finally {
        await watched.remove()
      }
    }))
})
