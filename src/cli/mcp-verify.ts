/** `mcp-proxy verify`: asks the gateway, or any MCP server with a URL, as clients do, and shows what works. */
import { readFileSync } from 'node:fs'
import type { Parsed } from '../config/values.ts'
import type { Outcome, Verified } from '../gateway/verify/index.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { argument, filled, type Program } from './command.ts'
import { gatewayCommand } from './mcp-command.ts'
import { parseObject } from './mcp-connectors.ts'

interface Options {
  readonly stateDir?: string
  readonly call?: string
  readonly args?: object
  readonly json?: boolean
}

/** Where it is asked when no gateway runs. */
const usualUrl = 'http://127.0.0.1:8080/mcp'

export const verifyProgram: Program = {
  command: gatewayCommand(
    'verify',
    'Ask an MCP server over HTTP as its clients do, in both generations, and show what works.',
  )
    .argument(
      '[URL]',
      `its address (default: that of the gateway that runs, else ${usualUrl})`,
      argument(parseUrl),
    )
    .option('--call <TOOL>', 'a harmless tool to call', filled)
    .option('--args <JSON>', 'with --call: its arguments, as a JSON object', argument(parseObject))
    .option('-j, --json', 'print one JSON object a line')
    .addHelpText(
      'after',
      `
The key is in the variable TEST_API_KEY; without it, the key of the gateway's first start is used for that gateway.
Signs: ✓ passed, ✗ failed, • the server does not have it, ○ left out. Exit codes: 0 = nothing failed, 1 = something did, 69 = nobody answers.`,
    ),
  run: async (given: URL | undefined, { stateDir, call, args, json }: Options) => {
    const own = await runningGateway(stateDir)
    const url = given ?? new URL(own?.url ?? usualUrl)
    const key =
      process.env.TEST_API_KEY || (own?.url && new URL(own.url).host === url.host ? own.key() : undefined)
    const { verify } = await import('../gateway/verify/index.ts')
    const tool = call === undefined ? undefined : { name: call, arguments: args ?? {} }
    let hasFailed = false
    if (json !== true) process.stdout.write(`${url.href}\n`)
    for await (const verified of verify({ url, key, call: tool })) {
      hasFailed ||= verified.outcome === 'failed'
      process.stdout.write(json === true ? `${JSON.stringify(verified)}\n` : lineOf(verified))
    }
    return hasFailed ? exitCode.orderFailed : exitCode.ok
  },
}

const signs: Readonly<Record<Outcome, string>> = { passed: '✓', failed: '✗', noted: '•', skipped: '○' }

const titles: Readonly<Record<string, string>> = {
  'no-key': 'without a key',
  'foreign-origin': 'from a page of another site',
  'foreign-host': 'under another name',
  initialize: 'initialize',
  ping: 'ping',
  tools: 'tools/list',
  prompts: 'prompts/list',
  resources: 'resources/list',
  call: 'tools/call',
  stream: 'stream of events',
  'session-end': 'end of the session',
  discover: 'server/discover (2026-07-28)',
  'modern-tools': 'tools/list (2026-07-28)',
}

function lineOf({ check, outcome, detail, ms }: Verified): string {
  const title = (titles[check] ?? check).padEnd(29)
  const time = outcome === 'skipped' ? '' : ` (${ms} ms)`
  return `${signs[outcome]} ${title} ${oneLine(detail)}${time}\n`
}

/** Where the gateway of this state directory serves, and the key of its first start. */
async function runningGateway(stateDir: string | undefined) {
  const { gatewayStanding } = await import('../report/gateway-status.ts')
  const standing = gatewayStanding(readersDirectory(stateDir), Date.now())
  if (standing.kind !== 'known' || standing.shown !== 'RUNNING') return undefined
  const { url, keyFile } = standing.state.proxy
  return { url, key: () => (keyFile === null ? undefined : keyIn(keyFile)) }
}

/** @throws Failure */
function keyIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    throw new Failure(
      `the key in ${file} cannot be read; give one in the variable TEST_API_KEY`,
      exitCode.noPermission,
    )
  }
}

function parseUrl(text: string): Parsed<URL> {
  return /^https?:\/\//.test(text) && URL.canParse(text)
    ? { ok: true, value: new URL(text) }
    : { ok: false, problem: `"${text}" is no URL such as http://127.0.0.1:8080/mcp` }
}
