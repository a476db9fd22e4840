import { type AccessConfiguration, accessDefaults } from './access-configuration.ts'
import type { PinMode } from './connector-configuration.ts'
import type { HttpOptions } from './http-options.ts'
import type { ResourceLimits } from './resource-limits.ts'
import type { RestartPolicy } from './restart-policy.ts'
import type { StoreConfiguration } from './store-configuration.ts'

/** What the gateway is called among the units of a file. */
export const gatewayName = 'gateway'

/** Where the gateway serves HTTP, and how. */
export interface GatewayHttpOptions extends HttpOptions {
  /** Networks of trusted proxies, whose headers name the client: CIDRs or `private`. */
  readonly trustedProxies: readonly string[]
}

/** The MCP gateway. */
export interface GatewayConfiguration {
  /** Undefined = only stdio. */
  readonly http: GatewayHttpOptions | undefined
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
  /** Of connectors that say nothing themselves. */
  readonly pin: PinMode
  readonly alerts: GatewayAlerts
  /** How the monitor keeps it alive; missing = the file has no `gateway`, and the monitor leaves it to its clients. */
  readonly kept?: KeptGateway
}

export interface KeptGateway {
  /** False = it waits for an order to start. */
  readonly autostart: boolean
  readonly restart: RestartPolicy
  readonly limits: ResourceLimits
}

/** Something that lasts too long on the wrong side of a limit. */
export interface AlertRule {
  /** A share from 0 to 1; of `latency` ms. */
  readonly limit: number
  /** ms for which it must last. */
  readonly forMs: number
}

/** When the gateway alerts about its calls; null = never. */
export interface GatewayAlerts {
  /** Calls that fail. */
  readonly errorRate: AlertRule | null
  /** The time within which 99 of 100 calls end. */
  readonly latency: AlertRule | null
  /** Requests under way, of those that are taken at once. */
  readonly inFlight: AlertRule | null
  /** Look-ups that a cache answers. */
  readonly cacheHits: AlertRule | null
}

export const gatewayAlertDefaults = {
  errorRate: { limit: 0.05, forMs: 5 * 60_000 },
  latency: { limit: 5000, forMs: 5 * 60_000 },
  inFlight: { limit: 0.8, forMs: 5 * 60_000 },
  cacheHits: { limit: 0.9, forMs: 15 * 60_000 },
} as const satisfies GatewayAlerts

export const gatewayDefaults: GatewayConfiguration = {
  http: undefined,
  strict: false,
  lazy: false,
  tap: false,
  import: [],
  access: accessDefaults,
  store: undefined,
  pin: 'alert',
  alerts: gatewayAlertDefaults,
}
