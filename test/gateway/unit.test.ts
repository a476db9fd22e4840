// The gateway as a unit of the monitor, with the real processes of both.
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { child, childrenOf, type RpcAnswer } from '../support/gateway.ts'
import { first, order } from '../support/ordered.ts'
import { runningAs, writePrograms } from '../support/programs.ts'
import type { Resident } from '../support/resident.ts'
import { freePort, until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

interface Kept {
  readonly port: number
  readonly file: string
  readonly monitor: Resident
}

function start(watched: Watched, file: string): Promise<Resident> {
  const monitor = watched.start('proxy-monitor', '--config', file)
  return monitor.line(/Monitor started/).then(() => monitor)
}

/** A monitor that keeps a gateway with these connectors. */
async function kept(watched: Watched, connectors: Readonly<Record<string, object>>): Promise<Kept> {
  const port = await freePort()
  const gateway = { http: { listen: `127.0.0.1:${port}` } }
  const file = writePrograms(watched, [], { connectors, gateway })
  return { port, file, monitor: await start(watched, file) }
}

/** An HTTP client of the older generation, which begins a new session where its own is unknown, as the protocol says. */
class HttpClient {
  readonly #url: string
  readonly #key: string
  #session: string | undefined
  begun = 0

  constructor(watched: Watched, port: number) {
    this.#url = `http://127.0.0.1:${port}/mcp`
    this.#key = readFileSync(watched.file('mcp_proxy_key'), 'utf8').trim()
  }

  async #post(body: object): Promise<Response> {
    const session = this.#session === undefined ? {} : { 'mcp-session-id': this.#session }
    return fetch(this.#url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'x-api-key': this.#key,
        ...session,
      },
      body: JSON.stringify({ jsonrpc: '2.0', ...body }),
    })
  }

  async #begin(): Promise<void> {
    this.#session = undefined
    const params = {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'c', version: '1' },
    }
    const answer = await this.#post({ id: 0, method: 'initialize', params })
    await answer.text()
    this.#session = answer.headers.get('mcp-session-id') ?? undefined
    this.begun++
  }

  async call(name: string): Promise<string> {
    if (this.#session === undefined) await this.#begin()
    const answer = await this.#post({ id: 1, method: 'tools/call', params: { name } })
    const text = await answer.text()
    if (answer.status === 404) {
      await this.#begin()
      return this.call(name)
    }
    const json = text.startsWith('{') ? text : (/^data: (\{.*)$/m.exec(text)?.[1] ?? text)
    return (JSON.parse(json) as RpcAnswer).result?.content?.[0]?.text ?? text
  }
}

describe('the gateway as a unit of the monitor', { timeout: 120_000 }, () => {
  it('is started, comes back when it is killed, leaves no server over, and its clients go on', async ({
    watched,
  }) => {
    const { port } = await kept(watched, { one: child(), stays: child('stays') })
    const before = await runningAs(watched, 'gateway')
    const client = new HttpClient(watched, port)
    const server = await client.call('one__pid')
    await client.call('stays__pid')
    const children = childrenOf(before)
    expect(children).toContain(Number(server))
    process.kill(before, 'SIGKILL')
    const after = await runningAs(watched, 'gateway', before)
    await until('no server of the one that was killed is left', async () =>
      childrenOf(before).length === 0 ? true : undefined,
    )
    expect(await client.call('one__pid')).not.toBe(server)
    expect(client.begun).toBe(2)
    expect(childrenOf(after)).toHaveLength(2)
    const why = await watched.run('proxy-log', '--why', 'gateway')
    expect(why.stdout).toContain('SIGKILL')
    const { stdout } = await watched.run('proxy-status')
    expect(stdout).toMatch(/gateway/)
    expect((await watched.status()).programs).toMatchObject([
      { name: 'gateway', kind: 'gateway', state: 'healthy', port, restarts: 1 },
    ])
    // One that hangs is found by a round.
    process.kill(after, 'SIGSTOP')
    await runningAs(watched, 'gateway', after)
    expect((await watched.run('proxy-log', '--why', 'gateway')).stdout).toContain('SIGSTOP')
    expect(await client.call('one__echo')).toContain('"name":"echo"')
  })

  it('outlives the monitor, is adopted by the next one, and takes orders', async ({ watched }) => {
    const { port, file, monitor } = await kept(watched, { one: child() })
    const pid = await runningAs(watched, 'gateway')
    const client = new HttpClient(watched, port)
    const server = await client.call('one__pid')
    await monitor.stop('SIGKILL')
    expect(await client.call('one__pid')).toBe(server)
    await start(watched, file)
    expect(await runningAs(watched, 'gateway')).toBe(pid)
    await watched.logLine(new RegExp(`gateway is already running \\(PID: ${pid}\\), adopted`))
    expect(client.begun).toBe(1)
    expect(first(await order(watched, 'restart', 'gateway'))).toMatchObject({ outcome: 'done' })
    const second = await runningAs(watched, 'gateway', pid)
    expect(childrenOf(pid)).toEqual([])
    expect(await client.call('one__pid')).not.toBe(server)
    expect(first(await order(watched, 'stop', 'gateway'))).toMatchObject({
      outcome: 'done',
      state: { kind: 'gateway', state: 'down' },
    })
    expect(childrenOf(second)).toEqual([])
    expect((await watched.run('mcp-proxy', 'status')).stdout).toContain('STOPPED')
    expect(first(await order(watched, 'start', 'gateway'))).toMatchObject({ outcome: 'done' })
    const third = await runningAs(watched, 'gateway', second)
    // Another connector needs no other process.
    const written = JSON.parse(readFileSync(file, 'utf8')) as { connectors: object }
    const connectors = { ...written.connectors, two: child() }
    writeFileSync(file, JSON.stringify({ ...written, connectors }))
    await watched.run('proxy-ctl', 'reload')
    expect(await client.call('two__pid')).toMatch(/^\d+$/)
    expect(await runningAs(watched, 'gateway')).toBe(third)
    // Another address does.
    const other = await freePort()
    writeFileSync(file, JSON.stringify({ ...written, gateway: { http: { listen: `127.0.0.1:${other}` } } }))
    await watched.run('proxy-ctl', 'reload')
    await runningAs(watched, 'gateway', third)
    expect(await new HttpClient(watched, other).call('one__pid')).toMatch(/^\d+$/)
    const ended = await watched.run('proxy-monitor', '--stop', '--stop-forwards')
    expect(ended.stdout).toContain('The monitor has ended')
    expect((await watched.run('mcp-proxy', 'status')).stdout).toContain('STOPPED')
  })

  it('goes on when the next one cannot be started, and says in words why; then so does its start', async ({
    watched,
  }) => {
    const { file } = await kept(watched, { one: child() })
    const pid = await runningAs(watched, 'gateway')
    const written = JSON.parse(readFileSync(file, 'utf8')) as object
    const missing = watched.file('missing.json')
    const gateway = { http: { listen: '127.0.0.1:1' }, import: missing }
    writeFileSync(file, JSON.stringify({ ...written, gateway }))
    await watched.run('proxy-ctl', 'reload')
    await watched.logLine(new RegExp(`could not be replaced: .*missing.json.*PID ${pid} keeps running`))
    expect(await runningAs(watched, 'gateway')).toBe(pid)
    process.kill(pid, 'SIGKILL')
    const report = await watched.statusWhen('the gateway is not healthy', ({ programs }) =>
      programs.some(({ reason }) => reason?.includes('missing.json') === true),
    )
    expect(report.programs[0]).toMatchObject({
      name: 'gateway',
      state: expect.stringMatching(/backoff|starting|dead/),
    })
  })
})
