/** Somebody who may use the gateway. There is no default: who is none is refused. */
export interface Principal {
  /** What tells it from others; not a secret. */
  readonly id: string
  /** For people. */
  readonly name: string
  /** How it was recognised. `anonymous`: it showed nothing, where that is admitted. */
  readonly kind: 'owner' | 'key' | 'token' | 'anonymous'
  /** Of the key that he showed, where it can be revoked. */
  readonly keyId?: string
  /** The connectors that it may use; null = all. */
  readonly connectors: readonly string[] | null
  /** The profile that it is bound to; null = none. */
  readonly profile: string | null
  /** What its token allows; null = it has none, and needs no scopes. */
  readonly scopes: ReadonlySet<string> | null
  /** It may read the log of the gateway: besides what it uses, or nothing else. Missing = it may not. */
  readonly logs?: 'besides' | 'alone'
  /** Wall ms after which it is nobody any more. */
  readonly expiresAt?: number
}

const unbound = { connectors: null, profile: null, scopes: null } as const

/** Who starts the gateway, or connects to it by its socket, which only he can open. */
export const owner: Principal = { id: 'owner', name: 'owner', kind: 'owner', ...unbound }

/** Who holds the key that the first start makes. */
export const firstKeyHolder: Principal = { id: 'first-key', name: 'first key', kind: 'key', ...unbound }

export const anonymous: Principal = { id: 'anonymous', name: 'anonymous', kind: 'anonymous', ...unbound }
