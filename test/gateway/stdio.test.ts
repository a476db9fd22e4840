// `mcp-proxy start` as an MCP client starts it: on stdin and stdout, with real servers as children.
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { child, childrenOf, configured, LineClient } from '../support/gateway.ts'
import { until } from '../support/tools.ts'

describe('mcp-proxy on stdin and stdout', () => {
  it('joins servers, says on stderr how they started, and keeps stdout for the protocol', async ({
    watched,
  }) => {
    const config = configured(watched, {
      echo: child('junk'),
      'Other One': { ...child(), tools: { allow: ['echo', 'pid'] } },
      dead: child('end', 'stderr'),
    })
    const client = new LineClient(watched, '--all', '--config', config)
    const opened = await client.initialize()
    expect(opened.result).toMatchObject({
      protocolVersion: '2025-11-25',
      serverInfo: { name: 'port-watchdog' },
    })
    const { result } = await client.ask(1, 'tools/list')
    const names = result?.tools?.map(({ name }) => name) ?? []
    expect(names.slice(0, 2)).toEqual(['echo__echo', 'echo__pid'])
    expect(names.slice(-2)).toEqual(['other-one__echo', 'other-one__pid'])
    // A dead server fails no list, and the list says what is missing.
    expect(result?._meta).toEqual({
      'io.port-watchdog/unavailable': [
        {
          connector: 'dead',
          state: 'error',
          reason: 'it ended with exit code 3; it said last: cannot reach the database',
        },
      ],
    })
    expect((await client.ask(2, 'tools/call', { name: 'other-one__pid' })).result?.content).toHaveLength(1)
    const dead = await client.ask(3, 'tools/call', { name: 'dead__echo' })
    expect(dead.error?.message).toContain("connector 'dead' is not available: it ended with exit code 3")
    expect((await client.ask(4, 'tools/call', { name: 'nothing' })).error).toMatchObject({ code: -32_602 })
    expect(client.stderr).toMatch(/^Starting MCP proxy server\.\.\.$/m)
    expect(client.stderr).toMatch(/^Connector 'echo' ready \(10 tools\)$/m)
    expect(client.stderr).toMatch(/^Connector 'dead' failed: it ended with exit code 3/m)
    expect(client.stderr).toMatch(/^Proxy started with 2 connector\(s\)$/m)
    for (const line of client.lines) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' })
    expect(childrenOf(client.pid).length).toBeGreaterThanOrEqual(2)
    const { pid } = client
    expect(await client.end()).toBe(0)
    expect(childrenOf(pid)).toEqual([])
  })

  it('passes bytes as they were written, both ways, and changes ids, tokens and names alone', async ({
    watched,
  }) => {
    const client = new LineClient(watched, '--all', '--config', configured(watched, { raw: child() }))
    await client.initialize()
    const sent =
      '{"new":[1.0,{"a":12345678901234567890}],"params":{"arguments":{"n":1e400,"big":12345678901234567890,"s":"\\u00e9\\/","z":1,"a":-0.0},"name":"raw__echo"},"method":"tools/call","id":"é","jsonrpc":"2.0"}'
    client.send(sent)
    const answer = await client.line('é')
    // What the child could not have known comes back, too.
    expect(answer).toContain('"unknown_field":1e400')
    const seen = JSON.parse(answer.replace('"unknown_field":1e400', '"unknown_field":0')).result.content[0]
      .text as string
    const id = /"id":(\d+)/.exec(seen)?.[1]
    const own =
      '"arguments":{"n":1e400,"big":12345678901234567890,"s":"\\u00e9\\/","z":1,"a":-0.0},"name":"echo"'
    expect(seen).toBe(
      `{"new":[1.0,{"a":12345678901234567890}],"params":{${own}},"method":"tools/call","id":${id},"jsonrpc":"2.0"}`,
    )
    client.send(
      '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"raw__progress","_meta":{"progressToken":"mine"}}}',
    )
    await client.line(7)
    expect((await client.heard('notifications/progress')).params).toEqual({
      progressToken: 'mine',
      progress: 1,
    })
    // An error of the server is the client's, with what it holds.
    expect((await client.ask(8, 'of/nobody')).error).toEqual({
      code: -32_601,
      message: 'Method not found',
      data: { odd: [1] },
    })
    await client.end()
  })

  it('asks the right client, and nobody when that would be a guess', async ({ watched }) => {
    const config = configured(watched, { asks: child() })
    const first = new LineClient(watched, '--all', '--config', config)
    await first.initialize('first', { elicitation: {} })
    await first.ask(1, 'tools/list')
    const second = new LineClient(watched, '--all', '--config', config)
    await second.initialize('second', { elicitation: {} })
    await until('the second client takes part in the gateway of the first', async () =>
      second.stderr.includes('Joined the gateway that runs already') ? true : undefined,
    )
    second.send(
      '{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"asks__ask","arguments":{"question":"who?"}}}',
    )
    const asked = await second.heard('elicitation/create')
    expect(asked.params?.message).toBe('who?')
    expect(first.lines.join()).not.toContain('elicitation/create')
    second.send(
      `{"jsonrpc":"2.0","id":${JSON.stringify(asked.id)},"result":{"action":"accept","content":{"n":12345678901234567890}}}`,
    )
    expect(await second.line('q')).toContain('12345678901234567890')
    // Both have calls under way: whom the server means is not known.
    first.send(
      '{"jsonrpc":"2.0","id":"s","method":"tools/call","params":{"name":"asks__slow","arguments":{"ms":60000}}}',
    )
    await first.ask(2, 'ping')
    second.send('{"jsonrpc":"2.0","id":"r","method":"tools/call","params":{"name":"asks__ask"}}')
    expect(await second.line('r')).toContain('the gateway cannot tell which client this request is for')
    await second.end()
    first.send('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"s"}}')
    await first.end()
  })

  it('shares one gateway between applications, which lives until the last of them leaves', async ({
    watched,
  }) => {
    const config = configured(watched, { one: child(), two: child() })
    const first = new LineClient(watched, '--all', '--config', config)
    await first.initialize()
    const pidOf = async (client: LineClient, name: string) =>
      (await client.ask(`pid ${name}`, 'tools/call', { name })).result?.content?.[0]?.text
    const own = await pidOf(first, 'one__pid')
    const second = new LineClient(watched, '--connectors', 'one', '--config', config)
    await second.initialize()
    expect(await pidOf(second, 'one__pid')).toBe(own)
    const { result } = await second.ask('list', 'tools/list')
    expect(result?.tools?.some(({ name }) => name.startsWith('two__'))).toBe(false)
    const left = first.end()
    expect(await pidOf(second, 'one__pid')).toBe(own)
    expect(await second.end()).toBe(0)
    expect(await left).toBe(0)
  })

  it('starts a server again that has died, repeats what is safe to repeat, and says it of what is not', async ({
    watched,
  }) => {
    const client = new LineClient(watched, '--all', '--config', configured(watched, { frail: child() }))
    await client.initialize()
    const pid = async (id: string) =>
      (await client.ask(id, 'tools/call', { name: 'frail__pid' })).result?.content?.[0]?.text
    const before = Number(await pid('a'))
    process.kill(before, 'SIGKILL')
    const after = Number(await pid('b'))
    expect(after).not.toBe(before)
    const unknown = await client.ask('c', 'tools/call', { name: 'frail__end_writing' })
    expect(unknown.error?.message).toMatch(
      /ended during the call: it ended with exit code 7; whether the call had an effect is unknown/,
    )
    await client.end()
  })

  it('tells a client what has changed', async ({ watched }) => {
    const client = new LineClient(watched, '--all', '--config', configured(watched, { c: child() }))
    await client.initialize()
    await client.ask('before', 'tools/list')
    client.lines.length = 0
    await client.ask('change', 'tools/call', { name: 'c__change' })
    await client.heard('notifications/tools/list_changed')
    // What was read at the start is told, too, and perhaps only now.
    let asked = 0
    await until('the new tool is listed', async () => {
      const { result } = await client.ask(`after-${++asked}`, 'tools/list')
      return result?.tools?.some(({ name }) => name === 'c__changed') ? true : undefined
    })
    await client.ask('follow', 'resources/subscribe', { uri: 'test://one' })
    expect((await client.heard('notifications/resources/updated')).params).toEqual({ uri: 'test://one' })
    await client.end()
  })

  it('leaves nothing behind when it is killed: the next one ends what did not end by itself', async ({
    watched,
  }) => {
    const config = configured(watched, { stays: child('stays') })
    const first = new LineClient(watched, '--all', '--config', config)
    await first.initialize()
    await first.ask(1, 'tools/list')
    const { pid } = first
    const [left = 0] = childrenOf(pid)
    first.kill('SIGKILL')
    await first.end()
    expect(childrenOf(pid)).toEqual([left])
    const next = new LineClient(watched, '--all', '--config', config)
    await next.initialize()
    // A list may be what is remembered: a call waits for the server, and the server for the end of what was left.
    await next.ask(1, 'tools/call', { name: 'stays__echo' })
    expect(childrenOf(pid)).toEqual([])
    next.kill('SIGTERM')
    await next.end()
  })

  it('ends within 9 s by SIGTERM, with servers that do not want to', async ({ watched }) => {
    const client = new LineClient(
      watched,
      '--all',
      '--config',
      configured(watched, { stays: child('stays') }),
    )
    await client.initialize()
    await client.ask(1, 'tools/list')
    const began = performance.now()
    const { pid } = client
    client.kill('SIGTERM')
    await until('the gateway has ended', async () => (childrenOf(pid).length === 0 ? true : undefined), 9000)
    expect(performance.now() - began).toBeLessThan(9000)
  })
})
