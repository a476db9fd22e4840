// `mcp-proxy` as a person types it: mistakes, status and log.
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import type { GatewayState } from '../../src/record/shapes/gateway-state.ts'
import { it } from '../support/fixtures.ts'
import { child, configured, LineClient, served, stateWhen } from '../support/gateway.ts'
import { freePort } from '../support/tools.ts'

describe('mcp-proxy start', () => {
  it('says on one line what is wrong with its words', async ({ watched }) => {
    const config = configured(watched, { echo: child(), time: { ...child(), enabled: false } })
    const cases: readonly (readonly [words: readonly string[], problem: string])[] = [
      [['--all', '--connectors', 'echo'], '--all and --connectors exclude each other; give one of them'],
      [[], 'give --all, or --connectors with at least one of echo, time'],
      [['--connectors', ' , '], '--connectors: name at least one connector (see mcp-proxy --help)'],
      [['--connectors', 'echo,nothing'], 'there is no connector "nothing" in '],
      [['--all', '--timeout', '301'], '--timeout: 301 is not within 1 to 300'],
      [['--all', '--timeout', '0'], '--timeout: 0 is not within 1 to 300'],
      [['--all', '--allow-none'], '--allow-none works with --http on loopback alone'],
      [['--all', '--http', '0.0.0.0:1'], '0.0.0.0:1 is open to the network'],
    ]
    for (const [words, problem] of cases) {
      const { code, stdout, stderr } = await watched.run('mcp-proxy', 'start', '--config', config, ...words)
      expect(stderr).toContain(problem)
      expect([code, stdout, stderr.trim().split('\n').length], stderr).toEqual([64, '', 1])
    }
  })

  it('lets one gateway serve HTTP in a state directory', async ({ watched }) => {
    const { url } = await served(watched, { echo: child() })
    const words = [
      '--all',
      '--config',
      watched.file('connectors.json'),
      '--http',
      `127.0.0.1:${await freePort()}`,
    ]
    const { code, stderr } = await watched.run('mcp-proxy', 'start', ...words)
    expect([code, stderr]).toEqual([69, expect.stringContaining('a gateway already runs in')])
    expect((await fetch(`${url}/health`)).status).toBe(200)
  })
})

describe('mcp-proxy status and log', () => {
  it('tell of a gateway that runs, and of one that has ended or died', async ({ watched }) => {
    const none = await watched.run('mcp-proxy', 'status')
    expect([none.code, none.stdout]).toEqual([
      1,
      expect.stringMatching(/^No state found \(proxy may never have run\)/),
    ])
    expect((await watched.run('mcp-proxy', 'log')).stderr).toContain('nothing has been logged yet')

    const client = new LineClient(
      watched,
      '--all',
      '--config',
      configured(watched, { echo: child('junk'), dead: child('end') }),
    )
    await client.initialize('claude-desktop')
    await client.ask(1, 'tools/list')
    await client.ask(2, 'tools/call', { name: 'echo__echo' })
    const isCounted = ({ clients }: GatewayState) => clients['claude-desktop']?.toolCalls === 1
    await stateWhen(watched, 'the status tells of the call', isCounted)
    expect(JSON.parse((await watched.run('mcp-proxy', 'status', '--json')).stdout)).toMatchObject({
      running: true,
      version: 1,
      proxy: {
        state: 'RUNNING',
        mode: 'stdio',
        pid: client.pid,
        startedAt: expect.any(String),
        heartbeat: expect.any(String),
      },
      connectors: [
        { id: 'echo', toolCount: 10, healthy: true, junkLines: 1 },
        {
          id: 'dead',
          toolCount: 0,
          healthy: false,
          state: 'error',
          error: expect.stringContaining('exit code 3'),
        },
      ],
      clients: {
        'claude-desktop': {
          name: 'claude-desktop',
          protocolVersion: '2025-11-25',
          state: 'active',
          sessions: 1,
        },
      },
      logging: { level: 'INFO', bufferedLines: expect.any(Number), maxLines: 1000 },
    })
    const shown = await watched.run('mcp-proxy', 'status')
    expect(shown.code).toBe(0)
    expect(shown.stdout).toMatch(/^State: {6}RUNNING$/m)
    expect(shown.stdout).toMatch(/^ {2}● echo {9} 10 tools$/m)
    expect(shown.stdout).toMatch(/^ {2}✕ dead {10} 0 tools \(error\)\n {5}it ended with exit code 3$/m)
    expect(shown.stdout).toMatch(
      /^ {2}● claude-desktop \(active\)\n {5}Last seen: (?:just now|\d+s ago)\n {5}Sessions: 1\n {5}Tool calls: 1$/m,
    )
    expect(shown.stdout).toMatch(/^ {2}Buffered: \d+\/1000 lines$/m)

    const log = (await watched.run('mcp-proxy', 'log')).stdout
    const stamp = String.raw`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[INFO\] `
    for (const line of [
      'Client: claude-desktop \\(protocol=2025-11-25\\)',
      'Request: tools/list',
      'Listed 10 tool\\(s\\) from 1 connectors',
      'tools/call name=echo__echo',
      'Routing → connector=echo tool=echo',
      'Result: success sessionId=[0-9a-f]{8}',
    ]) {
      expect(log).toMatch(new RegExp(`${stamp}${line}$`, 'm'))
    }
    const errors = (await watched.run('mcp-proxy', 'log', '--level', 'ERROR', '--tail', '1', '--no-color'))
      .stdout
    expect(errors).toMatch(/^\S+ \S+ \[ERROR\] Connector 'dead' failed: .*\n$/)

    await client.end()
    const ended = JSON.parse((await watched.run('mcp-proxy', 'status', '--json')).stdout)
    expect(ended).toMatchObject({
      running: false,
      proxy: { state: 'STOPPED' },
      clients: { 'claude-desktop': { state: 'gone' } },
    })
    const old = {
      ...ended,
      proxy: { ...ended.proxy, state: 'RUNNING', heartbeat: new Date(Date.now() - 31_000).toISOString() },
    }
    writeFileSync(watched.file('mcp-proxy-runtime-state.json'), JSON.stringify(old))
    const stale = await watched.run('mcp-proxy', 'status')
    expect([stale.code, stale.stdout]).toEqual([1, expect.stringMatching(/^State: {6}STALE$/m)])
  })
})

describe('mcp-proxy log-level', () => {
  it('sets how much is logged while the gateway runs', async ({ watched }) => {
    const { url, key } = await served(watched, { echo: child() })
    const level = (...words: string[]) => watched.run('mcp-proxy', 'log-level', ...words)
    const list = async () => {
      const headers = { 'content-type': 'application/json', 'x-api-key': key }
      const body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
      expect((await fetch(`${url}/mcp`, { method: 'POST', headers, body })).status).toBe(200)
    }
    const logged = async () => (await watched.run('mcp-proxy', 'log', '--tail', '1000')).stdout
    expect((await level()).stdout).toBe('INFO\n')
    expect((await level('error')).stdout).toBe('ERROR\n')
    await list()
    expect(await logged()).not.toContain('Request: tools/list')
    const status = JSON.parse((await watched.run('mcp-proxy', 'status', '--json')).stdout)
    expect(status.logging.level).toBe('ERROR')
    expect((await level('debug')).stdout).toBe('DEBUG\n')
    await list()
    expect(await logged()).toContain('Request: tools/list')
    const [line = ''] = (await watched.run('mcp-proxy', 'log', '--json', '--tail', '1')).stdout.split('\n')
    expect(JSON.parse(line)).toMatchObject({
      level: 'INFO',
      ts: expect.any(String),
      message: expect.any(String),
    })
    const wrong = await level('loud')
    expect([wrong.code, wrong.stderr]).toEqual([64, 'mcp-proxy: level is one of debug, info, warn, error\n'])
  })
})

describe('mcp-proxy config view', () => {
  it('names the file and line of each value, and shows no secret', async ({ watched }) => {
    const file = watched.file('c.yaml')
    const lines = [
      'connectors:',
      '  docs:',
      '    url: https://mcp.example.com/mcp?key=canary-1',
      '    headers:',
      '      Authorization: Bearer canary-2',
      `      X-Other: \${OTHER}`,
      '  time: { command: time-server, timeout: 5s }',
      'gateway: { lazy: true }',
    ]
    writeFileSync(file, lines.join('\n'), { mode: 0o600 })
    const { code, stdout } = await watched.run('mcp-proxy', 'config', 'view', '--config', file)
    const { values } = JSON.parse(stdout) as { values: { path: string; value: unknown; from: string }[] }
    expect([code, Object.fromEntries(values.map(({ path, value, from }) => [path, [value, from]]))]).toEqual([
      0,
      {
        'connectors.docs.url': ['https://mcp.example.com/mcp?[redacted]', `${file}:3`],
        'connectors.docs.headers.Authorization': ['[redacted]', `${file}:5`],
        'connectors.docs.headers.X-Other': [`\${OTHER}`, `${file}:6`],
        'connectors.time.command': [['time-server'], `${file}:7`],
        'connectors.time.timeout': ['5s', `${file}:7`],
        'gateway.lazy': [true, `${file}:8`],
      },
    ])
    expect(stdout).not.toContain('canary')
  })
})
