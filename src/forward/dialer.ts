import type { TargetFacts, TargetState } from '../control/forwarder-health.ts'
import { hostAndPort } from '../os/interfaces.ts'
import type { Connected } from './connect-race.ts'
import { type DialFailure, type DialTarget, dialTarget, type TargetDialled } from './dial.ts'
import type { NameCache } from './name-cache.ts'
import { TargetRecord } from './target-record.ts'

/** A connected target, and what it took. */
export interface Dialled extends Connected {
  /** Attempts that failed before, over all targets. */
  readonly retries: number
}

export interface NotDialled extends DialFailure {
  /** Attempts that were made after the first one. */
  readonly retries: number
}

export type DialOutcome = (
  ...outcome: [failure: NotDialled, dialled: undefined] | [failure: undefined, dialled: Dialled]
) => void

export interface DialerOptions {
  /** In order of preference; at least one. */
  readonly targets: readonly DialTarget[]
  readonly names: NameCache
  /** Over all targets and attempts. 0 = as long as resolver and kernel try. */
  readonly connectTimeoutMs: number
  /** How long after its first failure targets that refuse are dialled again. 0 = never. */
  readonly retryMs: number
  /** Told when a target begins to answer, or to fail. */
  readonly onChange: (change: TargetChange) => void
}

export type TargetChange =
  | { readonly kind: 'answers'; readonly target: DialTarget; readonly address: string }
  | {
      readonly kind: 'fails'
      readonly target: DialTarget
      readonly message: string
      readonly answeredBefore: boolean
    }

/** A target that failed is tried last for so long, in ms. */
const failureMemoryMs = 10_000

/** ms before the first attempt that is made again; doubled for each further one, up to the longest. */
const firstRetryMs = 50
const longestRetryMs = 500

const statesFromTheBest: readonly TargetState[] = ['reachable', 'unreachable', 'waiting', 'unknown']

const noTarget: TargetFacts = { host: '', port: 0, ...new TargetRecord().facts() }

interface Candidate {
  readonly target: DialTarget
  readonly record: TargetRecord
}

/** Finds a target that answers: in order of preference, those that failed lately last, and again while they refuse. */
export class Dialer {
  readonly #options: DialerOptions
  readonly #candidates: readonly Candidate[]

  constructor(options: DialerOptions) {
    this.#options = options
    this.#candidates = options.targets.map((target) => ({ target, record: new TargetRecord() }))
  }

  /** Every target, in order of preference. */
  facts(): readonly TargetFacts[] {
    return this.#candidates.map(({ target: { host, port }, record }) => ({ host, port, ...record.facts() }))
  }

  /** All targets as one: as well as the best of them. */
  summary(): TargetFacts {
    const facts = this.facts()
    const best = statesFromTheBest
      .map((state) => facts.find((target) => target.state === state))
      .find((target) => target !== undefined)
    const { host, port } = facts[0] ?? noTarget
    return { ...(best ?? noTarget), host, port }
  }

  /**
   * @param onSlow told when the outcome will not come within the blink of an eye; perhaps more than once.
   * @returns a function that gives up: the outcome is then never told.
   */
  dial(onSlow: () => void, outcome: DialOutcome): () => void {
    const dial = new Dial(this.#options, this.#inOrder(), onSlow, outcome)
    dial.start()
    return () => dial.cancel()
  }

  /** Dials every target that nobody has heard of for `freshMs`, and hangs up. */
  check(freshMs: number): () => void {
    const { names, connectTimeoutMs, onChange } = this.#options
    const timeoutMs = connectTimeoutMs === 0 ? Number.POSITIVE_INFINITY : connectTimeoutMs
    const stale = this.#candidates.filter(
      ({ record }) => record.state !== 'reachable' || record.ageMs >= freshMs,
    )
    const cancels = stale.map((candidate) =>
      dialTarget(
        candidate.target,
        names,
        timeoutMs,
        () => {},
        (...outcome) => {
          note(candidate, outcome, onChange)
          outcome[1]?.socket.on('error', () => {}).destroy()
        },
      ),
    )
    return () => {
      for (const cancel of cancels) cancel()
    }
  }

  #inOrder(): readonly Candidate[] {
    if (this.#candidates.length === 1) return this.#candidates
    const hasFailed = ({ record }: Candidate) =>
      record.state !== 'reachable' && record.state !== 'unknown' && record.failedAgeMs < failureMemoryMs
    return [
      ...this.#candidates.filter((candidate) => !hasFailed(candidate)),
      ...this.#candidates.filter(hasFailed),
    ]
  }
}

/** Remembers an outcome. A lack of descriptors of our own says nothing about the target. */
function note(
  { target, record }: Candidate,
  [failure, connected]: Parameters<TargetDialled>,
  onChange: DialerOptions['onChange'],
): void {
  const before = record.state
  if (connected !== undefined) {
    record.answered(connected.address)
    if (before !== 'reachable') onChange({ kind: 'answers', target, address: connected.address })
  } else if (failure.reason !== 'descriptors') {
    record.failed(failure.message)
    if (record.state === before) return
    onChange({ kind: 'fails', target, message: failure.message, answeredBefore: before === 'reachable' })
  }
}

/** One client's search for a target. */
class Dial {
  readonly #options: DialerOptions
  readonly #candidates: readonly Candidate[]
  readonly #onSlow: () => void
  readonly #outcome: DialOutcome
  readonly #deadline: number
  #next = 0
  #attempts = 0
  #wait = firstRetryMs
  #failures: { readonly candidate: Candidate; readonly failure: DialFailure }[] = []
  #timer: NodeJS.Timeout | undefined
  #cancelAttempt = () => {}

  constructor(
    options: DialerOptions,
    candidates: readonly Candidate[],
    onSlow: () => void,
    outcome: DialOutcome,
  ) {
    this.#options = options
    this.#candidates = candidates
    this.#onSlow = onSlow
    this.#outcome = outcome
    const { connectTimeoutMs } = options
    this.#deadline = connectTimeoutMs === 0 ? Number.POSITIVE_INFINITY : performance.now() + connectTimeoutMs
  }

  start(): void {
    const candidate = this.#candidates[this.#next++]
    if (candidate === undefined) return this.#allFailed()
    // Who comes first must not use up the time of those who come after.
    const left = this.#deadline - performance.now()
    const share = left / (this.#candidates.length - this.#next + 1)
    let told = false
    const cancel = dialTarget(
      candidate.target,
      this.#options.names,
      Math.max(1, share),
      this.#onSlow,
      (...outcome) => {
        told = true
        this.#attemptEnded(candidate, outcome)
      },
    )
    if (!told) this.#cancelAttempt = cancel
  }

  cancel(): void {
    clearTimeout(this.#timer)
    this.#cancelAttempt()
  }

  #attemptEnded(candidate: Candidate, outcome: Parameters<TargetDialled>): void {
    note(candidate, outcome, this.#options.onChange)
    const [failure, connected] = outcome
    if (connected !== undefined) {
      const { socket, address } = connected
      const { port } = candidate.target
      return this.#outcome(undefined, {
        socket,
        address: hostAndPort(address, port),
        retries: this.#attempts,
      })
    }
    this.#attempts++
    this.#failures.push({ candidate, failure })
    this.start()
  }

  #allFailed(): void {
    if (!this.#mayTryAgain()) return this.#outcome(this.#summary(), undefined)
    this.#next = 0
    this.#failures = []
    this.#timer = setTimeout(() => this.start(), this.#wait)
    this.#wait = Math.min(this.#wait * 2, longestRetryMs)
    this.#onSlow()
  }

  /** A program that restarts refuses for a moment; one that has refused for long is down, and saying so at once is kinder. */
  #mayTryAgain(): boolean {
    const { retryMs } = this.#options
    if (performance.now() + this.#wait >= this.#deadline) return false
    return this.#failures.some(
      ({ candidate, failure }) =>
        failure.reason === 'target-refused' && candidate.record.failingForMs + this.#wait < retryMs,
    )
  }

  #summary(): NotDialled {
    const message = this.#failures.map(({ failure }) => failure.message).join('; ')
    const reason = this.#failures[0]?.failure.reason ?? 'target-error'
    return { reason, message, retries: Math.max(0, this.#attempts - 1) }
  }
}
