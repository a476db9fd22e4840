/** What the commands of `mcp-proxy` share. */
import type { Command } from 'commander'
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

/** The connectors of the file that was named, or is found by itself. @throws Failure (78) */
export async function connectorsOf(given: string | undefined): Promise<LoadedConnectors> {
  const { loadConnectors } = await import('../config/load-connectors.ts')
  return loadConnectors(configurationFile(given))
}

function configurationFile(given: string | undefined): string {
  if (given !== undefined) return absolutePath(given)
  const { file, passedOver } = findConfigurationFile()
  for (const why of passedOver) process.stderr.write(`mcp-proxy: ${oneLine(why)}\n`)
  if (file !== undefined) return file
  throw new Failure(
    'there is no configuration file; write connectors into port-watchdog.yaml, or give --config with the file of an MCP client',
    exitCode.configuration,
  )
}
