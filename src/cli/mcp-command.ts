/** What the commands of `mcp-proxy` share. */
import type { Command } from 'commander'
import type { ConnectorConfiguration } from '../config/connector-configuration.ts'
import { findConfigurationFile } from '../config/find-file.ts'
import type { LoadedConnectors } from '../config/load-connectors.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { absolutePath } from '../os/working-directory.ts'
import { newCommand } from './command.ts'

/** @param verbose as `newCommand` has it. */
export function gatewayCommand(name: string, what: string, verbose?: string): Command {
  return newCommand(name, what, verbose).option(
    '--state-dir <DIR>',
    'folder for state, logs and keys (default: ~/.local/state/port-watchdog)',
  )
}

export const storeHelp =
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
  "keep keys in PostgreSQL, for several gateways: postgres://USER@HOST/DATABASE, or '${NAME}' for an environment variable with that URL (default: gateway.store of the configuration, then the state directory)"

/** The connectors of the file that was named, or is found by itself. @throws Failure (78) */
export async function connectorsOf(given: string | undefined): Promise<LoadedConnectors> {
  const { loadConnectors } = await import('../config/load-connectors.ts')
  return loadConnectors(configurationFile(given))
}

/** The same where no file is needed; undefined = none was named or found. @throws Failure (78) */
export async function configuredConnectors(given: string | undefined): Promise<LoadedConnectors | undefined> {
  const file = given ?? foundFile()
  return file === undefined ? undefined : connectorsOf(file)
}

function configurationFile(given: string | undefined): string {
  const file = given === undefined ? foundFile() : absolutePath(given)
  if (file !== undefined) return file
  throw new Failure(
    'there is no configuration file; write connectors into port-watchdog.yaml, or give --config with the file of an MCP client',
    exitCode.configuration,
  )
}

function foundFile(): string | undefined {
  const { file, passedOver } = findConfigurationFile()
  for (const why of passedOver) process.stderr.write(`mcp-proxy: ${oneLine(why)}\n`)
  return file
}

/** The connector that a person has named, enabled or not. @throws Failure (64) */
export function connectorIn({ connectors, file }: LoadedConnectors, id: string): ConnectorConfiguration {
  const found = connectors.find((connector) => connector.id === id || connector.name === id)
  if (found !== undefined) return { ...found, enabled: true }
  const known = connectors.map((connector) => connector.id).join(', ') || 'none'
  throw new Failure(
    `there is no connector "${oneLine(id)}" in ${oneLine(file)}; it has ${known}`,
    exitCode.usage,
  )
}
