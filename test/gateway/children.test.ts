// Processes of servers, and clients that go without a word: nothing stays that nobody needs.
import { once } from 'node:events'
import { readdirSync, readFileSync, renameSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  child,
  childrenOf,
  configured,
  LineClient,
  logged,
  type RpcAnswer,
  type ServedGateway,
  servedWith,
  small,
} from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
const log = watched.file('begun')
/** A server with a helper of its own, which knows nothing of stdin. */
const family = { command: ['/bin/sh', '-c', `sleep 3600 & ${small(log).command.join(' ')}`] }
let gateway: ServedGateway

beforeAll(async () => {
  gateway = await servedWith(
    watched,
    {
      own: { ...small(log), isolation: 'session' },
      few: { ...small(log), isolation: 'session', maxConnections: 3 },
      family: { ...family, start: 'demand', idle: '300ms' },
      slow: child(),
    },
    { access: { sessions: { idle: '2s' } } },
  )
})

afterAll(() => watched.remove())

const json = { 'content-type': 'application/json' }
const both = { ...json, accept: 'application/json, text/event-stream' }
const initialize =
  '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}'
const call = (name: string, args: object = {}) =>
  JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } })

const keyed = () => ({ 'x-api-key': gateway.key })

function post(path: string, body: string, headers: Record<string, string> = both) {
  return fetch(`${gateway.url}${path}`, { method: 'POST', headers: { ...keyed(), ...headers }, body })
}

/** Begins a session. @returns its id. */
async function begun(path: string): Promise<string> {
  const answer = await post(path, initialize)
  await answer.text()
  return answer.headers.get('mcp-session-id') ?? ''
}

async function called(path: string, session: string, name = 'run'): Promise<RpcAnswer> {
  const answer = await post(path, call(name), { ...both, 'mcp-session-id': session })
  return (await answer.json()) as RpcAnswer
}

/** The stream of a session. */
async function stream(path: string, session: string) {
  const headers = { ...keyed(), accept: 'text/event-stream', 'mcp-session-id': session }
  const sent = request(`${gateway.url}${path}`, { agent: false, headers })
  sent.on('error', () => {})
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.on('error', () => {})
  response.resume()
  return sent
}

const childrenNow = () => childrenOf(gateway.resident.pid).length

async function backTo(count: number): Promise<void> {
  await until(`${count} children are left, of ${childrenNow()}`, async () =>
    childrenNow() === count ? true : undefined,
  )
}

describe('clients over HTTP that vanish', () => {
  it('leave none of the processes that they had of their own', async () => {
    const before = childrenNow()
    const gone = await Promise.all(
      Array.from({ length: 30 }, async (_, at) => {
        const session = await begun('/mcp/own')
        expect(await called('/mcp/own', session)).toHaveProperty('result')
        return at % 2 === 0 ? await stream('/mcp/own', session) : undefined
      }),
    )
    expect(childrenNow()).toBe(before + 30)
    // No DELETE, and no end of the protocol.
    for (const one of gone) one?.destroy()
    await backTo(before)
  })

  it('keep them while they read their stream, however long they ask nothing', async () => {
    const before = childrenNow()
    const session = await begun('/mcp/own')
    const pid = (await called('/mcp/own', session)).result?.content?.[0]?.text
    const open = await stream('/mcp/own', session)
    const other = await begun('/mcp/own')
    await called('/mcp/own', other)
    // The one without a stream goes.
    await backTo(before + 1)
    expect((await called('/mcp/own', session)).result?.content?.[0]?.text).toBe(pid)
    open.destroy()
    await backTo(before)
  })

  it('hold nothing by a stream of changes that was asked for in a session', async () => {
    const before = childrenNow()
    const session = await begun('/mcp/own')
    await called('/mcp/own', session)
    const listen = { jsonrpc: '2.0', id: 9, method: 'subscriptions/listen', params: { notifications: {} } }
    const headers = { ...both, 'mcp-session-id': session }
    const over = new AbortController()
    const answer = await fetch(`${gateway.url}/mcp/own`, {
      method: 'POST',
      headers: { ...keyed(), ...headers },
      body: JSON.stringify(listen),
      signal: over.signal,
    })
    expect(answer.headers.get('content-type')).toContain('text/event-stream')
    over.abort()
    await backTo(before)
    expect((await post('/mcp/own', call('run'), headers)).status).toBe(404)
  })

  it('end nothing but their own request, wherever it is cut', async () => {
    const before = childrenNow()
    const body = call('slow__slow', { ms: 50 })
    const head = `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-API-Key: ${gateway.key}\r\nContent-Length: ${body.length}\r\n\r\n`
    const whole = `${head}${body}`
    const cuts = [10, head.length - 5, head.length, head.length + 20, whole.length - 1, whole.length]
    const port = Number(new URL(gateway.url).port)
    await Promise.all(
      cuts.flatMap((cut) =>
        [true, false].map(async (isReset) => {
          const socket = connect(port, '127.0.0.1')
          socket.on('error', () => {})
          await once(socket, 'connect')
          await new Promise<void>((resolve) => socket.write(whole.slice(0, cut), () => resolve()))
          if (isReset) socket.resetAndDestroy()
          else socket.destroy()
        }),
      ),
    )
    const answer = (await (await post('/mcp', body, json)).json()) as RpcAnswer
    expect(answer.result?.content?.[0]?.text).toBe('slept')
    expect(gateway.resident.isRunning).toBe(true)
    await backTo(before)
  })
})

describe('processes of one connector', () => {
  it('are at most as many as it may have: the one more is refused with the reason, until one is free', async () => {
    const before = childrenNow()
    const sessions = await Promise.all([1, 2, 3, 4].map(() => begun('/mcp/few')))
    const [first = '', second = '', third = '', fourth = ''] = sessions
    for (const session of [first, second, third])
      expect(await called('/mcp/few', session)).toHaveProperty('result')
    expect((await called('/mcp/few', fourth)).error?.message).toContain(
      'it has 3 connections of clients, as many as it may have',
    )
    await fetch(`${gateway.url}/mcp/few`, {
      method: 'DELETE',
      headers: { ...keyed(), 'mcp-session-id': first },
    })
    await until('there is room', async () => (await called('/mcp/few', fourth)).result)
    await backTo(before)
  })

  it('end with all that they have started, when nobody needs them', async () => {
    const before = childrenNow()
    const answer = (await (await post('/mcp/family', call('run'), json)).json()) as RpcAnswer
    expect(answer.result).toBeDefined()
    expect(childrenNow()).toBeGreaterThanOrEqual(before + 2)
    await backTo(before)
  })
})

/** Processes that have this among their variables. */
function processesWith(mark: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return pid !== process.pid && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark)
      } catch {
        return false
      }
    })
}

describe('calls, the wire tap and commands', () => {
  it('leave no process behind: the gateway and its servers are all that runs', async () => {
    const own = new Watched()
    process.env.PROCESSES_OF_THIS_TEST = own.directory
    const mark = `PROCESSES_OF_THIS_TEST=${own.directory}`
    const client = await onLines(own, { one: child(), two: child() })
    const config = ['--config', own.file('connectors.json')]
    const watching = own.start('mcp-proxy', 'tap', '--follow')
    for (let count = 0; count < 50; count++)
      await client.ask(count, 'tools/call', { name: `${count % 2 === 0 ? 'one' : 'two'}__pid` })
    const ran = await Promise.all([
      own.run('mcp-proxy', 'call', 'one', 'pid', ...config),
      own.run('mcp-proxy', 'test', 'two', ...config),
      own.run('mcp-proxy', 'login', 'one', ...config),
    ])
    expect(ran.map(({ code }) => code === 0)).toEqual([true, true, false])
    await watching.stop()
    const servers = childrenOf(client.pid)
    expect(servers).toHaveLength(2)
    const all = () => processesWith(mark).filter((pid) => !servers.includes(pid))
    await until(`nothing else runs, of ${all()}`, async () =>
      all().every((pid) => pid === client.pid) ? true : undefined,
    )
    expect(all()).toEqual([client.pid])
    await client.end()
    expect([all(), childrenOf(client.pid)]).toEqual([[], []])
    delete process.env.PROCESSES_OF_THIS_TEST
    await own.remove()
  })
})

/** A client on stdin, with the number of processes of its gateway. */
async function onLines(of: Watched, connectors: Record<string, object>, ...words: string[]) {
  const client = new LineClient(of, '--all', ...words, '--config', configured(of, connectors))
  await client.initialize()
  return client
}

describe('a server', () => {
  it('that is connected again and again is there once', async () => {
    const own = new Watched()
    const client = await onLines(own, {
      frail: { ...child(), restart: { backoff: '1ms', flappingRestarts: 0 } },
    })
    const pids = new Set<string>()
    for (let round = 0; round < 4; round++) {
      const pid = await until('it answers', async () => {
        const { result } = await client.ask(`${round} ${Math.random()}`, 'tools/call', { name: 'frail__pid' })
        return result?.content?.[0]?.text
      })
      pids.add(pid)
      process.kill(Number(pid), 'SIGKILL')
    }
    expect(pids.size).toBe(4)
    await until('one is there', async () => {
      await client.ask(Math.random(), 'tools/call', { name: 'frail__pid' })
      return childrenOf(client.pid).length === 1 ? true : undefined
    })
    await client.end()
    expect(childrenOf(client.pid)).toEqual([])
    await own.remove()
  })

  it('that never answers its opening is ended, and started again no sooner than its wait is over', async () => {
    const own = new Watched()
    const mute = { ...child('mute'), restart: { backoff: '10m', backoffLimit: '10m' } }
    const client = await onLines(own, { mute }, '--timeout', '1')
    const answer = await client.ask('call', 'tools/call', { name: 'mute__echo' })
    expect(answer.error?.message).toContain('it did not answer within 1 s')
    await until('nothing is left of it', async () => (childrenOf(client.pid).length === 0 ? true : undefined))
    await client.end()
    await own.remove()
  })

  it('that is renamed, changed, added or removed under calls runs as often as it is configured', async () => {
    const own = new Watched()
    const begun = own.file('begun')
    const server = (tool: string) => ({ ...small(begun, { tools: [tool] }) })
    const client = await onLines(own, { kept: child(), old: server('old'), changed: server('before') })
    client.send(
      `{"jsonrpc":"2.0","id":"held","method":"tools/call","params":${JSON.stringify({ name: 'kept__slow', arguments: { ms: 1500 } })}}`,
    )
    const turns: readonly Record<string, object>[] = [
      { kept: child(), renamed: server('old'), changed: server('before') },
      { kept: child(), renamed: server('old'), changed: server('after') },
      { kept: child(), renamed: server('old'), changed: server('after'), added: server('more') },
      { kept: child(), added: server('more') },
    ]
    for (const connectors of turns) {
      // Whole at once, as editors write it.
      const other = new Watched()
      renameSync(configured(other, connectors), own.file('connectors.json'))
      await other.remove()
      expect((await own.run('mcp-proxy', 'reload')).code).toBe(0)
      await until(`as many run as are configured, of ${childrenOf(client.pid).length}`, async () =>
        childrenOf(client.pid).length === Object.keys(connectors).length ? true : undefined,
      )
    }
    expect(await client.line('held')).toContain('slept')
    // Each was started as often as it became another one. The last may have yet to say so.
    const starts = () => logged(begun).filter((line) => line.startsWith('begun')).length
    await until('all have begun', async () => (starts() < 5 ? undefined : true))
    expect(starts()).toBe(5)
    const status = readFileSync(own.file('mcp-proxy-runtime-state.json'), 'utf8')
    expect((JSON.parse(status) as { connectors: object[] }).connectors).toHaveLength(2)
    await client.end()
    expect(childrenOf(client.pid)).toEqual([])
    await own.remove()
  })
})
