/** The connectors of a person: from the configuration file of this package, from that of an MCP client, or from both. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { exitCode, Failure } from '../os/failure.ts'
import type { ConnectorConfiguration } from './connector-configuration.ts'
import { type GatewayConfiguration, gatewayDefaults } from './gateway-configuration.ts'
import { loadConfiguration } from './load.ts'

export interface LoadedConnectors {
  readonly file: string
  readonly connectors: readonly ConnectorConfiguration[]
  readonly gateway: GatewayConfiguration
}

/**
 * @param file `port-watchdog.yaml` or its like, or a file of Claude, Cursor, VS Code or Codex.
 * @throws Failure (78) that names the file, the place and what is wrong.
 */
export async function loadConnectors(file: string): Promise<LoadedConnectors> {
  if (isForeign(file)) return { file, connectors: await readForeign(file), gateway: gatewayDefaults }
  const { connectors: own = [], gateway } = await loadConfiguration(file)
  const connectors = own.map((one) => ({ ...one, source: file }))
  for (const other of gateway.import) {
    for (const connector of await readForeign(other)) {
      const taken = connectors.find(({ id }) => id === connector.id)
      // What stands in the file itself is meant to win.
      if (taken === undefined) connectors.push(connector)
      else if (taken.source !== file) throw twice(connector, taken)
    }
  }
  return { file, connectors, gateway }
}

/** Loaded for a client's file alone: its parsers would make every other start slower. */
async function readForeign(file: string): Promise<readonly ConnectorConfiguration[]> {
  const { foreignConnectors } = await import('./foreign-connectors.ts')
  return foreignConnectors(file)
}

function twice({ id, source }: ConnectorConfiguration, taken: ConnectorConfiguration): Failure {
  const what = `connector "${id}" is in ${taken.source} and in ${source}`
  return new Failure(`${what}; rename one, or write it under connectors yourself`, exitCode.configuration)
}

/** By its name, or by the block that only clients' files have. */
export function isForeign(file: string): boolean {
  const kind = path.extname(file)
  if (kind === '.toml') return true
  if (kind !== '.json' && kind !== '.jsonc') return false
  // The reader tells of a file that is missing.
  if (!existsSync(file)) return false
  return /"(mcpServers|servers|mcp)"\s*:/.test(readFileSync(file, 'utf8'))
}
