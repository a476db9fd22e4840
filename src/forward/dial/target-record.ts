import type { KnownBy, TargetFacts, TargetState } from '../../record/shapes/forwarder-health.ts'
import type { CheckFacts } from './check-plan.ts'

/** How long a failure is believed although something listens, in ms: the program may hang, or its certificate be wrong. */
const silenceBelievedMs = 30_000
const stepBelievedMs = 300_000

/** A target whose last dial failed is tried after the others for so long, in ms. */
const avoidedMs = 10_000

/** Why a target does not answer. */
export interface TargetFailure {
  readonly message: string
  /** Nothing listens there. */
  readonly isRefusal: boolean
  /** It was reached, and failed afterwards (TLS): it noticed. */
  readonly wasReached: boolean
  /** When the attempt began, in ms of `performance.now()`. */
  readonly since: number
}

/** Remembers what is known of a target, and from what: every dial, by a client or a check, and every look is recorded here. */
export class TargetRecord {
  #answeredAt: number | undefined
  #address: string | null = null
  #failedAt: number | undefined
  /** The first of the failures in a row. */
  #failingSince: number | undefined
  #lastError: string | null = null
  #knownBy: KnownBy | null = null
  #stateSince = performance.now()
  #lookedAt: number | undefined
  #triedAt: number | undefined
  #avoidedUntil = 0
  #unanswered = 0
  #disturbances = 0
  /** What the last look found, by the sockets' inodes. */
  #listening: { readonly sockets: string; readonly at: number } | undefined
  /** Listening sockets that are there and do not answer: in the way of no conclusion, and until when. */
  #doubted: { readonly sockets: string; readonly until: number } | undefined

  /** @param by how that is known: a client's dial (`traffic`) or a check's (`knock`). */
  answered(address: string, by: 'traffic' | 'knock'): void {
    this.#triedAt = performance.now()
    this.#unanswered = 0
    this.#disturbances = by === 'traffic' ? 0 : this.#disturbances + 1
    this.#doubted = undefined
    this.#isThere(address, by)
  }

  failed(failure: TargetFailure, by: 'traffic' | 'knock'): void {
    const now = performance.now()
    this.#triedAt = now
    this.#avoidedUntil = now + avoidedMs
    if (by === 'knock') {
      if (failure.wasReached) this.#disturbances++
      else this.#unanswered++
    } else this.#unanswered = 0
    this.#doubt(failure, now)
    this.#isAway(failure.message, by)
  }

  /** A dial failed because this machine lacks something: it says nothing about the target. */
  triedInVain(): void {
    this.#triedAt = performance.now()
    this.#avoidedUntil = this.#triedAt + avoidedMs
  }

  /**
   * A look has found what listens.
   * @param sockets which ones, by their inodes.
   * @returns false when these very sockets were seen not to answer.
   */
  listens(address: string, sockets: string): boolean {
    const now = performance.now()
    this.#lookedAt = now
    const isSame = this.#listening?.sockets === sockets
    this.#listening = { sockets, at: isSame ? (this.#listening?.at ?? now) : now }
    if (this.#doubted?.sockets === sockets && now < this.#doubted.until) return false
    this.#doubted = undefined
    this.#unanswered = 0
    this.#isThere(address, 'listener-table')
    return true
  }

  /** A look has found nothing. Whether that means that the target is away is the caller's to say. */
  listensNot(): void {
    this.#lookedAt = performance.now()
    this.#listening = undefined
    this.#doubted = undefined
  }

  /** The same, and so it is away. */
  missing(message: string): void {
    this.#avoidedUntil = performance.now() + avoidedMs
    this.#isAway(message, 'listener-table')
  }

  /** A look that could not be made says nothing. */
  lookedInVain(): void {
    this.#lookedAt = performance.now()
  }

  /** What another process of this forward knows, or the one before this: taken when it is news. */
  learn(facts: TargetFacts): boolean {
    const { state, address, knownBy, knownAgeMs, stateForMs, lastError } = facts
    // A forwarder of an earlier version does not say.
    if (knownBy == null || knownAgeMs == null || state === 'unknown') return false
    const now = performance.now()
    const at = now - knownAgeMs
    if (at <= this.#knownAt) return false
    if (facts.answeredAgeMs !== null) this.#answeredAt = now - facts.answeredAgeMs
    if (state === 'reachable') {
      this.#address = address
      this.#failingSince = undefined
    } else {
      this.#failedAt = at
      this.#failingSince ??= now - stateForMs
      this.#lastError = lastError
    }
    this.#knownBy = knownBy
    this.#stateSince = now - stateForMs
    return true
  }

  get state(): TargetState {
    if (this.#answeredAt === undefined) return this.#failedAt === undefined ? 'unknown' : 'waiting'
    return (this.#failedAt ?? -Infinity) > this.#answeredAt ? 'unreachable' : 'reachable'
  }

  /** Of several targets those that failed lately come last. */
  get isAvoided(): boolean {
    return performance.now() < this.#avoidedUntil
  }

  /** ms since the first failure of those in a row; 0 when the last dial succeeded. */
  get failingForMs(): number {
    return this.#failingSince === undefined ? 0 : performance.now() - this.#failingSince
  }

  /** For the plan of checks. */
  checkFacts(startedAt: number, isInherited: boolean): CheckFacts {
    const { state } = this
    return {
      startedAt,
      isInherited,
      isUp: state === 'reachable',
      isKnown: state !== 'unknown',
      lookedAt: this.#lookedAt,
      triedAt: this.#triedAt,
      unanswered: this.#unanswered,
      disturbances: this.#disturbances,
    }
  }

  facts(): Omit<TargetFacts, 'host' | 'port'> {
    const now = performance.now()
    const age = (at: number | undefined) => (at === undefined ? null : Math.round(now - at))
    return {
      state: this.state,
      address: this.#address,
      knownBy: this.#knownBy,
      knownAgeMs: this.#knownBy === null ? null : Math.round(now - this.#knownAt),
      stateForMs: Math.round(now - this.#stateSince),
      answeredAgeMs: age(this.#answeredAt),
      lastError: this.#lastError,
      lastErrorAgeMs: age(this.#failedAt),
    }
  }

  get #knownAt(): number {
    return Math.max(this.#answeredAt ?? -Infinity, this.#failedAt ?? -Infinity)
  }

  #isThere(address: string, by: KnownBy): void {
    const now = performance.now()
    if (this.state !== 'reachable') this.#stateSince = now
    this.#avoidedUntil = 0
    this.#answeredAt = now
    this.#address = address
    this.#failingSince = undefined
    this.#knownBy = by
  }

  #isAway(message: string, by: KnownBy): void {
    const { state } = this
    const now = performance.now()
    if (state === 'reachable' || state === 'unknown') this.#stateSince = now
    this.#failedAt = now
    this.#failingSince ??= now
    this.#lastError = message
    this.#knownBy = by
  }

  /** What was seen listening before a dial began, and let it fail, is not enough to answer. */
  #doubt({ isRefusal, wasReached, since }: TargetFailure, now: number): void {
    const seen = this.#listening
    if (seen === undefined || seen.at > since) return
    const believedMs = wasReached ? stepBelievedMs : silenceBelievedMs
    const until = isRefusal ? Number.POSITIVE_INFINITY : now + believedMs
    this.#doubted = { sockets: seen.sockets, until }
  }
}
