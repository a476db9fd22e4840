/** Who may use the gateway over HTTP, and how much at once. */
export interface AccessConfiguration {
  /** Keys are taken from the header `api-key` and from `?api-key=`, too. */
  readonly legacyKeys: boolean
  /** ms between two writes of when keys were last used; 0 = that is not kept. */
  readonly lastUsedMs: number
  /** Origins whose pages may ask: `https://app.example`. */
  readonly cors: readonly string[]
  readonly requests: RequestLimits
}

/** Requests; 0 = no limit. */
export interface RequestLimits {
  /** Under way at once: of all clients, of one key, from one address. */
  readonly inFlight: number
  readonly inFlightPerKey: number
  readonly inFlightPerSource: number
  /** A second. As many may come at once. */
  readonly ratePerKey: number
  readonly ratePerSource: number
}

export const accessDefaults: AccessConfiguration = {
  legacyKeys: false,
  lastUsedMs: 15 * 60_000,
  cors: [],
  requests: {
    inFlight: 2000,
    inFlightPerKey: 1500,
    inFlightPerSource: 1500,
    ratePerKey: 0,
    ratePerSource: 0,
  },
}
