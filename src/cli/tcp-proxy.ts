#!/usr/bin/env node
import { type ForwardOptions, forwardDefaults } from '../config/forward-options.ts'
import {
  parseBindAddress,
  parseCount,
  parseDuration,
  parseHost,
  parseNetwork,
  parsePort,
} from '../config/values.ts'
import { runForwarder } from '../forward/process.ts'
import { writersDirectory } from '../record/state-directory.ts'
import { argument, newCommand, repeatable, runCommand } from './command.ts'

interface Options {
  bind: string[]
  allow: string[]
  maxConnections: number
  connectTimeout: number
  idleTimeout: number
  halfCloseTimeout: number
  drain: number
  targetCheck: number
  stateDir?: string
  reportFd?: number
}

const duration = argument(parseDuration)

const command = newCommand('tcp-proxy', 'Forward a TCP port of this machine to a target.')
  .argument('<LISTEN_PORT>', 'port to listen on', argument(parsePort))
  .argument('<TARGET_HOST>', 'host name or IP address to connect to', argument(parseHost))
  .argument('<TARGET_PORT>', 'port to connect to', argument(parsePort))
  .option(
    '--bind <ADDRESS...>',
    'addresses to listen on (default: all IPv4 addresses; every address but loopback when the target is loopback on the same port)',
    repeatable(parseBindAddress),
    [],
  )
  .option(
    '--allow <NETWORK...>',
    'sources to admit instead of private networks: CIDRs, "private", "any"; this machine always is',
    repeatable(parseNetwork),
    [],
  )
  .option(
    '--max-connections <N>',
    'connections open at once; 0 = as many as the descriptor limit allows',
    argument(parseCount),
    forwardDefaults.maxConnections,
  )
  .option('--connect-timeout <TIME>', 'until the target must answer (default: 5s; 0 = off)', duration)
  .option('--idle-timeout <TIME>', 'end a connection that is silent for so long (default: off)', duration)
  .option(
    '--half-close-timeout <TIME>',
    'end a connection that is silent for so long after one side has finished (default: 60s; 0 = off)',
    duration,
  )
  .option(
    '--drain <TIME>',
    'let connections finish for so long after SIGTERM or SIGINT (default: 10s)',
    duration,
  )
  .option(
    '--target-check <TIME>',
    'try a target that nobody has used for so long (default: 10s; 0 = never)',
    duration,
  )
  .option(
    '--state-dir <DIR>',
    'where PID file, log and control socket are kept (default: one of this user’s own)',
  )
  .option(
    '--report-fd <FD>',
    'write one line of JSON there when started, then close it',
    argument(parseCount),
  )
  .addHelpText(
    'after',
    `
Times are 250ms, 5s, 2m, 1h; a bare number counts seconds.
Exit codes: 0 ended by a signal, 64 usage, 69 port taken or already running, 78 impossible configuration.

Examples:
  tcp-proxy 6274 localhost 6274          the MCP Inspector, for this machine's private networks
  tcp-proxy 8080 10.0.0.5 80 --bind 127.0.0.1
  tcp-proxy 6274 localhost 6274 --allow 203.0.113.0/24`,
  )

await runCommand(command, (listenPort: number, targetHost: string, targetPort: number, options: Options) => {
  const forward: ForwardOptions = {
    listenPort,
    targetHost,
    targetPort,
    bind: options.bind,
    allow: options.allow,
    maxConnections: options.maxConnections,
    connectTimeoutMs: options.connectTimeout ?? forwardDefaults.connectTimeoutMs,
    idleTimeoutMs: options.idleTimeout ?? forwardDefaults.idleTimeoutMs,
    halfCloseTimeoutMs: options.halfCloseTimeout ?? forwardDefaults.halfCloseTimeoutMs,
    drainMs: options.drain ?? forwardDefaults.drainMs,
    targetCheckIntervalMs: options.targetCheck ?? forwardDefaults.targetCheckIntervalMs,
  }
  return runForwarder({
    forward,
    stateDirectory: writersDirectory(options.stateDir),
    reportDescriptor: options.reportFd,
  })
})
