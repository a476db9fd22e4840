import type { Socket } from 'node:net'
import { hostAndPort } from '../../os/interfaces.ts'
import type { TargetFacts, TargetState } from '../../record/forwarder-health.ts'
import { runSteps, type StepResult, type TargetStep } from '../steps/steps.ts'
import type { Connected } from './connect-race.ts'
import { type DialFailure, type DialTarget, TargetDial, type TargetDialListener } from './dial.ts'
import type { NameCache } from './name-cache.ts'
import { TargetRecord } from './target-record.ts'

/** A connected target, and what it took. */
export interface Dialled extends Connected {
  readonly port: number
  /** Attempts that failed before, over all targets. */
  readonly retries: number
  /** The target as it was given. */
  readonly host: string
  /** Is to be told what came of the target's steps, where it has some: it has not answered before they are done. */
  readonly prepared: (result: StepResult) => void
}

export interface NotDialled extends DialFailure {
  /** Attempts that were made after the first one. */
  readonly retries: number
}

/** What comes of a client's dial. Its end is told once, and perhaps within the call that begins. */
export interface DialListener {
  /** Told when the end will not come within the blink of an eye; perhaps more than once. */
  slow(): void
  dialled(dialled: Dialled): void
  notDialled(failure: NotDialled): void
}

/** A dial that is under way. */
export interface Dialling {
  /** Ends it: nobody is told anything then. */
  giveUp(): void
}

/** The end of a dial whose target's steps are done as well. */
export type PreparedOutcome = (
  ...outcome: [failure: NotDialled, socket: undefined] | [failure: undefined, socket: Socket]
) => void

export interface DialerOptions {
  /** In order of preference; at least one. */
  readonly targets: readonly DialTarget[]
  readonly names: NameCache
  /** Over all targets and attempts. 0 = as long as resolver and kernel try. */
  readonly connectTimeoutMs: number
  /** How long after its first failure targets that refuse are dialled again. 0 = never. */
  readonly retryMs: number
  /** What a target must go through before it has answered. */
  readonly steps: readonly TargetStep[]
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

/** Targets as one: as well as the best of them, by the name of the first. */
export function summaryOf(facts: readonly TargetFacts[]): TargetFacts {
  const best = statesFromTheBest
    .map((state) => facts.find((target) => target.state === state))
    .find((target) => target !== undefined)
  const { host, port } = facts[0] ?? noTarget
  return { ...(best ?? noTarget), host, port }
}

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
    return summaryOf(this.facts())
  }

  dial(listener: DialListener): Dialling {
    const now = performance.now()
    const dial = new Dial(
      this.#options,
      this.#inOrder(),
      deadlineOf(now, this.#options.connectTimeoutMs),
      listener,
    )
    dial.start(now)
    return dial
  }

  /** Dials every target that nobody has heard of for `freshMs`, and hangs up. */
  check(freshMs: number): Dialling {
    const { names, connectTimeoutMs } = this.#options
    const from = performance.now()
    const span = { from, until: deadlineOf(from, connectTimeoutMs) }
    const stale = this.#candidates.filter(
      ({ record }) => record.state !== 'reachable' || record.ageMs >= freshMs,
    )
    const cancels = stale.map((candidate) => {
      let cancelSteps: (() => void) | undefined
      const dial = new TargetDial(candidate.target, names, span, {
        slow: () => {},
        connected: (connected) => {
          noteConnected(candidate, connected, this.#options)
          cancelSteps = this.#checkSteps(candidate, connected)
        },
        failed: (failure) => noteFailure(candidate, failure, this.#options.onChange),
      })
      dial.start()
      return () => {
        dial.giveUp()
        cancelSteps?.()
      }
    })
    return {
      giveUp: () => {
        for (const cancel of cancels) cancel()
      },
    }
  }

  /** Goes the rest of the way to a target that was connected to for a check, and hangs up. */
  #checkSteps(candidate: Candidate, { socket, address }: Connected): () => void {
    const { steps, onChange } = this.#options
    if (steps.length === 0) {
      socket.destroy()
      return () => {}
    }
    const target = socket.toSocket('reading').on('error', () => {})
    const errand = { host: candidate.target.host, connection: undefined }
    const cancel = runSteps(steps, target, errand, (result) => {
      notePrepared(candidate, address, result, onChange)
      // Not before what the steps have written is out.
      if (result.ok) result.socket.destroySoon()
      else target.destroy()
    })
    return () => {
      cancel()
      target.destroy()
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

/** A lack of descriptors of our own says nothing about the target. */
function noteFailure(
  { target, record }: Candidate,
  { reason, message }: DialFailure,
  onChange: DialerOptions['onChange'],
): void {
  if (reason === 'descriptors') return
  const before = record.state
  record.failed(message)
  if (record.state === before) return
  onChange({ kind: 'fails', target, message, answeredBefore: before === 'reachable' })
}

function noteAnswer(
  { target, record }: Candidate,
  address: string,
  onChange: DialerOptions['onChange'],
): void {
  const before = record.state
  record.answered(address)
  if (before !== 'reachable') onChange({ kind: 'answers', target, address })
}

/** A target with steps to do has not answered before they are done. */
function noteConnected(
  candidate: Candidate,
  { address }: Connected,
  { steps, onChange }: DialerOptions,
): void {
  if (steps.length === 0) noteAnswer(candidate, address, onChange)
}

function notePrepared(
  candidate: Candidate,
  address: string,
  result: StepResult,
  onChange: DialerOptions['onChange'],
): void {
  const { port } = candidate.target
  if (result.ok) return noteAnswer(candidate, address, onChange)
  const { step, message } = result.failure
  const words = `${hostAndPort(address, port)}, ${step.name}: ${message}`
  noteFailure(candidate, { reason: 'target-error', message: words }, onChange)
}

/** @param timeoutMs 0 = none. */
function deadlineOf(startedAt: number, timeoutMs: number): number {
  return timeoutMs === 0 ? Number.POSITIVE_INFINITY : startedAt + timeoutMs
}

/** One client's search for a target. */
class Dial implements Dialling, TargetDialListener {
  readonly #options: DialerOptions
  readonly #candidates: readonly Candidate[]
  readonly #listener: DialListener
  readonly #deadline: number
  #next = 0
  #attempts = 0
  #wait = firstRetryMs
  #failures: { readonly candidate: Candidate; readonly failure: DialFailure }[] = []
  #timer: NodeJS.Timeout | undefined
  /** The one of the candidate before `#next`. */
  #attempt: TargetDial | undefined

  constructor(
    options: DialerOptions,
    candidates: readonly Candidate[],
    deadline: number,
    listener: DialListener,
  ) {
    this.#options = options
    this.#candidates = candidates
    this.#listener = listener
    this.#deadline = deadline
  }

  /** Tries the next target; `now` in ms of `performance.now()`. */
  start(now: number): void {
    const candidate = this.#candidates[this.#next++]
    if (candidate === undefined) return this.#allFailed()
    // Who comes first must not use up the time of those who come after.
    const share = (this.#deadline - now) / (this.#candidates.length - this.#next + 1)
    const span = { from: now, until: now + Math.max(1, share) }
    this.#attempt = new TargetDial(candidate.target, this.#options.names, span, this)
    this.#attempt.start()
  }

  giveUp(): void {
    clearTimeout(this.#timer)
    this.#attempt?.giveUp()
  }

  slow(): void {
    this.#listener.slow()
  }

  connected(connected: Connected): void {
    const candidate = this.#current
    noteConnected(candidate, connected, this.#options)
    const { socket, address } = connected
    const { host, port } = candidate.target
    this.#listener.dialled({
      socket,
      address,
      port,
      retries: this.#attempts,
      host,
      prepared: (result) => notePrepared(candidate, address, result, this.#options.onChange),
    })
  }

  failed(failure: DialFailure): void {
    const candidate = this.#current
    noteFailure(candidate, failure, this.#options.onChange)
    this.#attempts++
    this.#failures.push({ candidate, failure })
    this.start(performance.now())
  }

  get #current(): Candidate {
    return this.#candidates[this.#next - 1] as Candidate
  }

  #allFailed(): void {
    if (!this.#mayTryAgain()) return this.#listener.notDialled(this.#summary())
    this.#next = 0
    this.#failures = []
    this.#timer = setTimeout(() => this.start(performance.now()), this.#wait)
    this.#wait = Math.min(this.#wait * 2, longestRetryMs)
    this.#listener.slow()
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
