/** Somebody who may use the gateway. There is no default: who is none is refused. */
export interface Principal {
  /** What tells it from others; not a secret. */
  readonly id: string
  /** For people. */
  readonly name: string
  /** Of the key that he showed, where it can be revoked. */
  readonly keyId?: string
  /** The connectors that it may use; null = all. */
  readonly connectors: readonly string[] | null
}

/** Who starts the gateway, or connects to it by its socket, which only he can open. */
export const owner: Principal = { id: 'owner', name: 'owner', connectors: null }
