#!/usr/bin/env node
import { findConfigurationFile } from '../config/find-file.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { absolutePath } from '../os/working-directory.ts'
import { readersDirectory, writersDirectory } from '../record/usual-directories.ts'
import { runMonitor } from '../watch/monitor-process.ts'
import { filled, gateKind, newCommand, program, runIfStarted } from './command.ts'
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
  .option('--stop-forwards', 'also stop the forwarders on SIGTERM or SIGINT (default: leave them running)')
  .option(
    '--stop',
    'end the running monitor of the state directory and wait until it is gone; with --stop-forwards also its forwarders',
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
  if (options.stop === true) {
    const { stopMonitor } = await import('../watch/stop-monitor.ts')
    const say = (line: string) => process.stdout.write(`${line}\n`)
    return await stopMonitor({ stateDirectory: readersDirectory(options.stateDir), stopForwards, say })
  }
  const file = configurationFile(options)
  const { directory, note } = writersDirectory(options.stateDir)
  outputIsLog()
  return await runMonitor({
    stateDirectory: directory,
    directoryNote: note,
    configurationFile: file,
    gate: options.gate ?? '',
    stopForwards,
  })
})

await runIfStarted(import.meta.url, proxyMonitor)

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

/** A file says for each forward whether it has a login: one word for all would hide what it says. */
function refuseGate(gate: string | undefined, file: string): void {
  if (gate === undefined) return
  const problem = `--gate ${gate} works only without a configuration file, and ${oneLine(file)} is used`
  throw new Failure(`${problem}; write gate: ${gate} in ${oneLine(file)} for each forward`, exitCode.usage)
}
