// A gateway that reads its configuration again, under clients of both generations.
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { child, childrenOf, configured, LineClient, served } from '../support/gateway.ts'
import { until } from '../support/tools.ts'

/** A stream of changes in the newer generation. @returns all that has come of it so far. */
async function listen(url: string, key: string): Promise<() => string> {
  const method = 'subscriptions/listen'
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'modern', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const params = { notifications: { toolsListChanged: true }, _meta: meta }
  const response = await fetch(`${url}/mcp`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      'x-api-key': key,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 'listen', method, params }),
  })
  let heard = ''
  const decoder = new TextDecoder()
  void (async () => {
    for await (const chunk of response.body ?? []) heard += decoder.decode(chunk, { stream: true })
  })().catch(() => {})
  await until('the stream is acknowledged', async () => (heard.includes('acknowledged') ? true : undefined))
  return () => heard
}

describe('mcp-proxy reload', { timeout: 120_000 }, () => {
  it('restarts what has changed and nothing else, finishes calls, tells clients, and refuses what is not valid', async ({
    watched,
  }) => {
    const first = { a: child(), b: child(), c: child(), rules: child() }
    const { url, key, resident } = await served(watched, first)
    const heard = await listen(url, key)
    const file = watched.file('connectors.json')
    const client = new LineClient(watched, '--all', '--config', file)
    await client.initialize('asked', { elicitation: {} })
    let asked = 0
    const call = async (name: string, args: object = {}) => {
      const { result, error } = await client.ask(++asked, 'tools/call', { name, arguments: args })
      return result?.content?.[0]?.text ?? error?.message ?? ''
    }
    const before = { a: await call('a__pid'), b: await call('b__pid'), rules: await call('rules__pid') }
    client.lines.length = 0
    // A call that is over when this client says so.
    client.send('{"jsonrpc":"2.0","id":"held","method":"tools/call","params":{"name":"a__ask"}}')
    const question = await client.heard('elicitation/create')
    configured(watched, {
      a: { ...child(), env: { CHANGED: 'yes' } },
      b: child(),
      d: child(),
      rules: { ...child(), tools: { deny: ['echo'] } },
    })
    const reload = await watched.run('mcp-proxy', 'reload')
    expect(reload.stdout).toBe(`${file}: added d; removed c; restarted a; other rules for rules\n`)
    await client.heard('notifications/tools/list_changed')
    await until('the newer generation is told, too', async () =>
      heard().includes('tools/list_changed') ? true : undefined,
    )
    expect(await call('a__environment')).toContain('"CHANGED":"yes"')
    expect(await call('a__pid')).not.toBe(before.a)
    expect(await call('b__pid')).toBe(before.b)
    expect(await call('rules__pid')).toBe(before.rules)
    expect(await call('d__pid')).toMatch(/^\d+$/)
    expect(await call('c__pid')).toContain('Unknown tool')
    expect(await call('rules__echo')).toContain('Unknown tool')
    // The call that was under way is answered by the server that it was given to.
    client.send(`{"jsonrpc":"2.0","id":${JSON.stringify(question.id)},"result":{"action":"decline"}}`)
    expect(await client.line('held')).toContain('decline')
    const { result } = await client.ask('list', 'tools/list')
    const names = result?.tools?.map(({ name }) => name.split('__')[0])
    expect([...new Set(names)]).toEqual(['a', 'b', 'd', 'rules'])
    await until('what was replaced or removed has ended', async () =>
      childrenOf(resident.pid).length === 4 ? true : undefined,
    )
    // What is not valid changes nothing, and its line is named.
    const now = { a: await call('a__pid'), d: await call('d__pid') }
    writeFileSync(file, '{\n  "connectors": {\n    "a": { "comand": "x" }\n  }\n}\n')
    const refused = await watched.run('mcp-proxy', 'reload')
    expect(refused.code).toBe(78)
    expect(refused.stderr).toMatch(/connectors\.json.*line 3.*comand/)
    expect(await call('a__pid')).toBe(now.a)
    // A signal is the same order.
    configured(watched, { a: { ...child(), env: { CHANGED: 'yes' } }, d: child('x') })
    process.kill(resident.pid, 'SIGHUP')
    await until('the signal has its effect', async () =>
      (await call('d__pid')) === now.d ? undefined : true,
    )
    expect(await call('a__pid')).toBe(now.a)
    expect(readFileSync(watched.file('mcp_proxy.log'), 'utf8')).toContain('removed b, rules; restarted d')
    await client.end()
    await resident.stop()
    expect((await watched.run('mcp-proxy', 'reload')).code).toBe(69)
  })
})
