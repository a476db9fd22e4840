import { type AccessConfiguration, accessDefaults } from './access-configuration.ts'
import type { HttpOptions } from './http-options.ts'
import type { ResourceLimits } from './resource-limits.ts'
import type { RestartPolicy } from './restart-policy.ts'
import type { StoreConfiguration } from './store-configuration.ts'

/** What the gateway is called among the units of a file. */
export const gatewayName = 'gateway'

/** The MCP gateway. */
export interface GatewayConfiguration {
  /** Where it serves HTTP; undefined = only stdio. */
  readonly http: HttpOptions | undefined
  /** The specification alone: no request without a session, headers as they must be. False = lenient towards clients on this machine. */
  readonly strict: boolean
  /** Clients find tools before they call them, instead of having a list of all. */
  readonly lazy: boolean
  /** Messages between the gateway and its connectors are written to a file, with secrets masked. */
  readonly tap: boolean
  /** Files of MCP clients whose servers are connectors, too. Absolute. */
  readonly import: readonly string[]
  readonly access: AccessConfiguration
  /** Where keys are kept; undefined = in files of the state directory. */
  readonly store: StoreConfiguration | undefined
  /** How the monitor keeps it alive; missing = the file has no `gateway`, and the monitor leaves it to its clients. */
  readonly kept?: KeptGateway
}

export interface KeptGateway {
  /** False = it waits for an order to start. */
  readonly autostart: boolean
  readonly restart: RestartPolicy
  readonly limits: ResourceLimits
}

export const gatewayDefaults: GatewayConfiguration = {
  http: undefined,
  strict: false,
  lazy: false,
  tap: false,
  import: [],
  access: accessDefaults,
  store: undefined,
}
