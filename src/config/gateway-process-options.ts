import type { AccessConfiguration } from './access-configuration.ts'
import type { GatewayHttpOptions } from './gateway-configuration.ts'
import type { StoreConfiguration } from './store-configuration.ts'

/** What a gateway's process is started with and cannot change while it runs: with others, another process is needed. */
export interface GatewayProcessOptions {
  /** Absolute. */
  readonly file: string
  /** Ids; null = all that are enabled. */
  readonly connectors: readonly string[] | null
  readonly http: GatewayHttpOptions | null
  readonly strict: boolean
  readonly lazy: boolean
  readonly allowNone: boolean
  readonly access: AccessConfiguration
  /** What tells one store from another without its URL; null = files. */
  readonly store: { readonly fingerprint: string; readonly outageMs: number } | null
}

/** The part of a store's options that is no secret: a fingerprint instead of the URL. */
export function storeOption(store: StoreConfiguration | undefined): GatewayProcessOptions['store'] {
  return store === undefined ? null : { fingerprint: store.url.fingerprint, outageMs: store.outageMs }
}
