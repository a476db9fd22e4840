import type { AccessConfiguration } from './access-configuration.ts'
import type { HttpOptions } from './http-options.ts'

/** What a gateway's process is started with and cannot change while it runs: with others, another process is needed. */
export interface GatewayProcessOptions {
  /** Absolute. */
  readonly file: string
  /** Ids; null = all that are enabled. */
  readonly connectors: readonly string[] | null
  readonly http: HttpOptions | null
  readonly strict: boolean
  readonly lazy: boolean
  readonly allowNone: boolean
  readonly access: AccessConfiguration
}
