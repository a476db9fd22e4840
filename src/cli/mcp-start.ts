/** `mcp-proxy start`: runs the gateway, or joins the one that runs. */
import { httpProblem } from '../config/http-options.ts'
import type { LoadedConnectors } from '../config/load-connectors.ts'
import type { Secret } from '../config/secret.ts'
import { parseStoreUrl, type StoreConfiguration, usualOutageMs } from '../config/store-configuration.ts'
import { countParser, type Parsed, parseCount, parseHttpPlace } from '../config/values.ts'
import type { WantedGateway } from '../gateway/options.ts'
import { LineOutput } from '../log/line-output.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { isLoopbackHostname } from '../os/interfaces.ts'
import { oneLine } from '../os/printable.ts'
import { writersDirectory } from '../record/usual-directories.ts'
import { argument, filled, type Program } from './command.ts'
import { connectorsOf, gatewayCommand, storeHelp } from './mcp-command.ts'

interface StartOptions {
  readonly all?: boolean
  readonly connectors?: readonly string[]
  readonly timeout: number
  /** true = where the configuration says. */
  readonly http?: string | true
  readonly config?: string
  readonly stateDir?: string
  readonly store?: Secret
  readonly allowNone?: boolean
  readonly strict?: boolean
  readonly insecureHttp?: boolean
  readonly verbose?: boolean
  readonly reportFd?: number
}

export const startProgram: Program = {
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
    .option('--store <URL>', `with --http: ${storeHelp}`, argument(parseStoreUrl))
    .option('--allow-none', 'with --http on loopback: let everybody in without a key')
    .option(
      '--strict',
      'with --http: require programs on this machine, too, to follow the specification exactly',
    )
    .option('--insecure-http', 'with --http: listen beyond loopback without TLS')
    .option(
      '--report-fd <FD>',
      'file descriptor to write one line of JSON to when started; it is then closed, and no client is on stdin',
      argument(parseCount),
    ),
  run: async (options: StartOptions) => {
    try {
      return await start(options)
    } catch (error) {
      if (options.reportFd !== undefined) {
        const { reportFailure } = await import('../gateway/index.ts')
        reportFailure(options.reportFd, error)
      }
      throw error
    }
  },
}

async function start(options: StartOptions): Promise<number> {
  const { all = false, connectors: chosen, timeout, verbose = false } = options
  if (all && chosen !== undefined)
    throw new Failure('--all and --connectors exclude each other; give one of them', exitCode.usage)
  const load = () => wantedOf(options)
  const wanted = await load()
  const { directory } = writersDirectory(options.stateDir)
  const { runGateway } = await import('../gateway/index.ts')
  const isStdio = wanted.http === undefined
  const isKept = options.reportFd !== undefined
  const printed = new LineOutput(process.stderr)
  return runGateway({
    stateDirectory: directory,
    wanted,
    load,
    chosen,
    startTimeoutMs: timeout * 1000,
    allowNone: options.allowNone ?? false,
    level: verbose ? 'debug' : 'info',
    reportDescriptor: options.reportFd,
    // Stdout is the client's. Of one that a monitor keeps it is the log, which has these lines already.
    say: (line) => void (isKept || (isStdio ? process.stderr : process.stdout).write(`${oneLine(line)}\n`)),
    echo: (line) => void (verbose && !isKept && printed.write(line)),
  })
}

/** What the words and the configuration ask for, as it is now. @throws Failure */
async function wantedOf(options: StartOptions): Promise<WantedGateway> {
  const loaded = servedOf(await connectorsOf(options.config), options)
  const { file, connectors, gateway } = loaded
  const place = httpOf(options, gateway.http)
  const { httpDefaults } = await import('../config/http-options.ts')
  const http =
    place === undefined ? undefined : { ...httpDefaults, trustedProxies: [], ...gateway.http, ...place }
  if (http !== undefined) {
    const problem = httpProblem(http, (option) => (option === 'insecure' ? '--insecure-http' : option))
    if (problem !== undefined) throw new Failure(problem, exitCode.usage)
  }
  if (options.allowNone === true && (http === undefined || !isOnLoopback(http.listen)))
    throw new Failure(
      '--allow-none works with --http on loopback alone, such as 127.0.0.1:8080',
      exitCode.usage,
    )
  const { access, lazy, tap, pin, alerts } = gateway
  const store = storeOf(options, gateway.store)
  if (options.store !== undefined && http === undefined)
    throw new Failure('--store is about keys, which only --http asks for', exitCode.usage)
  return {
    file,
    connectors,
    http,
    strict: options.strict ?? gateway.strict,
    lazy,
    tap,
    access,
    store,
    pin,
    alerts,
  }
}

/** The store that is named wins; how long it may be away stands in the configuration alone. */
function storeOf(
  { store: url }: StartOptions,
  configured: StoreConfiguration | undefined,
): StoreConfiguration | undefined {
  return url === undefined ? configured : { url, outageMs: configured?.outageMs ?? usualOutageMs }
}

/** The connectors that are to be served. @throws Failure when there are none, or one that is named is not there. */
function servedOf(
  loaded: LoadedConnectors,
  { all = false, connectors: chosen }: StartOptions,
): LoadedConnectors {
  const { connectors, file } = loaded
  const known = connectors.map(({ id }) => id)
  if (!all && chosen === undefined)
    throw new Failure(`give --all, or --connectors with at least one of ${listed(known)}`, exitCode.usage)
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
  return { ...loaded, connectors: served }
}

/** Where HTTP is served. Without --http it is stdin and stdout, whatever the file says: a client that starts this speaks there. */
function httpOf({ http, insecureHttp }: StartOptions, configured: { readonly listen: string } | undefined) {
  if (http === undefined) return undefined
  const listen = http === true ? configured?.listen : http
  if (listen === undefined)
    throw new Failure('--http needs ADDRESS:PORT, or gateway.http in the configuration', exitCode.usage)
  return { listen, ...(insecureHttp === undefined ? {} : { insecure: insecureHttp }) }
}

function isOnLoopback(listen: string): boolean {
  return isLoopbackHostname(listen.slice(0, listen.lastIndexOf(':')))
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
