// What the guides of two older gateways tell their users to type, as it stands there: the names of the command, of its files and of the
// server are all that is replaced.
import { mkdirSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  child,
  LineClient,
  type RpcAnswer,
  type ServedGateway,
  servedWith,
  stateWhen,
} from '../support/gateway.ts'
import { cached, run, until } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway

/** The guide's command, and its home folder. */
const surroundings = (home: string) => `
export HOME='${home}'
mcp_proxy() { ${command('mcp-proxy')
  .map((word) => `'${word}'`)
  .join(' ')} "$@" --state-dir '${watched.directory}'; }
pfscan() {
  case "$1 $2" in
    'proxy status') [ -e "$HOME/status" ] || mcp_proxy status --json >"$HOME/status"; cat "$HOME/status" ;;
    'log '*) mcp_proxy "$@" ;;
    'tool call') shift; mcp_proxy "$@" --config '${watched.file('connectors.json')}' ;;
    'scan start') shift 2; mcp_proxy test "$@" --config '${watched.file('connectors.json')}' ;;
    *) echo "unknown: $*" >&2; return 64 ;;
  esac
}
set -o pipefail
`

async function typed(line: string): Promise<string> {
  const { code, stdout, stderr } = await run(['bash', '-c', `${surroundings(watched.file('home'))}${line}`])
  if (code !== 0) throw new Error(`${line}: ${stdout}${stderr}`)
  return stdout
}

beforeAll(async () => {
  gateway = await servedWith(watched, { echo: child(), time: child() }, { access: { legacyKeys: true } })
  const folder = watched.file('home/.config/proofscan')
  mkdirSync(folder, { recursive: true })
  symlinkSync(watched.file('mcp-proxy-logs.jsonl'), path.join(folder, 'proxy-logs.jsonl'))
  for (const [name, calls] of [
    ['claude-desktop', 2],
    ['cursor', 1],
  ] as const) {
    const client = new LineClient(watched, '--all', '--config', watched.file('connectors.json'))
    await client.initialize(name)
    for (let call = 0; call < calls; call++) await client.ask(call, 'tools/call', { name: 'echo__echo' })
    await client.end()
  }
  await stateWhen(watched, 'the status knows of the calls', ({ clients }) => clients.cursor?.toolCalls === 1)
})

afterAll(() => watched.remove())

describe('the guide of proofscan', () => {
  it('reads the status with jq', async () => {
    const said = await typed(`
PID=$(pfscan proxy status --json | jq -r '.proxy.pid')
COUNT=$(pfscan proxy status --json | jq '.connectors | length')
echo "$PID $COUNT"
pfscan proxy status --json | jq '.connectors[] | select(.healthy==true)' | jq -c '[.id, .toolCount]'
pfscan proxy status --json | jq '.clients | to_entries[] | {name: .key, calls: .value.toolCalls}' | jq -c .
pfscan proxy status --json | jq '.clients | to_entries | max_by(.value.toolCalls)' | jq -r .key
pfscan proxy status --json | jq '.logging.level'
`)
    expect(said.trim().split('\n')).toEqual([
      `${gateway.resident.pid} 2`,
      '["echo",10]',
      '["time",10]',
      '{"name":"claude-desktop","calls":2}',
      '{"name":"cursor","calls":1}',
      'claude-desktop',
      '"INFO"',
    ])
  })

  it('reads the log with jq, whose lines have ts and message', async () => {
    const said = await typed(`
cat ~/.config/proofscan/proxy-logs.jsonl | jq '.' | jq -s -c '[length > 10, (.[0] | has("ts") and has("message"))]'
cat ~/.config/proofscan/proxy-logs.jsonl | jq 'select(.message | contains("tools/call"))' | jq -s 'length > 2'
cat ~/.config/proofscan/proxy-logs.jsonl | jq -s 'sort_by(.ts)' | jq 'length > 10'
`)
    expect(said.trim().split('\n')).toEqual(['[true,true]', 'true', 'true'])
  })

  it('calls a tool, tests a connector, and shows the newest lines of a level', async () => {
    expect(await typed(`pfscan tool call echo echo --args '{"message":"test"}'`)).toContain(
      '"message":"test"',
    )
    expect(await typed('pfscan scan start echo')).toMatch(/^Connector 'echo' ready \(10 tools\)$/m)
    expect(await typed('pfscan log --tail 20')).toMatch(/\[INFO\] .*\n/)
    expect(await typed('pfscan log --level ERROR --tail 10')).not.toContain('[INFO]')
  })
})

/** A sample with what its reader fills in. */
function filled(sample: string): string {
  return sample
    .replaceAll('http://localhost:8080', gateway.url.replace('127.0.0.1', 'localhost'))
    .replaceAll('{mcpServerInstanceId}', 'echo')
    .replaceAll(/your[-_]api[-_]key|YOUR_M2M_TOKEN/g, gateway.key)
}

describe('the guide of the tumiki proxy', () => {
  it.each([
    `curl -X POST http://localhost:8080/mcp/{mcpServerInstanceId} \\
  -H "Content-Type: application/json" \\
  -H "X-API-Key: your-api-key" \\
  -d '{"jsonrpc":"2.0","method":"tools/list","id":1}'`,
    `curl -X POST http://localhost:8080/mcp/{mcpServerInstanceId} \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer YOUR_M2M_TOKEN" \\
  -d '{"jsonrpc":"2.0","method":"tools/list","id":1}'`,
    `curl -X POST http://localhost:8080/mcp?api-key=your_api_key \\
  -H "Content-Type: application/json" \\
  -d '{"jsonrpc":"2.0","method":"tools/list","id":1}'`,
  ])('lists tools with curl: %s', async (sample) => {
    const { result } = JSON.parse(await typed(filled(sample))) as RpcAnswer
    const names = result?.tools?.map(({ name }) => name)
    expect(names).toContain(sample.includes('/mcp?') ? 'time__echo' : 'echo')
  })

  it('lists tools with fetch, and a session id that is made up', async () => {
    const mcpServerInstanceId = 'echo'
    const apiKey = gateway.key
    const response = await fetch(filled(`http://localhost:8080/mcp/${mcpServerInstanceId}`), {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-API-Key': apiKey,
        'mcp-session-id': 'unique-session-id',
      },
      body: JSON.stringify({ jsonrpc: '2.0', method: 'tools/list', id: 1 }),
    })
    const result = (await response.json()) as RpcAnswer
    expect(result.result?.tools?.length).toBe(10)
  })

  it('finds an error in the body of a request that was refused', async () => {
    const response = await fetch(filled('http://localhost:8080/mcp/{mcpServerInstanceId}'), {
      method: 'POST',
    })
    expect(response.ok).toBe(false)
    const error = (await response.json()) as { error: { code: number; message: string } }
    expect(error.error).toMatchObject({ code: expect.any(Number), message: expect.any(String) })
  })

  it('opens an EventSource with the key in its address, sends by fetch, and hears the answer', async () => {
    const mcpServerInstanceId = 'echo'
    const apiKey = gateway.key
    const packages = createRequire(
      cached('everything', '@modelcontextprotocol/server-everything', 'package.json'),
    )
    const { EventSource } = (await import(
      pathToFileURL(packages.resolve('eventsource')).href
    )) as typeof globalThis
    const eventSource = new EventSource(
      filled(`http://localhost:8080/sse/${mcpServerInstanceId}?api-key=${apiKey}`),
    )
    const received: unknown[] = []
    eventSource.onmessage = (event) => {
      const data = JSON.parse(event.data)
      received.push(data)
    }
    await new Promise((resolve) => {
      eventSource.onopen = resolve
    })
    await fetch(filled(`http://localhost:8080/messages/${mcpServerInstanceId}`), {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-API-Key': apiKey,
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        method: 'tools/call',
        params: { name: 'write' },
        id: 2,
      }),
    })
    const answer = await until('the answer', async () => received[0])
    expect(answer).toMatchObject({ id: 2, result: { content: [{ text: 'write' }] } })
    eventSource.close()
  })
})
