import { findConfigurationFile } from '../config/find-file.ts'
import { type HttpOptions, httpDefaults, httpProblem } from '../config/http-options.ts'
import { parseHost, parseHttpPlace } from '../config/values.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { absolutePath } from '../os/working-directory.ts'
import { readersDirectory, writersDirectory } from '../record/usual-directories.ts'
import { argument, filled, gateKind, newCommand, program, repeatable } from './command.ts'
import { outputIsLog } from './run.ts'

interface Options {
  config?: string
  gate?: string
  stateDir?: string
  stopForwards?: boolean
  check?: true | string
  init?: true | string
  schema?: boolean
  stop?: boolean
  testAlert?: true | string
  http?: string
  httpHost?: string[]
  tlsCert?: string
  tlsKey?: string
  tlsSelfSigned?: boolean
  tlsClientCa?: string
  insecureHttp?: boolean
}

const command = newCommand('proxy-monitor', 'Run TCP forwards and restart the ones that die.')
  .option(
    '--config <FILE>',
    'configuration file, .yaml or .json (default: port-watchdog.yaml in this folder, then ~/.config/port-watchdog/port-watchdog.yaml, ' +
      'for root /etc/port-watchdog/port-watchdog.yaml; without one the ports of the MCP Inspector)',
    filled,
  )
  .option(
    '--gate <token>',
    'without a configuration file: require a login on the ports of the MCP Inspector; "token" is the only kind (default: none)',
    gateKind,
  )
  .option('--state-dir <DIR>', 'folder for state, logs and PID files (default: ~/.local/state/port-watchdog)')
  .option(
    '--stop-forwards',
    'also stop forwarders and programs with keep on SIGTERM or SIGINT (default: leave them running)',
  )
  .option(
    '--stop',
    'end the running monitor of the state directory and wait until it is gone; with --stop-forwards also its forwarders and programs with keep',
  )
  .option('--check [FILE]', 'check the configuration, list what would be watched, and exit', filled)
  .option('--schema', 'print the JSON schema of the configuration file, for editors, and exit')
  .option(
    '--init [FILE]',
    'write a commented starter file (default: port-watchdog.yaml in this folder), and exit',
    filled,
  )
  .option(
    '--test-alert [CHANNEL]',
    'send a message marked as a test through CHANNEL (default: through all), say how each went, and exit',
    filled,
  )
  .option(
    '--http <ADDRESS:PORT>',
    'serve the HTTP API there, such as 127.0.0.1:6280, whatever the configuration says; keys: proxy-ctl key create',
    argument(parseHttpPlace),
  )
  .option(
    '--http-host <NAME>',
    'with --http: host name by which clients may call this host; IP addresses and localhost always work (repeatable)',
    repeatable(parseHost),
  )
  .option('--tls-cert <FILE>', 'with --http: certificate chain (PEM); clients speak TLS then', filled)
  .option('--tls-key <FILE>', 'with --http: private key of --tls-cert (PEM, not encrypted)', filled)
  .option('--tls-self-signed', 'with --http: TLS with a self-signed certificate for this machine')
  .option(
    '--tls-client-ca <FILE>',
    'with --http: CA (PEM) whose certificates clients must show, besides their key',
    filled,
  )
  .option(
    '--insecure-http',
    'with --http: listen beyond loopback without TLS; everybody who can read the network traffic can read the keys',
  )
  .addHelpText(
    'after',
    `
Signals:
  TERM, INT  end; the forwarders keep running unless --stop-forwards was given
  HUP        read the configuration file again, reopen the logs, and retry at once what waits for its next try

Exit codes:
  0   ended by a signal; with --stop: it has ended, or none was running
  64  invalid arguments
  69  another monitor uses this state directory; with --stop: something does not end; with --test-alert: a channel
      did not take the message
  73  with --init: the file exists, or cannot be written
  78  invalid configuration

Examples:
  proxy-monitor --init                       a starter file to edit
  proxy-monitor --gate token                 the MCP Inspector's ports, behind a login
  proxy-monitor                              the same without a login
  nohup proxy-monitor >monitor.log 2>&1 &    in the background
  proxy-status                               what it sees
  proxy-monitor --http 127.0.0.1:6280        with the HTTP API
  proxy-monitor --stop --stop-forwards       end it and its forwards

Manual: man proxy-monitor, man port-watchdog.yaml`,
  )

export const proxyMonitor = program(command, async (options: Options) => {
  if (options.init !== undefined) {
    const { writeStarterFile } = await import('./configuration-orders.ts')
    return writeStarterFile(options.init)
  }
  if (options.schema === true) {
    const { printSchema } = await import('./configuration-orders.ts')
    return await printSchema()
  }
  if (options.config !== undefined && typeof options.check === 'string') {
    throw new Failure(
      `--check ${options.check} and --config ${options.config} name two files; give one`,
      exitCode.usage,
    )
  }
  if (options.check !== undefined) {
    const { checkConfiguration } = await import('./configuration-orders.ts')
    return await checkConfiguration(configurationFile(options), options.gate)
  }
  if (options.testAlert !== undefined) {
    const { testAlerts } = await import('./configuration-orders.ts')
    return await testAlerts(configurationFile(options), options.testAlert)
  }
  const stopForwards = options.stopForwards === true
  const http = httpOptions(options)
  if (options.stop === true) {
    const { stopMonitor } = await import('../monitor/stop-monitor.ts')
    const say = (line: string) => process.stdout.write(`${line}\n`)
    return await stopMonitor({ stateDirectory: readersDirectory(options.stateDir), stopForwards, say })
  }
  const file = configurationFile(options)
  const { directory, note } = writersDirectory(options.stateDir)
  outputIsLog()
  const { runMonitor } = await import('../monitor/monitor-process.ts')
  return await runMonitor({
    stateDirectory: directory,
    directoryNote: note,
    configurationFile: file,
    gate: options.gate ?? '',
    http,
    stopForwards,
  })
})

export const start = proxyMonitor.runWith

/** The file that was named, or the one that is found by itself, which is said. */
function configurationFile({ config, check, gate }: Options): string | undefined {
  const named = config ?? (typeof check === 'string' ? check : undefined)
  if (named !== undefined) {
    refuseGate(gate, named)
    return absolutePath(named)
  }
  const { file, passedOver } = findConfigurationFile()
  for (const why of passedOver) process.stderr.write(`proxy-monitor: ${oneLine(why)}\n`)
  if (file !== undefined) {
    refuseGate(gate, file)
    process.stdout.write(`Using the configuration ${file}\n`)
  }
  return file
}

/** What the words say of the HTTP API; undefined = nothing. */
function httpOptions(options: Options): HttpOptions | undefined {
  const { http, httpHost, tlsCert, tlsKey, tlsSelfSigned, tlsClientCa, insecureHttp } = options
  const given = { httpHost, tlsCert, tlsKey, tlsSelfSigned, tlsClientCa, insecureHttp }
  if (http === undefined) {
    const [name] = Object.entries(given).find(([, value]) => value !== undefined) ?? []
    if (name === undefined) return undefined
    throw new Failure(`${flagOf(name)} needs --http ADDRESS:PORT`, exitCode.usage)
  }
  const wanted: HttpOptions = {
    listen: http,
    hosts: httpHost ?? httpDefaults.hosts,
    tlsCert: fileOf(tlsCert),
    tlsKey: fileOf(tlsKey),
    tlsSelfSigned: tlsSelfSigned === true,
    tlsClientCa: fileOf(tlsClientCa),
    insecure: insecureHttp === true,
  }
  const problem = httpProblem(wanted, (option) =>
    option === 'insecure' ? '--insecure-http' : flagOf(option),
  )
  if (problem !== undefined) throw new Failure(problem, exitCode.usage)
  return wanted
}

/** A file by its whole path: the working folder may be gone when it is read again. */
function fileOf(file: string | undefined): string {
  return file === undefined ? '' : absolutePath(file)
}

function flagOf(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** A file says for each forward whether it has a login: one word for all would hide what it says. */
function refuseGate(gate: string | undefined, file: string): void {
  if (gate === undefined) return
  const problem = `--gate ${gate} works only without a configuration file, and ${oneLine(file)} is used`
  throw new Failure(`${problem}; write gate: ${gate} in ${oneLine(file)} for each forward`, exitCode.usage)
}
