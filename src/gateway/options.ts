import type { AccessConfiguration } from '../config/access-configuration.ts'
import type { ConnectorConfiguration, PinMode } from '../config/connector-configuration.ts'
import type { GatewayAlerts, GatewayHttpOptions } from '../config/gateway-configuration.ts'
import type { StoreConfiguration } from '../config/store-configuration.ts'
import type { Level } from '../log/index.ts'

/** What the configuration says, and the words of the command line. */
export interface WantedGateway {
  /** The configuration file, absolute. */
  readonly file: string
  /** Those that are served, enabled ones alone. */
  readonly connectors: readonly ConnectorConfiguration[]
  /** Undefined = stdin and stdout are the client. */
  readonly http: GatewayHttpOptions | undefined
  readonly strict: boolean
  readonly lazy: boolean
  /** Messages between the gateway and its connectors are written to a file. */
  readonly tap: boolean
  readonly access: AccessConfiguration
  /** Where keys are kept; undefined = in the state directory. */
  readonly store: StoreConfiguration | undefined
  readonly pin: PinMode
  readonly alerts: GatewayAlerts
}

/** How a gateway is started. */
export interface GatewayOptions {
  readonly stateDirectory: string
  /** What the configuration says at the start. */
  readonly wanted: WantedGateway
  /** The same as it is now. @throws Failure that names the file, the place and what is wrong. */
  readonly load: () => Promise<WantedGateway>
  /** Their ids, where a person has named them; undefined = all. */
  readonly chosen: readonly string[] | undefined
  /** ms that the start of one connector may take. */
  readonly startTimeoutMs: number
  readonly allowNone: boolean
  readonly level: Level
  /** On which a monitor hears that it is ready: then no client is on stdin. Undefined = no monitor keeps it. */
  readonly reportDescriptor?: number | undefined
  /** For people: stderr, where stdout is the client's. */
  readonly say: (line: string) => void
  /** Gets the lines of the log as well. */
  readonly echo: (line: string) => void
}
