import { type Command, InvalidArgumentError, Option } from 'commander'
import { groupOf, optionGroups } from '../config/option-groups.ts'
import { type OptionSpecification, optionList, parserOf, withDefaults } from '../config/option-table.ts'
import { parseCount, parsePort, parseTargetHost, unixPath } from '../config/values.ts'
import { argument, newCommand, readAndRun, repeatable } from './command.ts'
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

  for (const group of optionGroups) {
    for (const { name, flag, specification } of optionList) {
      if (groupOf[name] === group) command.addOption(optionOf(flag, specification).helpGroup(`${group}:`))
    }
  }

  return command
    .option(
      '--state-dir <DIR>',
      'folder for PID file, log and control socket (default: ~/.local/state/port-watchdog)',
    )
    .option(
      '--report-fd <FD>',
      'file descriptor to write one line of JSON to when started; it is then closed',
      argument(parseCount),
    )
    .addHelpText(
      'after',
      `
Times are written 250ms, 5s, 2m or 1h; a number alone means seconds.

Signals:
  TERM, INT  accept no more connections, let the open ones finish for --drain, then end
  USR2       planned restart: a new process takes the port over; no connection is refused or cut
  HUP        reopen the logs and read the TLS certificates again

Exit codes:
  0   ended by a signal
  64  invalid arguments
  69  the port is taken, or a forwarder for it already runs
  78  invalid configuration

Examples:
  tcp-proxy 6274 localhost 6274 --gate token         the MCP Inspector, behind a login
  tcp-proxy 8080 10.0.0.5 80 --bind 127.0.0.1        for this machine only
  tcp-proxy 8080 10.0.0.5 80 --target 10.0.0.6:80    the second target when the first cannot be reached
  tcp-proxy 8080 unix:/run/app.sock                  to a Unix socket
  tcp-proxy 8080 localhost 3000 --allow 203.0.113.0/24
  tcp-proxy 8443 localhost 3000 --tls-self-signed    over https, with a certificate created for this machine
  tcp-proxy 6379 cache.example 6380 --target-tls     redis-cli without TLS, to a Redis that speaks TLS
  tcp-proxy 8080 api.example 443 --target-tls --target-alpn h2    gRPC without TLS, to a server that speaks TLS

Manual: man tcp-proxy`,
    )
}

function optionOf(flag: string, specification: OptionSpecification<unknown>): Option {
  if (specification.kind === 'flag') return new Option(flag, specification.help)
  const isList = specification.kind === 'list'
  const option = new Option(
    `${flag} <${placeholderOf(specification)}${isList ? '...' : ''}>`,
    specification.help,
  )
  const parse = parserOf(specification)
  return isList ? option.argParser<(string | number)[]>(repeatable(parse)) : option.argParser(argument(parse))
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

/** What commander makes of words that are not plain. */
export type ReadWords =
  | { readonly isVerbose: boolean; readonly meant: ForwarderWords }
  /** They ask for help, or are wrong, and that is printed. */
  | { readonly isVerbose: boolean; readonly exitCode: number }

export async function readWords(words: readonly string[]): Promise<ReadWords> {
  const command = tcpProxyCommand()
  let meant: ForwarderWords | undefined
  const run = (...given: Parameters<typeof forwarderWords>) => {
    meant = forwarderWords(...given)
    return 0
  }
  const exitCode = await readAndRun({ command, run }, words)
  const isVerbose = command.opts().verbose === true
  return meant === undefined ? { isVerbose, exitCode } : { isVerbose, meant }
}
