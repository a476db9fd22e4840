#!/usr/bin/env node
import { optionList, parserOf, withDefaults } from '../config/forward-options.ts'
import { parseCount, parseHost, parsePort } from '../config/values.ts'
import { runForwarder } from '../forward/process.ts'
import { writersDirectory } from '../record/state-directory.ts'
import { argument, newCommand, repeatable, runCommand } from './command.ts'

const command = newCommand('tcp-proxy', 'Forward a TCP port of this machine to a target.')
  .argument('<LISTEN_PORT>', 'port to listen on', argument(parsePort))
  .argument('<TARGET_HOST>', 'host name or IP address to connect to', argument(parseHost))
  .argument('<TARGET_PORT>', 'port to connect to', argument(parsePort))

for (const { flag, specification } of optionList) {
  const parse = parserOf(specification)
  if (specification.kind === 'list') {
    command.option(`${flag} <${specification.placeholder}...>`, specification.help, repeatable(parse))
  } else {
    const placeholder =
      specification.kind === 'text'
        ? specification.placeholder
        : specification.kind === 'duration'
          ? 'TIME'
          : 'N'
    command.option(`${flag} <${placeholder}>`, specification.help, argument(parse))
  }
}

command
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

type Given = Readonly<Record<string, unknown>> & { stateDir?: string; reportFd?: number }

await runCommand(command, (listenPort: number, targetHost: string, targetPort: number, given: Given) =>
  runForwarder({
    forward: withDefaults({ listenPort, targetHost, targetPort }, given),
    stateDirectory: writersDirectory(given.stateDir),
    reportDescriptor: given.reportFd,
  }),
)
