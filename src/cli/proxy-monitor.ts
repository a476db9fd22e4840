#!/usr/bin/env node
import { defaultConfiguration } from '../config/configuration.ts'
import { loadConfiguration } from '../config/load.ts'
import { exitCode } from '../os/failure.ts'
import { hostAndPort } from '../os/interfaces.ts'
import { readersDirectory, writersDirectory } from '../record/state-directory.ts'
import { runMonitor } from '../watch/monitor-process.ts'
import { newCommand, program, runIfStarted } from './command.ts'

interface Options {
  config?: string
  stateDir?: string
  stopForwards?: boolean
  check?: boolean
  stop?: boolean
}

const command = newCommand('proxy-monitor', 'Run TCP forwards and restart the ones that die.')
  .option(
    '--config <FILE>',
    'configuration file, .yaml or .json (default: the ports of the MCP Inspector, to the same ports of localhost)',
  )
  .option(
    '--state-dir <DIR>',
    'folder for state, logs and PID files (default: one that belongs to this user)',
  )
  .option('--stop-forwards', 'also stop the forwarders on SIGTERM or SIGINT (default: leave them running)')
  .option(
    '--stop',
    'end the running monitor of the state directory and wait until it is gone; with --stop-forwards also its forwarders',
  )
  .option('--check', 'check the configuration, list what would be watched, and exit')
  .addHelpText(
    'after',
    `
Signals:
  TERM, INT  end; the forwarders keep running unless --stop-forwards was given
  HUP        read the configuration file again, reopen the logs, and retry at once what waits for its next try

Exit codes:
  0   ended by a signal; with --stop: it has ended, or none was running
  64  invalid arguments
  69  another monitor uses this state directory; with --stop: something does not end
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
  return await runMonitor({
    stateDirectory: writersDirectory(options.stateDir),
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

function countOf(forwards: number): string {
  if (forwards === 0) return 'no forwards: nothing would be watched'
  return forwards === 1 ? '1 forward' : `${forwards} forwards`
}
