#!/usr/bin/env node
import { defaultConfiguration } from '../config/configuration.ts'
import { loadConfiguration } from '../config/load.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { hostAndPort } from '../os/interfaces.ts'
import { oneLine } from '../os/printable.ts'
import { readersDirectory, writersDirectory } from '../record/usual-directories.ts'
import { runMonitor } from '../watch/monitor-process.ts'
import { newCommand, program, runIfStarted } from './command.ts'

interface Options {
  config?: string
  stateDir?: string
  stopForwards?: boolean
  check?: boolean
  stop?: boolean
  testAlert?: true | string
}

const command = newCommand('proxy-monitor', 'Run TCP forwards and restart the ones that die.')
  .option(
    '--config <FILE>',
    'configuration file, .yaml or .json (default: the ports of the MCP Inspector, to the same ports of localhost)',
  )
  .option('--state-dir <DIR>', 'folder for state, logs and PID files (default: ~/.local/state/port-watchdog)')
  .option('--stop-forwards', 'also stop the forwarders on SIGTERM or SIGINT (default: leave them running)')
  .option(
    '--stop',
    'end the running monitor of the state directory and wait until it is gone; with --stop-forwards also its forwarders',
  )
  .option('--check', 'check the configuration, list what would be watched, and exit')
  .option(
    '--test-alert [CHANNEL]',
    'send a message marked as a test through CHANNEL (default: through all), say how each went, and exit',
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
  78  invalid configuration

Examples:
  proxy-monitor                              in the foreground
  nohup proxy-monitor >monitor.log 2>&1 &    in the background
  proxy-status                               what it sees
  proxy-monitor --stop --stop-forwards       end it and its forwards

Manual: man proxy-monitor, man port-watchdog.yaml`,
  )

export const proxyMonitor = program(command, async (options: Options) => {
  if (options.check === true) return await checkConfiguration(options.config)
  const stopForwards = options.stopForwards === true
  if (options.stop === true) {
    const { stopMonitor } = await import('../watch/stop-monitor.ts')
    const say = (line: string) => process.stdout.write(`${line}\n`)
    return await stopMonitor({ stateDirectory: readersDirectory(options.stateDir), stopForwards, say })
  }
  if (options.testAlert !== undefined) return await testAlerts(options.config, options.testAlert)
  const { directory, note } = writersDirectory(options.stateDir)
  return await runMonitor({
    stateDirectory: directory,
    directoryNote: note,
    configurationFile: options.config,
    stopForwards,
  })
})

await runIfStarted(import.meta.url, proxyMonitor)

async function checkConfiguration(file: string | undefined): Promise<number> {
  const { forwards } = file === undefined ? defaultConfiguration : await loadConfiguration(file)
  const lines = forwards.map(({ name, options: { listenPort, targetHost, targetPort } }) => {
    return `  ${name}: port ${listenPort} to ${hostAndPort(targetHost, targetPort)}\n`
  })
  const what = file === undefined ? 'without a file' : `${file} is valid`
  process.stdout.write(`${what}: ${countOf(forwards.length)}\n${lines.join('')}`)
  return exitCode.ok
}

/** @param asked the name of one channel; true = all. */
async function testAlerts(file: string | undefined, asked: true | string): Promise<number> {
  const { alerts } = file === undefined ? defaultConfiguration : await loadConfiguration(file)
  const { sendTestAlerts, testableChannels } = await import('../alert/test-alert.ts')
  const names = testableChannels(alerts)
  if (names.length === 0) {
    const cure = 'add one under alerts.channels, and name the file with --config'
    throw new Failure(`no alert channel is configured; ${cure}`, exitCode.configuration)
  }
  if (asked !== true && !names.includes(asked)) {
    throw new Failure(`there is no alert channel "${asked}"; there is ${names.join(', ')}`, exitCode.usage)
  }
  const tested = await sendTestAlerts(alerts, asked === true ? names : [asked])
  for (const { name, problem } of tested) {
    process.stdout.write(`${name}: ${problem === undefined ? 'delivered' : `failed: ${oneLine(problem)}`}\n`)
  }
  return tested.some(({ problem }) => problem !== undefined) ? exitCode.unavailable : exitCode.ok
}

function countOf(forwards: number): string {
  if (forwards === 0) return 'no forwards: nothing would be watched'
  return forwards === 1 ? '1 forward' : `${forwards} forwards`
}
