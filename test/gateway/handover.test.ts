// The gateway is replaced while it serves: the next process takes its port over, and no client loses a call.
import { readFileSync } from 'node:fs'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { child, childrenOf, LineClient } from '../support/gateway.ts'
import { first, order } from '../support/ordered.ts'
import { runningAs, writePrograms } from '../support/programs.ts'
import { freePort, until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

interface Kept {
  readonly url: string
  readonly key: string
  readonly file: string
}

async function kept(watched: Watched, connectors: Readonly<Record<string, object>>): Promise<Kept> {
  const listen = `127.0.0.1:${await freePort()}`
  const file = writePrograms(watched, [], { connectors, gateway: { http: { listen } } })
  const monitor = watched.start('proxy-monitor', '--config', file)
  await monitor.line(/Monitor started/)
  await runningAs(watched, 'gateway')
  const key = readFileSync(watched.file('mcp_proxy_key'), 'utf8').trim()
  return { url: `http://${listen}/mcp`, key, file }
}

async function sdkClient({ url, key }: Kept): Promise<Client> {
  const client = new Client({ name: 'sdk', version: '1' })
  const requestInit = { headers: { 'x-api-key': key } }
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }))
  return client
}

async function textOf(client: Client, name: string, args: Record<string, unknown> = {}): Promise<string> {
  const { content } = await client.callTool({ name, arguments: args })
  const [part] = content as { text?: string }[]
  return part?.text ?? ''
}

async function handOver(watched: Watched, before: number): Promise<number> {
  expect(first(await order(watched, 'hand-over', 'gateway'))).toMatchObject({ outcome: 'done' })
  return runningAs(watched, 'gateway', before)
}

describe('a gateway that is handed over', { timeout: 60_000 }, () => {
  it('finishes its calls, and its clients go on with their sessions at the next one', async ({ watched }) => {
    const gateway = await kept(watched, { one: child() })
    const before = await runningAs(watched, 'gateway')
    const client = await sdkClient(gateway)
    const session = (client.transport as StreamableHTTPClientTransport).sessionId
    const attached = new LineClient(watched, '--all', '--config', gateway.file)
    await attached.initialize()
    const server = await textOf(client, 'one__pid')
    const running = textOf(client, 'one__slow', { ms: 3000 })
    attached.send(
      '{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"one__slow","arguments":{"ms":3000}}}',
    )
    await attached.ask('passed', 'ping')
    const after = await handOver(watched, before)
    // A connection that was open gets one more answer of the one before.
    const other = await until('the next one answers', async () => {
      const pid = await textOf(client, 'one__pid')
      return childrenOf(after).includes(Number(pid)) ? pid : undefined
    })
    expect(other).not.toBe(server)
    expect((client.transport as StreamableHTTPClientTransport).sessionId).toBe(session)
    expect(await running).toBe('slept')
    expect(await attached.line('slow')).toContain('slept')
    expect((await attached.ask('next', 'tools/call', { name: 'one__pid' })).result?.content?.[0]?.text).toBe(
      other,
    )
    await until('the one before has ended, with its servers', async () =>
      childrenOf(before).length === 0 && !isAlive(before) ? true : undefined,
    )
    const why = await watched.run('proxy-log', '--why', 'gateway')
    expect(why.stdout).toMatch(/hand/i)
    await client.close()
    await attached.end()
  })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
