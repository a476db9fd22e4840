// Many servers, slow servers, and many clients that want the same one: starts are few at a time, and nobody waits for them who need not.
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  child,
  childrenOf,
  configured,
  LineClient,
  logged,
  type RpcAnswer,
  type ServedGateway,
  served,
  small,
} from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const json = { 'content-type': 'application/json' }

/** Those that had begun and were not ready, at most. */
function mostAtOnce(lines: readonly string[]): number {
  let starting = 0
  let most = 0
  for (const line of lines) {
    starting += line.startsWith('begun') ? 1 : -1
    most = Math.max(most, starting)
  }
  return most
}

/** Children of a process that have ended and that it has not looked after. */
function zombiesOf(parent: number): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      const [state, of] = /\) (\S) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.slice(1) ?? []
      return state === 'Z' && Number(of) === parent
    } catch {
      return false
    }
  }).length
}

describe('a hundred slow servers', () => {
  const count = 100
  const watched = new Watched()
  afterAll(() => watched.remove())

  it('start as many at a time as there are cores, all within their own time, and their list is there before', async () => {
    const log = watched.file('starts')
    const slow = small(log, { delay: 0.06 })
    const connectors = Object.fromEntries(Array.from({ length: count }, (_, at) => [`s${at}`, slow]))
    const words = ['--all', '--timeout', '3', '--config', configured(watched, connectors)]
    const began = performance.now()
    const first = new LineClient(watched, ...words)
    await first.initialize()
    // The opening waits for no server.
    expect(logged(log).filter((line) => line.startsWith('ready')).length).toBeLessThan(count / 2)
    await until(
      'all are ready',
      async () => (first.stderr.includes('Proxy started') ? true : undefined),
      60_000,
    )
    expect(first.stderr).toContain(`Proxy started with ${count} connector(s)`)
    // Together they took longer than each may: the time of each counts from its own start.
    expect(performance.now() - began).toBeGreaterThan((count / Math.max(2, availableParallelism())) * 60)
    expect(mostAtOnce(logged(log))).toBeLessThanOrEqual(Math.max(2, availableParallelism()))
    expect((await first.ask('all', 'tools/list')).result?.tools).toHaveLength(count)
    await first.end()
    const before = logged(log).length
    const second = new LineClient(watched, ...words)
    await second.initialize()
    const { result } = await second.ask('remembered', 'tools/list')
    const ready = logged(log)
      .slice(before)
      .filter((line) => line.startsWith('ready')).length
    expect(result?.tools).toHaveLength(count)
    expect(result?._meta).toBeUndefined()
    expect(ready).toBeLessThan(count)
    second.kill('SIGTERM')
    await second.end()
    expect(childrenOf(second.pid)).toEqual([])
  })
})

describe('a gateway with one slow and one quick server', () => {
  const watched = new Watched()
  const log = watched.file('starts')
  let gateway: ServedGateway
  let line: LineClient

  beforeAll(async () => {
    gateway = await served(watched, {
      wanted: { ...small(log, { delay: 0.3 }), start: 'demand', idle: '300ms' },
      patient: { ...child(), timeout: '30s' },
      hasty: { ...child(), timeout: '400ms' },
    })
    line = new LineClient(watched, '--all', '--config', watched.file('connectors.json'))
    await line.initialize()
  })

  afterAll(async () => {
    await line.end()
    await watched.remove()
  })

  const post = async (path: string, body: object, headers: Record<string, string> = {}) => {
    const response = await fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { ...json, 'x-api-key': gateway.key, ...headers },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, ...body }),
    })
    return { response, text: await response.text() }
  }
  const call = (name: string, args: object = {}) => ({
    method: 'tools/call',
    params: { name, arguments: args },
  })

  it('starts one process for twenty calls at once, again after its rest, and leaves no zombie', async () => {
    for (const times of [1, 2]) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => post('/mcp/wanted', call('run'))))
      const said = answers.map(({ text }) => (JSON.parse(text) as RpcAnswer).result?.content?.[0]?.text)
      expect(new Set(said).size, said.join()).toBe(1)
      expect(logged(log).filter((one) => one.startsWith('begun'))).toHaveLength(times)
      await until('it rests', async () => {
        const lines = logged(log)
        const [, pid = ''] = lines.at(-1)?.split(' ') ?? []
        return readdirSync('/proc').includes(pid) ? undefined : true
      })
    }
    expect(zombiesOf(gateway.resident.pid)).toBe(0)
  })

  it('gives a call the time of its connector by every road, and no other limit comes before', async () => {
    const opened = await post(
      '/mcp',
      {
        method: 'initialize',
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'a', version: '1' } },
      },
      { accept: 'application/json, text/event-stream' },
    )
    const session = {
      accept: 'application/json, text/event-stream',
      'mcp-session-id': opened.response.headers.get('mcp-session-id') ?? '',
    }
    const roads: readonly ((name: string, ms: number) => Promise<string>)[] = [
      async (name, ms) => (await post('/mcp', call(name, { ms }))).text,
      async (name, ms) => (await post('/mcp', { id: `${name}`, ...call(name, { ms }) }, session)).text,
      async (name, ms) =>
        JSON.stringify(await line.ask(`${name} ${ms}`, 'tools/call', call(name, { ms }).params)),
    ]
    const asked = roads.flatMap((road) => [road('patient__slow', 2500), road('hasty__slow', 2500)])
    const answers = await Promise.all(asked)
    for (const [at, answer] of answers.entries()) {
      if (at % 2 === 0) expect(answer).toContain('slept')
      else expect(answer).toContain("connector 'hasty' did not answer within 0.4 s")
    }
  })
})
