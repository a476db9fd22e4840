import { type AlertConfiguration, alertDefaults } from './alert-options.ts'
import type { ChangePermission } from './change-permission.ts'
import type { ConnectorConfiguration } from './connector-configuration.ts'
import type { ForwardOptions } from './forward-options.ts'
import { type GatewayConfiguration, gatewayDefaults } from './gateway-configuration.ts'
import type { HttpOptions } from './http-options.ts'
import { withDefaults } from './option-table.ts'
import type { ProgramConfiguration } from './program-configuration.ts'
import { limitDefaults, type ResourceLimits } from './resource-limits.ts'
import { type RestartPolicy, restartDefaults } from './restart-policy.ts'

/** One forward as the monitor watches it. */
export interface ForwardConfiguration {
  /** Unique; letters, digits, `.`, `_` and `-`. */
  readonly name: string
  readonly options: ForwardOptions
  readonly restart: RestartPolicy
  readonly limits: ResourceLimits
}

export interface Configuration {
  readonly forwards: readonly ForwardConfiguration[]
  readonly programs: readonly ProgramConfiguration[]
  /** ms between two rounds of checks. */
  readonly intervalMs: number
  readonly alerts: AlertConfiguration
  /** Undefined = no API is served. */
  readonly http?: HttpOptions | undefined
  /** MCP servers for the gateway. */
  readonly connectors: readonly ConnectorConfiguration[]
  readonly gateway: GatewayConfiguration
  /** What the order config-change may do; undefined = nothing. */
  readonly configChange?: ChangePermission | undefined
}

/** ms between two rounds when the configuration does not say. */
export const defaultIntervalMs = 10_000

/**
 * Without a file: the three ports of the MCP Inspector's two generations, bound for the network, to the same ports on localhost.
 * @param gate the login in front of all three; empty = none.
 */
export function configurationWithoutFile(gate: string): Configuration {
  return {
    intervalMs: defaultIntervalMs,
    alerts: alertDefaults,
    programs: [],
    connectors: [],
    gateway: gatewayDefaults,
    forwards: [
      { name: 'inspector', port: 6274 },
      { name: 'inspector-sandbox', port: 6275 },
      { name: 'inspector-proxy', port: 6277 },
    ].map(({ name, port }) => ({
      name,
      options: withDefaults({ listenPort: port, targetHost: 'localhost', targetPort: port }, { gate }),
      restart: restartDefaults,
      limits: limitDefaults,
    })),
  }
}

/** `1 forward and 3 programs`. */
export function unitCounts({ forwards, programs, connectors }: Configuration): string {
  const counted = ({ length }: readonly unknown[], kind: string) => {
    return length === 0 ? [] : [length === 1 ? `1 ${kind}` : `${length} ${kind}s`]
  }
  const counts = [...counted(forwards, 'forward'), ...counted(programs, 'program')]
  const all = [...counts, ...counted(connectors, 'connector')]
  return all.length === 0 ? 'no forwards: nothing would be watched' : all.join(' and ')
}

/** What holds without a file and without words. */
export const defaultConfiguration = configurationWithoutFile('')
