// The gateway is replaced while it serves: the next process takes its port over, and no client loses a call.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync } from 'node:fs'
import { Agent, type IncomingMessage, request as requestHttp } from 'node:http'
import { request } from 'node:https'
import path from 'node:path'
import { text as textIn } from 'node:stream/consumers'
import { setTimeout as rest } from 'node:timers/promises'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { describe, expect } from 'vitest'
import { inheritanceVariable } from '../../src/process/inheritance.ts'
import { fileNames } from '../../src/record/state-directory.ts'
import { Authority } from '../support/certificates.ts'
import { it } from '../support/fixtures.ts'
import { child, childrenOf, LineClient, type RpcAnswer } from '../support/gateway.ts'
import { first, order } from '../support/ordered.ts'
import { runningAs, writePrograms } from '../support/programs.ts'
import { freePort, until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

interface Kept {
  readonly url: string
  readonly key: string
  readonly file: string
}

async function kept(
  watched: Watched,
  connectors: Readonly<Record<string, object>>,
  http: object = {},
): Promise<Kept> {
  const listen = `127.0.0.1:${await freePort()}`
  const file = writePrograms(watched, [], { connectors, gateway: { http: { listen, ...http } } })
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

/** A message of a client of the older generation, over a connection of the agent. */
async function post({ url, key }: Kept, message: object, session?: string, agent?: Agent) {
  const headers = {
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    'x-api-key': key,
    ...(session === undefined ? {} : { 'mcp-session-id': session }),
  }
  const sent = requestHttp(url, { method: 'POST', headers, ...(agent === undefined ? {} : { agent }) })
  sent.end(JSON.stringify(message))
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  return { status: answer.statusCode, headers: answer.headers, body: await textIn(answer) }
}

/** Begins a session. @returns its number. */
async function begin(gateway: Kept, agent: Agent): Promise<string> {
  const clientInfo = { name: 'restless', version: '1' }
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }
  const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params }
  const { headers } = await post(gateway, initialize, undefined, agent)
  return String(headers['mcp-session-id'])
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

  it('goes on when its replacement is killed half-way: no call is lost, and the status stays true', async ({
    watched,
  }) => {
    const gateway = await kept(watched, { one: child() })
    const pid = await runningAs(watched, 'gateway')
    const client = await sdkClient(gateway)
    const session = (client.transport as StreamableHTTPClientTransport).sessionId
    const server = await textOf(client, 'one__pid')
    const running = textOf(client, 'one__slow', { ms: 3000 })
    const ordered = order(watched, 'hand-over', 'gateway')
    const replacement = await replacementOf(pid)
    process.kill(replacement, 'SIGSTOP')
    expect(await textOf(client, 'one__pid')).toBe(server)
    expect(readFileSync(watched.file('mcp_proxy.pid'), 'utf8').split('\n')[0]).toBe(String(pid))
    const status = await watched.run('mcp-proxy', 'status', '--json')
    expect(JSON.parse(status.stdout)).toMatchObject({ proxy: { state: 'RUNNING', pid } })
    process.kill(replacement, 'SIGKILL')
    expect(first(await ordered)).toMatchObject({ outcome: 'failed' })
    expect(await running).toBe('slept')
    expect(await textOf(client, 'one__pid')).toBe(server)
    expect((client.transport as StreamableHTTPClientTransport).sessionId).toBe(session)
    expect((await watched.status()).programs).toMatchObject([
      { name: 'gateway', state: 'healthy', pid, restarts: 0 },
    ])
    expect((await watched.run('mcp-proxy', 'log')).stdout).toMatch(/could not take over.*SIGKILL/)
    // Nothing is in the way of the next one.
    const after = await handOver(watched, pid)
    await until('the next one answers', async () =>
      childrenOf(after).includes(Number(await textOf(client, 'one__pid'))) ? true : undefined,
    )
    await client.close()
  })

  it('looks after its names at any time of a handover, and still leaves them to the next one', async ({
    watched,
  }) => {
    const gateway = await kept(watched, { one: child() })
    const before = await runningAs(watched, 'gateway')
    const client = await sdkClient(gateway)
    const running = textOf(client, 'one__slow', { ms: 2000 })
    const looking = setInterval(() => isAlive(before) && process.kill(before, 'SIGHUP'), 10)
    const after = await handOver(watched, before)
    clearInterval(looking)
    await until('the next one answers', async () =>
      childrenOf(after).includes(Number(await textOf(client, 'one__pid'))) ? true : undefined,
    )
    expect(await running).toBe('slept')
    expect(readFileSync(watched.file('mcp_proxy.log'), 'utf8')).not.toContain('this one ends')
    await client.close()
  })

  it('has its names again when its replacement fails after it has taken them', async ({ watched }) => {
    const gateway = await kept(watched, { one: child() })
    const pid = await runningAs(watched, 'gateway')
    const client = await sdkClient(gateway)
    const server = await textOf(client, 'one__pid')
    const clients = watched.file(fileNames.gatewayClients)
    unlinkSync(clients)
    mkdirSync(path.join(clients, 'in the way'), { recursive: true })
    expect(first(await order(watched, 'hand-over', 'gateway'))).toMatchObject({ outcome: 'failed' })
    // On the port that they share, it would take connections of clients.
    expect(childrenOf(pid)).toEqual([Number(server)])
    expect(readFileSync(watched.file('mcp_proxy.pid'), 'utf8').split('\n')[0]).toBe(String(pid))
    expect(await textOf(client, 'one__pid')).toBe(server)
    const { stdout } = await watched.run('mcp-proxy', 'status', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ proxy: { state: 'RUNNING', pid } })
    rmSync(clients, { recursive: true })
    const after = await handOver(watched, pid)
    await until('the next one answers', async () =>
      childrenOf(after).includes(Number(await textOf(client, 'one__pid'))) ? true : undefined,
    )
    await client.close()
  })

  it('passes on a session that begins while it leaves', async ({ watched }) => {
    const gateway = await kept(watched, { one: child() })
    const pid = await runningAs(watched, 'gateway')
    let isOver = false
    // A client may have 500; of more, the oldest end.
    const restless = Array.from({ length: 8 }, async () => {
      const begun: string[] = []
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      while (!isOver && begun.length < 60) {
        begun.push(await begin(gateway, agent))
        await rest(5)
      }
      agent.destroy()
      return begun
    })
    const after = await handOver(watched, pid)
    isOver = true
    const sessions = (await Promise.all(restless)).flat()
    for (const session of sessions) {
      const { status, body } = await post(gateway, { jsonrpc: '2.0', id: 1, method: 'ping' }, session)
      expect([status, body]).toEqual([200, expect.stringContaining('"result"')])
    }
    expect(await runningAs(watched, 'gateway')).toBe(after)
  })

  it('hands over with TLS: the next one shows the certificate, and a session goes on', async ({
    watched,
  }) => {
    const authority = await Authority.create()
    try {
      const { cert, key } = await authority.issueLocal()
      const gateway = await kept(watched, { one: child() }, { tlsCert: cert, tlsKey: key })
      const before = await runningAs(watched, 'gateway')
      const client = new TlsClient(gateway, readFileSync(authority.ca.cert, 'utf8'))
      await client.begin()
      const server = await client.call('one__pid')
      const running = client.call('one__slow', { ms: 2000 })
      const after = await handOver(watched, before)
      const other = await client.call('one__pid')
      expect(other).not.toBe(server)
      expect(childrenOf(after)).toContain(Number(other))
      expect(await running).toBe('slept')
    } finally {
      authority.remove()
    }
  })
})

/** A client of the older generation over TLS, with a connection for each request. */
class TlsClient {
  readonly #url: URL
  readonly #key: string
  readonly #ca: string
  #session: string | undefined

  constructor({ url, key }: Kept, ca: string) {
    this.#url = new URL(url.replace('http:', 'https:'))
    this.#key = key
    this.#ca = ca
  }

  async begin(): Promise<void> {
    const params = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'tls', version: '1' },
    }
    await this.#ask('initialize', params)
  }

  async call(name: string, args: object = {}): Promise<string | undefined> {
    const text = await this.#ask('tools/call', { name, arguments: args })
    const json = /^data: (\{.*"result".*)$/m.exec(text)?.[1] ?? text
    return (JSON.parse(json) as RpcAnswer).result?.content?.[0]?.text ?? text
  }

  async #ask(method: string, params: object): Promise<string> {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'x-api-key': this.#key,
      ...(this.#session === undefined ? {} : { 'mcp-session-id': this.#session }),
    }
    const asked = request(this.#url, { method: 'POST', headers, ca: this.#ca, agent: false })
    asked.end(
      JSON.stringify({ jsonrpc: '2.0', id: method === 'initialize' ? 0 : randomUUID(), method, params }),
    )
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    const session = response.headers['mcp-session-id']
    if (typeof session === 'string') this.#session = session
    return textIn(response)
  }
}

/** The process that a gateway has started to take its place. */
function replacementOf(gateway: number): Promise<number> {
  return until(
    'a replacement has been started',
    async () =>
      readdirSync('/proc')
        .map(Number)
        .find((pid) => pid > 0 && isReplacement(pid, gateway)),
    20_000,
    2,
  )
}

function isReplacement(pid: number, gateway: number): boolean {
  try {
    const [, parent] = / \(.*\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? []
    // The one that it is forked from has no such variable: its program runs.
    const variables = readFileSync(`/proc/${pid}/environ`, 'latin1')
    return Number(parent) === gateway && variables.includes(`${inheritanceVariable}={"kind":"handover"`)
  } catch {
    return false
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
