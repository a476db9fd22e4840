/** The MCP gateway: start it, look at it, read its log. */
import { countParser, type Parsed } from '../config/values.ts'
import { exitCode } from '../os/failure.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { argument, newCommand, type Program, whole } from './command.ts'
import { gatewayCommand } from './mcp-command.ts'
import { connectorPrograms } from './mcp-connectors.ts'
import { gatewayDoctorProgram } from './mcp-doctor.ts'
import { gatewayKeyProgram } from './mcp-keys.ts'
import { loginPrograms } from './mcp-login.ts'
import { logLevelProgram, reloadProgram, retryProgram } from './mcp-orders.ts'
import { pinProgram } from './mcp-pins.ts'
import { startProgram } from './mcp-start.ts'
import { tapPrograms } from './mcp-tap.ts'
import { verifyProgram } from './mcp-verify.ts'

const description = 'Serve many MCP servers ("connectors") as one: over stdin and stdout, or HTTP.'

const command = newCommand('mcp-proxy', description).addHelpText(
  'after',
  `
Write connectors into port-watchdog.yaml under "connectors", or use the file of Claude, Cursor, VS Code or Codex (--config).
Their tools are offered as CONNECTOR__TOOL.

Exit codes:
  0   ended by its client or by a signal
  1   with status: no gateway runs, or it hangs; with call and verify: it failed; with replay: another answer
  64  invalid arguments
  69  a gateway already runs in this state directory, or the address is taken
  78  invalid configuration

Examples:
  mcp-proxy start --all                                  for an MCP client: speaks on stdin and stdout
  mcp-proxy start --connectors echo,time --timeout 60
  mcp-proxy start --all --http 127.0.0.1:8080            at http://127.0.0.1:8080/mcp, with a key
  mcp-proxy start --all --config ~/.cursor/mcp.json      the servers that Cursor has
  mcp-proxy status
  mcp-proxy log --level WARN --tail 100
  mcp-proxy log-level DEBUG                              log more, until the gateway ends
  mcp-proxy reload                                       after a change of the configuration
  mcp-proxy retry echo                                   start it now: its cause of failure is gone
  mcp-proxy test echo                                    start one connector by itself
  mcp-proxy call echo echo --args '{"message":"test"}'
  mcp-proxy tools --count                                what all tools cost a client
  mcp-proxy tap --follow --connector echo                messages to and from it, as they come
  mcp-proxy replay 12                                    call number 12 of these once more
  mcp-proxy doctor                                       what is wrong, and what to type next
  mcp-proxy verify                                       ask the gateway over HTTP, as its clients do
  mcp-proxy login docs                                   log in at a server that wants OAuth
  mcp-proxy key create laptop --connectors echo,time
  mcp-proxy pin list                                     tools whose descriptions have changed

Manual: man mcp-proxy`,
)

const status: Program = {
  command: gatewayCommand('status', 'Show whether the gateway runs, its connectors and its clients.').option(
    '-j, --json',
    'print one JSON object',
  ),
  run: async ({ stateDir, json }: { stateDir?: string; json?: boolean }) => {
    const { gatewayStatus } = await import('../report/gateway-status.ts')
    const { looksOf } = await import('../report/terminal.ts')
    const { text, code } = gatewayStatus(readersDirectory(stateDir), {
      json: json === true,
      colour: looksOf(process.stdout, process.env).colour,
    })
    process.stdout.write(text)
    return code
  },
}

interface LogOptions {
  readonly stateDir?: string
  readonly tail: number
  readonly level: string
  readonly color: boolean
  readonly follow?: boolean
  readonly json?: boolean
}

const log: Program = {
  command: gatewayCommand('log', 'Show the log of the gateway.')
    .option('--tail <N>', 'how many lines', argument(countParser(0, 1000)), 50)
    .option(
      '--level <LEVEL>',
      'INFO, WARN or ERROR: lines of this level and above',
      argument(parseLevel),
      'info',
    )
    .option('--no-color', 'without colours')
    .option('-f, --follow', 'go on, and print new lines as they come')
    .option('-j, --json', 'print one JSON object a line'),
  run: async ({ stateDir, tail, level, color, follow, json = false }: LogOptions) => {
    const { GatewayLogReader } = await import('../report/gateway-log.ts')
    const { looksOf } = await import('../report/terminal.ts')
    const colour = color && looksOf(process.stdout, process.env).colour
    const reader = new GatewayLogReader(readersDirectory(stateDir), level, { colour, json })
    process.stdout.write(reader.last(tail))
    if (!reader.hasAny && follow !== true) {
      process.stderr.write('mcp-proxy: nothing has been logged yet; start it: mcp-proxy start --all\n')
    }
    if (follow !== true) return exitCode.ok
    const { endOfReading } = await import('./run.ts')
    const ended = endOfReading()
    while (!ended.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 200))
      process.stdout.write(reader.more())
    }
    return exitCode.ok
  },
}

const commands = [
  startProgram,
  status,
  log,
  logLevelProgram,
  reloadProgram,
  retryProgram,
  ...connectorPrograms,
  ...loginPrograms,
  gatewayKeyProgram,
  gatewayDoctorProgram,
  verifyProgram,
  ...tapPrograms,
  pinProgram,
]
for (const one of commands) command.addCommand(one.command)

export const mcpProxy = whole({ command, commands })

export const start = mcpProxy.runWith

function parseLevel(text: string): Parsed<string> {
  const level = text.toLowerCase()
  return ['info', 'warn', 'error'].includes(level)
    ? { ok: true, value: level }
    : { ok: false, problem: `unknown level "${text}"; use INFO, WARN or ERROR` }
}
