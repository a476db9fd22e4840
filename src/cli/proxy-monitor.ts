#!/usr/bin/env node
import { defaultConfiguration } from '../config/configuration.ts'
import { loadConfiguration } from '../config/load.ts'
import { exitCode } from '../os/failure.ts'
import { hostAndPort } from '../os/interfaces.ts'
import { writersDirectory } from '../record/state-directory.ts'
import { runMonitor } from '../watch/monitor-process.ts'
import { newCommand, program, runIfStarted } from './command.ts'

interface Options {
  config?: string
  stateDir?: string
  stopForwards?: boolean
  check?: boolean
}

const command = newCommand('proxy-monitor', 'Watch forwards and bring back what dies.')
  .option(
    '--config <FILE>',
    'configuration, .yaml or .json (default: 6274 and 6277 to the same ports on localhost)',
  )
  .option('--state-dir <DIR>', 'where state, logs and PID files are kept (default: one of this user’s own)')
  .option('--stop-forwards', 'end the forwarders too on SIGTERM or SIGINT (default: they go on)')
  .option('--check', 'check the configuration, say what would be watched, and end')
  .addHelpText(
    'after',
    `
Exit codes: 0 ended by a signal, 64 usage, 69 another monitor runs, 78 configuration.

Examples:
  proxy-monitor                              in the foreground
  nohup proxy-monitor >monitor.log 2>&1 &    in the background
  proxy-status                               what it sees`,
  )

export const proxyMonitor = program(command, async (options: Options) => {
  if (options.check === true) return await checkConfiguration(options.config)
  return await runMonitor({
    stateDirectory: writersDirectory(options.stateDir),
    configurationFile: options.config,
    stopForwards: options.stopForwards === true,
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
