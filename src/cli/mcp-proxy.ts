#!/usr/bin/env node
/** The MCP gateway: start it, look at it, read its log. */
import { httpProblem } from '../config/http-options.ts'
import { countParser, type Parsed, parseHttpPlace } from '../config/values.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { isLoopback } from '../os/interfaces.ts'
import { oneLine } from '../os/printable.ts'
import { readersDirectory, writersDirectory } from '../record/usual-directories.ts'
import { argument, filled, newCommand, type Program, runIfStarted, whole } from './command.ts'
import { connectorsOf, gatewayCommand } from './mcp-command.ts'
import { connectorPrograms } from './mcp-connectors.ts'
import { gatewayKeyProgram } from './mcp-keys.ts'

interface StartOptions {
  readonly all?: boolean
  readonly connectors?: readonly string[]
  readonly timeout: number
  /** true = where the configuration says. */
  readonly http?: string | true
  readonly config?: string
  readonly stateDir?: string
  readonly allowNone?: boolean
  readonly strict?: boolean
  readonly insecureHttp?: boolean
  readonly verbose?: boolean
}

const description = 'Serve many MCP servers ("connectors") as one: over stdin and stdout, or HTTP.'

const command = newCommand('mcp-proxy', description).addHelpText(
  'after',
  `
Write connectors into port-watchdog.yaml under "connectors", or use the file of Claude, Cursor, VS Code or Codex (--config).
Their tools are offered as CONNECTOR__TOOL.

Exit codes:
  0   ended by its client or by a signal
  1   with status: no gateway runs, or it hangs
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
  mcp-proxy test echo                                    start one connector by itself
  mcp-proxy call echo echo --args '{"message":"test"}'
  mcp-proxy tools --count                                what all tools cost a client
  mcp-proxy key create laptop --connectors echo,time

Manual: man mcp-proxy`,
)

const start: Program = {
  command: gatewayCommand(
    'start',
    'Start the gateway, or join the one that runs.',
    'print the log on stderr as well',
  )
    .option('--all', 'all connectors that are enabled')
    .option('--connectors <IDS>', 'only these connectors, separated by commas', argument(parseIds))
    .option(
      '--timeout <SECONDS>',
      'how long the start of one connector may take, 1 to 300',
      argument(countParser(1, 300)),
      30,
    )
    .option(
      '--http [ADDRESS:PORT]',
      'serve HTTP there, such as 127.0.0.1:8080, instead of on stdin and stdout (default: gateway.http of the configuration)',
      argument(parseHttpPlace),
    )
    .option(
      '--config <FILE>',
      'configuration file, or that of an MCP client (default: port-watchdog.yaml in this folder, then ~/.config/port-watchdog/port-watchdog.yaml)',
      filled,
    )
    .option('--allow-none', 'with --http on loopback: let everybody in without a key')
    .option(
      '--strict',
      'with --http: require programs on this machine, too, to follow the specification exactly',
    )
    .option('--insecure-http', 'with --http: listen beyond loopback without TLS'),
  run: async (options: StartOptions) => {
    const { all = false, connectors: chosen, timeout, verbose = false } = options
    if (all && chosen !== undefined)
      throw new Failure('--all and --connectors exclude each other; give one of them', exitCode.usage)
    const { connectors, gateway, file } = await connectorsOf(options.config)
    const known = connectors.map(({ id }) => id)
    if (!all && chosen === undefined) {
      throw new Failure(`give --all, or --connectors with at least one of ${listed(known)}`, exitCode.usage)
    }
    const unknown = chosen?.find((id) => !known.includes(id))
    if (unknown !== undefined) {
      throw new Failure(
        `there is no connector "${unknown}" in ${oneLine(file)}; it has ${listed(known)}`,
        exitCode.usage,
      )
    }
    const served = connectors
      .filter(({ id, enabled }) => (chosen === undefined ? enabled : chosen.includes(id)))
      // A person who names a connector wants it, enabled or not.
      .map((one) => ({ ...one, enabled: true }))
    if (served.length === 0) {
      throw new Failure(
        `no connector is enabled in ${oneLine(file)}; enable at least one, or name it in --connectors`,
        exitCode.usage,
      )
    }
    const http = httpOf(options, gateway.http)
    const { httpDefaults } = await import('../config/http-options.ts')
    const wanted = http === undefined ? undefined : { ...httpDefaults, ...gateway.http, ...http }
    if (wanted !== undefined) {
      const problem = httpProblem(wanted, (option) => (option === 'insecure' ? '--insecure-http' : option))
      if (problem !== undefined) throw new Failure(problem, exitCode.usage)
    }
    if (options.allowNone === true && (wanted === undefined || !isOnLoopback(wanted.listen)))
      throw new Failure(
        '--allow-none works with --http on loopback alone, such as 127.0.0.1:8080',
        exitCode.usage,
      )
    const { directory } = writersDirectory(options.stateDir)
    const { runGateway } = await import('../gateway/index.ts')
    const isStdio = wanted === undefined
    return runGateway({
      stateDirectory: directory,
      connectors: served,
      chosen,
      startTimeoutMs: timeout * 1000,
      http: wanted,
      strict: options.strict ?? gateway.strict,
      allowNone: options.allowNone ?? false,
      level: verbose ? 'debug' : 'info',
      // Stdout is the client's.
      say: (line) => void (isStdio ? process.stderr : process.stdout).write(`${oneLine(line)}\n`),
      echo: (line) => void (verbose && process.stderr.write(`${line}\n`)),
    })
  },
}

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
    .option('-f, --follow', 'go on, and print new lines as they come'),
  run: async ({ stateDir, tail, level, color, follow }: LogOptions) => {
    const { GatewayLogReader } = await import('../report/gateway-log.ts')
    const { looksOf } = await import('../report/terminal.ts')
    const colour = color && looksOf(process.stdout, process.env).colour
    const reader = new GatewayLogReader(readersDirectory(stateDir), level, colour)
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

const commands = [start, status, log, ...connectorPrograms, gatewayKeyProgram]
for (const one of commands) command.addCommand(one.command)

export const mcpProxy = whole({ command, commands })

await runIfStarted(import.meta.url, mcpProxy)

/** Where HTTP is served. Without --http it is stdin and stdout, whatever the file says: a client that starts this speaks there. */
function httpOf({ http, insecureHttp }: StartOptions, configured: { readonly listen: string } | undefined) {
  if (http === undefined) return undefined
  const listen = http === true ? configured?.listen : http
  if (listen === undefined)
    throw new Failure('--http needs ADDRESS:PORT, or gateway.http in the configuration', exitCode.usage)
  return { listen, ...(insecureHttp === undefined ? {} : { insecure: insecureHttp }) }
}

function isOnLoopback(listen: string): boolean {
  const host = listen.slice(0, listen.lastIndexOf(':')).replaceAll(/[[\]]/g, '')
  return host === 'localhost' || isLoopback(host)
}

function listed(ids: readonly string[]): string {
  return ids.length === 0 ? 'none' : ids.join(', ')
}

function parseIds(text: string): Parsed<readonly string[]> {
  const ids = text
    .split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '')
  return ids.length === 0
    ? { ok: false, problem: 'name at least one connector' }
    : { ok: true, value: [...new Set(ids)] }
}

function parseLevel(text: string): Parsed<string> {
  const level = text.toLowerCase()
  return ['info', 'warn', 'error'].includes(level)
    ? { ok: true, value: level }
    : { ok: false, problem: `unknown level "${text}"; use INFO, WARN or ERROR` }
}
