import { type Command, InvalidArgumentError } from 'commander'
import { type OptionSpecification, optionList, parserOf, withDefaults } from '../config/forward-options.ts'
import { parseCount, parsePort, parseTargetHost, unixPath } from '../config/values.ts'
import { argument, newCommand, repeatable, runProgram } from './command.ts'
import type { ForwarderWords } from './plain-words.ts'

/** `tcp-proxy` with its help, for words that are not plain ones. */
export function tcpProxyCommand(): Command {
  const command = newCommand('tcp-proxy', 'Forward a TCP port of this machine to a target.')
    .argument('<LISTEN_PORT>', 'port to listen on', argument(parsePort))
    .argument(
      '<TARGET_HOST>',
      'host name or IP address to connect to, or unix:/path',
      argument(parseTargetHost),
    )
    .argument('[TARGET_PORT]', 'port to connect to; none for a Unix socket', argument(parsePort))

  for (const { flag, specification } of optionList) {
    if (specification.kind === 'flag') {
      command.option(flag, specification.help)
      continue
    }
    const parse = parserOf(specification)
    if (specification.kind === 'list') {
      command.option(`${flag} <${specification.placeholder}...>`, specification.help, repeatable(parse))
    } else {
      const placeholder = placeholderOf(specification)
      command.option(`${flag} <${placeholder}>`, specification.help, argument(parse))
    }
  }

  return command
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
  tcp-proxy 8080 10.0.0.5 80 --target 10.0.0.6:80    the second one when the first cannot be reached
  tcp-proxy 8080 unix:/run/app.sock                  to a Unix socket
  tcp-proxy 6274 localhost 6274 --allow 203.0.113.0/24
  tcp-proxy 6274 localhost 6274 --tls-self-signed    over https, with a certificate made for this machine`,
    )
}

type Given = Readonly<Record<string, unknown>> & {
  readonly stateDir?: string
  readonly reportFd?: number
}

function placeholderOf(specification: Exclude<OptionSpecification<unknown>, { kind: 'flag' }>): string {
  switch (specification.kind) {
    case 'duration':
      return 'TIME'
    case 'count':
      return 'N'
    case 'text':
    case 'list':
      return specification.placeholder
  }
}

/** 0 for a Unix socket, which has no port. */
function portOf(targetHost: string, targetPort: number | undefined): number {
  const isUnix = unixPath(targetHost) !== undefined
  if (isUnix && targetPort !== undefined) {
    throw new InvalidArgumentError(`a Unix socket has no port; leave ${targetPort} out`)
  }
  if (!isUnix && targetPort === undefined)
    throw new InvalidArgumentError("missing required argument 'TARGET_PORT'")
  return targetPort ?? 0
}

/** What commander hands to the action of `tcpProxyCommand`, made into what it means. */
export function forwarderWords(
  listenPort: number,
  targetHost: string,
  targetPort: number | undefined,
  given: Given,
): ForwarderWords {
  const place = { listenPort, targetHost, targetPort: portOf(targetHost, targetPort) }
  return { forward: withDefaults(place, given), stateDir: given.stateDir, reportFd: given.reportFd }
}

/** Reads the words of this process, and runs what they mean or says what is wrong with them. */
export async function runTcpProxy(run: (words: ForwarderWords) => Promise<number>): Promise<void> {
  await runProgram({
    command: tcpProxyCommand(),
    run: (...words: Parameters<typeof forwarderWords>) => run(forwarderWords(...words)),
  })
}
