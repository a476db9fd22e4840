import type { ConnectorConfiguration, ConnectorTransport } from '../../../config/connector-configuration.ts'
import { MissingVariable, withVariables } from '../../../config/variables.ts'
import { canBeRun, isFolder } from '../../../os/command-file.ts'
import { errorText } from '../../../os/failure.ts'
import { isLoopbackHostname } from '../../../os/interfaces.ts'
import { readRegularFile } from '../../../os/regular-file.ts'
import { type Check, type Finding, failed, note, ok, warning } from '../../check.ts'

/** Judges what one connector needs on this machine, in this environment. */
export function judgeConnector(
  { id, transport }: ConnectorConfiguration,
  environment: NodeJS.ProcessEnv,
): Finding[] {
  const unset = variablesOf(transport).flatMap(([text, folder]) => unsetIn(text, environment, folder))
  const missing = [...new Set(unset)].map((problem) =>
    failed(
      'connector-variable-unset',
      `connector ${id}: ${problem}`,
      'set it where the gateway is started, or write its value into the file that envFile names',
    ),
  )
  return [
    ...missing,
    ...(transport.kind === 'stdio' ? judgeChild(id, transport, environment) : judgeUrl(id, transport)),
  ]
}

type Stdio = Extract<ConnectorTransport, { kind: 'stdio' }>
type Remote = Exclude<ConnectorTransport, { kind: 'stdio' }>

/** Texts in which variables may stand, each with the folder that they may refer to. */
function variablesOf(transport: ConnectorTransport): readonly (readonly [text: string, folder: string])[] {
  if (transport.kind === 'stdio') {
    const texts = [...transport.command, ...Object.values(transport.env)]
    return texts.map((text) => [text, transport.cwd] as const)
  }
  return [transport.url, ...Object.values(transport.headers)].map((text) => [text, process.cwd()] as const)
}

function unsetIn(text: string, environment: NodeJS.ProcessEnv, folder: string): string[] {
  try {
    withVariables(text, environment, folder)
    return []
  } catch (error) {
    if (error instanceof MissingVariable) return [error.message]
    throw error
  }
}

function judgeChild(
  id: string,
  { command, cwd, env, envFile }: Stdio,
  environment: NodeJS.ProcessEnv,
): Finding[] {
  if (!isFolder(cwd)) {
    return [
      failed('connector-folder-missing', `connector ${id}: its folder ${cwd} does not exist`, 'correct cwd'),
    ]
  }
  const unread = envFile.flatMap((file) => {
    try {
      readRegularFile(file, { follow: true })
      return []
    } catch (error) {
      const what = `connector ${id}: its file of variables cannot be read: ${errorText(error)}`
      return [failed('connector-variables-unreadable', what, 'correct envFile')]
    }
  })
  const [written] = command
  if (unsetIn(written, environment, cwd).length > 0) return unread
  const program = withVariables(written, environment, cwd)
  if (canBeRun(program, cwd, env.PATH ?? environment.PATH ?? '')) return unread
  const cure = program.includes('/')
    ? `make it executable, or correct command`
    : `install it, or write its whole path as command: the gateway looks in ${environment.PATH ?? 'no PATH'}`
  return [...unread, failed('connector-command-missing', `connector ${id}: ${program} was not found`, cure)]
}

/** A key that goes over a network in the clear. */
function judgeUrl(id: string, { url, headers }: Remote): Finding[] {
  if (!URL.canParse(url)) return []
  const { protocol, hostname } = new URL(url)
  const isNear = isLoopbackHostname(hostname)
  if (protocol === 'https:' || isNear || Object.keys(headers).length === 0) return []
  const what = `connector ${id}: its headers go to ${hostname} without TLS, so that everybody on the way can read them`
  return [warning('connector-url-plain', what, 'use https, or reach it through a tunnel')]
}

export const connectors: Check = {
  name: 'connectors',
  run: ({ gateway }) => {
    if (gateway === undefined) return []
    const { mistakes, connectors: all } = gateway
    if (mistakes.length > 0) return mistakes.map((what) => failed('connectors-invalid', what))
    if (all.length === 0) {
      const cure = 'write connectors into port-watchdog.yaml, or give --config with the file of an MCP client'
      return [note('connectors-none', 'no connector is enabled: the gateway has nothing to serve', cure)]
    }
    const found = all.flatMap((connector) => judgeConnector(connector, process.env))
    if (found.length > 0) return found
    const who = all.length === 1 ? 'the connector finds its' : `all ${all.length} connectors find their`
    return [ok('connectors', `${who} command, folder and variables`)]
  },
}
