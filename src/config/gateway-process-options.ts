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

/** The parts of a configuration that determine these options. */
interface Configured {
  readonly file: string
  readonly http?: GatewayHttpOptions | undefined
  readonly strict: boolean
  readonly lazy: boolean
  readonly access: AccessConfiguration
  readonly store?: StoreConfiguration | undefined
}

/** The options of a process that serves a configuration. The monitor compares those that it wants with those that the process tells. */
export function processOptions(
  { file, http, strict, lazy, access, store }: Configured,
  { connectors, allowNone }: Pick<GatewayProcessOptions, 'connectors' | 'allowNone'>,
): GatewayProcessOptions {
  const kept = store === undefined ? null : { fingerprint: store.url.fingerprint, outageMs: store.outageMs }
  return { file, connectors, http: http ?? null, strict, lazy, allowNone, access, store: kept }
}
