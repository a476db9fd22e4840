// `proxy-ctl mcp` as real clients use it: the SDK's second line in both generations of the protocol, and its first line.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import type { Client } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { orders } from '../../../src/orders/index.ts'
import { agent, call, eras, mcpCommand } from '../../support/agent.ts'
import { healthyAs, startMonitor } from '../../support/monitored.ts'
import type { Resident } from '../../support/resident.ts'
import { cached, freePort, until } from '../../support/tools.ts'
import { echoServer, Watched } from '../../support/watched.ts'

const watched = new Watched()
const opened: Client[] = []
let forwards: { name: string; listen: number; target: string }[]
let monitor: Resident

beforeAll(async () => {
  const echo = await echoServer()
  forwards = [
    { name: 'web', listen: await freePort(), target: `localhost:${echo.port}` },
    { name: 'late', listen: await freePort(), target: `localhost:${await freePort()}` },
  ]
  monitor = await startMonitor(watched, { forwards })
  await healthyAs(watched, forwards[0]?.listen ?? 0)
})

afterAll(async () => {
  for (const client of opened) await client.close()
  await watched.remove()
})

async function connected(era: (typeof eras)[number]): Promise<Client> {
  const client = await agent(watched, era)
  opened.push(client)
  return client
}

describe.each(eras)('An agent of the %s protocol', (era) => {
  let client: Client
  beforeAll(async () => {
    client = await connected(era)
  })

  it('finds the tools whose orders there are, each described for a model and for a program', async () => {
    expect(client.getProtocolEra()).toBe(era)
    expect(client.getInstructions()).toContain('Call process_list first')
    const { tools } = await client.listTools()
    const names = tools.map(({ name }) => name)
    expect(names).toEqual(
      expect.arrayContaining([
        'process_list',
        'process_control',
        'get_status',
        'wait_ready',
        'restart_forward',
      ]),
    )
    expect(names.includes('get_logs')).toBe(orders.some(({ name }) => name === 'logs'))
    for (const tool of tools) {
      expect(tool).toMatchObject({
        title: expect.any(String),
        description: expect.stringMatching(/\.$/),
        inputSchema: { type: 'object', additionalProperties: false },
        outputSchema: { type: 'object' },
        annotations: { readOnlyHint: expect.any(Boolean), openWorldHint: false },
      })
    }
    const list = tools.find(({ name }) => name === 'process_list')
    expect(list?._meta?.['anthropic/maxResultSizeChars']).toBe(100_000)
  })

  it('sees how everything stands at a glance', async () => {
    const list = await call(client, 'process_list')
    expect(list.text).toMatch(
      /^2 units: 1 healthy, 1 waiting\nweb \(forward\) healthy: pid \d+, up .*port \d+ -> localhost:\d+$/m,
    )
    expect(list.structured).toMatchObject({
      units: [
        { name: 'web', state: 'healthy', targetState: 'reachable', restarts: expect.any(Number) },
        { name: 'late', state: 'waiting' },
      ],
      leftOut: 0,
    })
    const status = await call(client, 'get_status', { units: ['late'] })
    expect(status.text).toMatch(
      /^watchdog RUNNING; units: .*\nlate \(forward\) waiting: .*\n.*log: .*Listening/s,
    )
    expect(status.structured).toMatchObject({ units: [{ name: 'late', state: 'waiting' }] })
    expect((await call(client, 'forward_status')).structured).toMatchObject({ leftOut: 0 })
  })

  it('orders, and reads what it led to', async () => {
    const before = await call(client, 'process_list')
    const restarted = await call(client, 'restart_forward', { units: ['web'] })
    expect(restarted.text).toMatch(/^done: web \(forward\) healthy: pid \d+/)
    const pidOf = ({ text }: { text: string }) => /web .*?pid (\d+)/.exec(text)?.[1]
    expect(pidOf(restarted)).not.toBe(pidOf(before))
    const stopped = await call(client, 'process_control', { units: ['web'], action: 'stop' })
    expect(stopped.text).toMatch(/^done: web \(forward\) down: .*stopped by /)
    const waited = await call(client, 'wait_ready', { units: ['web', 'late'] })
    expect(waited).toMatchObject({
      isError: true,
      structured: { results: [{ error: { code: 'stopped' } }, {}] },
    })
    expect(waited.text).toMatch(
      /^failed: stopped: web is stopped\. Next: process_start \{"units":\["web"\]\}\nnow: web .*\nlast lines:\n/,
    )
    expect((await call(client, 'process_start', { units: ['web'] })).text).toMatch(/^done: web/)
    expect((await call(client, 'process_start', { units: ['web'] })).text).toMatch(/^already: web/)
  })

  it('is told what it got wrong, and what to do', async () => {
    for (const name of ['nobody', '--all', '-rf', '$(reboot)', '; rm -rf /', "web'", '../web', '']) {
      const said = await call(client, 'process_stop', { units: [name] })
      expect(said.isError).toBe(true)
      const meant = name === "web'" ? ' (did you mean web?)' : ''
      expect(said.text).toBe(
        `unknown-unit: there is no forward or program "${name}"${meant}. Next: name one of web, late`,
      )
      expect(said.meta['port-watchdog/error']).toMatchObject({ code: 'unknown-unit' })
    }
    const wrong = await call(client, 'process_start', { name: 'web' })
    expect(wrong.text).toMatch(/^invalid-input: process_start: .* Next: it takes units, timeoutMs$/)
    await expect(client.callTool({ name: 'reboot' })).rejects.toThrow(
      /Unknown tool: reboot; there are process_list/,
    )
    await expect(client.readResource({ uri: 'process://nobody/log' })).rejects.toThrow(/not found/)
    await expect(client.readResource({ uri: 'file:///etc/passwd' })).rejects.toThrow(/not found/)
  })

  it('reads resources, and completes names', async () => {
    const { resources } = await client.listResources()
    expect(resources.map(({ uri }) => uri)).toEqual([
      'watchdog://process_list',
      'watchdog://log_stream',
      'watchdog://system_stats',
      'process://web/log',
      'process://late/log',
    ])
    const read = async (uri: string) => {
      const [content] = (await client.readResource({ uri })).contents
      return content !== undefined && 'text' in content ? content.text : ''
    }
    expect(JSON.parse(await read('watchdog://process_list')).units).toHaveLength(2)
    expect(await read('watchdog://log_stream')).toContain('"event":"monitor-started"')
    expect(await read('process://web/log')).toMatch(/Listening/)
    const stats = JSON.parse(await read('watchdog://system_stats'))
    expect(stats.units[0]).toMatchObject({ name: 'web', descriptors: expect.any(Number) })
    const mine = (name: string) =>
      expect.objectContaining({ name, calls: expect.any(Number), errors: expect.any(Number) })
    expect(stats.mcp.tools).toContainEqual(mine('process_stop'))
    expect(stats.mcp.clients).toEqual([mine(`test-${era}`)])
    const { completion } = await client.complete({
      ref: { type: 'ref/resource', uri: 'process://{name}/log' },
      argument: { name: 'name', value: 'la' },
    })
    expect(completion.values).toEqual(['late'])
  })

  it('is told of changes that it subscribed to', async () => {
    const uri = 'process://late/log'
    const updated = new Set<string>()
    client.setNotificationHandler(
      'notifications/resources/updated',
      ({ params }) => void updated.add(params.uri),
    )
    if (era === 'modern') await client.listen({ resourceSubscriptions: [uri] })
    else await client.subscribeResource({ uri })
    await until('the change was told', async () => {
      await call(client, 'process_restart', { units: ['late', 'web'] })
      if (updated.size > 0) return true
      throw new Error('nothing was told')
    })
    expect([...updated]).toEqual([uri])
  })

  it('hears that a wait goes on, and ends it', async () => {
    const progress: string[] = []
    const over = new AbortController()
    const given = { name: 'wait_ready', arguments: { units: ['late'], for: 'healthy', timeoutMs: 120_000 } }
    const waiting = client.callTool(given, {
      onprogress: ({ message = '' }) => {
        progress.push(message)
        over.abort()
      },
      signal: over.signal,
      timeout: 120_000,
    })
    await expect(waiting).rejects.toThrow()
    expect(progress[0]).toMatch(/^late: running/)
    expect((await call(client, 'process_list')).isError).toBe(false)
  })
})

describe('proxy-ctl mcp', () => {
  it('serves the official client of the first line', async () => {
    const sdk = (file: string) =>
      import(pathToFileURL(cached('everything', '@modelcontextprotocol/sdk/dist/esm', file)).href)
    const { Client: OldClient } = await sdk('client/index.js')
    const { StdioClientTransport: OldTransport } = await sdk('client/stdio.js')
    const { LoggingMessageNotificationSchema } = await sdk('types.js')
    const client = new OldClient({ name: 'old', version: '1.0.0' })
    await client.connect(new OldTransport(mcpCommand(watched)))
    const logged: unknown[] = []
    client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }: { params: unknown }) =>
      logged.push(params),
    )
    await client.setLoggingLevel('info')
    await client.listTools()
    expect(
      (await client.callTool({ name: 'get_status', arguments: {} })).structuredContent.monitor.state,
    ).toBe('RUNNING')
    await until('the restart was logged', async () => {
      await client.callTool({ name: 'process_restart', arguments: { units: ['web'] } })
      if (logged.length > 0) return true
      throw new Error('nothing was logged')
    })
    expect(logged[0]).toMatchObject({ level: 'info', logger: 'port-watchdog' })
    await client.close()
  })

  it('stays there through junk, and ends with its input', async () => {
    const { command, args } = mcpCommand(watched)
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      said += text
    })
    const ask = { jsonrpc: '2.0', id: 7, method: 'ping' }
    child.stdin.write(`junk\n{"jsonrpc": "2.0"}\n[]\n\u0000\n${JSON.stringify(ask)}\n`)
    await until('the ping is answered', async () => {
      if (said.includes('"id":7')) return true
      throw new Error(said)
    })
    const ended = once(child, 'exit')
    child.stdin.end()
    expect(await ended).toEqual([0, null])
  })

  it('answers what is under way when its input ends, and then ends', async () => {
    const { command, args } = mcpCommand(watched)
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const said = text(child.stdout)
    const ended = once(child, 'exit')
    const client = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'c', version: '1' },
    }
    const messages = [
      { id: 1, method: 'initialize', params: client },
      { method: 'notifications/initialized' },
      { id: 2, method: 'tools/call', params: { name: 'get_status', arguments: {} } },
      // Nothing ends it but its time: a call that takes long.
      {
        id: 3,
        method: 'tools/call',
        params: { name: 'wait_ready', arguments: { units: ['web'], for: 'exited', timeoutMs: 700 } },
      },
    ]
    child.stdin.end(messages.map((one) => `${JSON.stringify({ jsonrpc: '2.0', ...one })}\n`).join(''))
    expect(await ended).toEqual([0, null])
    const answers = (await said)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(answers.map(({ id }) => id).sort()).toEqual([1, 2, 3])
    expect(answers.find(({ id }) => id === 3).result.content[0].text).toContain('timed-out')
  })

  it('ends at a message without end', async () => {
    const { command, args } = mcpCommand(watched)
    const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'pipe'] })
    child.stdin.on('error', () => {})
    const ended = once(child, 'exit')
    child.stdin.write('x'.repeat(5 * 1024 * 1024))
    await ended
  })

  it('waits for a monitor that comes back, and says when none does', async () => {
    const [one, other] = await Promise.all([connected('legacy'), connected('modern')])
    expect((await call(one, 'process_list')).isError).toBe(false)
    await call(other, 'process_list')
    await monitor.stop('SIGKILL')
    const both = Promise.all([call(one, 'process_list'), call(other, 'get_status')])
    monitor = await startMonitor(watched, { forwards })
    expect((await both).map(({ isError }) => isError)).toEqual([false, false])
    await watched.run('proxy-ctl', 'stop-monitor')
    const none = await call(one, 'process_list')
    expect(none.text).toMatch(/^no-monitor: no monitor is running \(.*\)\. Next: to start it: /)
    // The tools are there all the same.
    expect((await one.listTools()).tools.length).toBeGreaterThan(5)
  })

  it('prints what makes a client start it', async () => {
    for (const client of ['claude', 'cursor']) {
      const { stdout } = await watched.run('proxy-ctl', 'mcp', '--print-config', client)
      const { command, args } = JSON.parse(stdout).mcpServers['port-watchdog']
      expect([command, ...args]).toEqual([mcpCommand(watched).command, ...mcpCommand(watched).args])
    }
    const code = await watched.run('proxy-ctl', 'mcp', '--print-config', 'vscode')
    expect(JSON.parse(code.stdout).servers['port-watchdog']).toMatchObject({ type: 'stdio' })
    const codex = await watched.run('proxy-ctl', 'mcp', '--print-config', 'codex')
    expect(codex.stdout).toMatch(/^\[mcp_servers\.port-watchdog\]\ncommand = "\/.*"\nargs = \[".*"\]\n$/)
    expect((await watched.run('proxy-ctl', 'mcp', '--print-config', 'emacs')).code).toBe(64)
  })
})
