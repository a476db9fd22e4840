/**
 * dial/: finds a target that answers.
 *
 *   Dialer (all targets, in the order of target-set.ts, again while they refuse) -> TargetDial (dial.ts: one target; name-cache.ts resolves its name)
 *   -> ConnectRace (one connect after another, the first that succeeds wins) -> open-connection.ts
 *
 * A target's `Candidate` holds what is known of it; target-checks.ts looks after targets that nobody uses. dial-failure.ts works out why a
 * dial failed: a new cause goes there.
 */
import type { Socket } from 'node:net'
import type { Instance, Shortage, TargetFacts, TargetState } from '../../record/shapes/forwarder-health.ts'
import { resetSocket } from '../relay/reset.ts'
import { runSteps, type StepResult } from '../steps/steps.ts'
import { Candidate, type CandidateOptions } from './candidate.ts'
import type { Connected } from './connect-race.ts'
import { type DialTarget, TargetDial, type TargetDialListener } from './dial.ts'
import { type DialFailure, isShortage } from './dial-failure.ts'
import type { NameCache } from './name-cache.ts'
import { TargetChecks } from './target-checks.ts'
import { TargetRecord } from './target-record.ts'
import { FixedTargets, ProgramTargets, type TargetSet } from './target-set.ts'

/** A connected target, and what it took. The connection that uses it reports its own end: {@link Candidate.open}. */
export interface Dialled extends Connected {
  readonly target: { open: number }
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

export interface DialerOptions extends CandidateOptions {
  /** In order of preference; at least one, unless there is a `program`. */
  readonly targets: readonly DialTarget[]
  /** The targets are its processes, which a monitor names; undefined = they stay what they are. */
  readonly program: { readonly name: string; readonly target: (instance: Instance) => DialTarget } | undefined
  readonly names: NameCache
  /** Over all targets and attempts. 0 = as long as resolver and kernel try. */
  readonly connectTimeoutMs: number
  /** How long after its first failure targets that refuse are dialled again. 0 = never. */
  readonly retryMs: number
}

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

/** Finds a target that answers: in order of preference, those that failed lately last, and again while they refuse. */
export class Dialer {
  readonly #options: DialerOptions
  readonly #targets: TargetSet
  readonly #program: ProgramTargets | undefined
  readonly #shortages = new Shortages()
  #checks: TargetChecks | undefined

  constructor(options: DialerOptions) {
    this.#options = options
    const { program, targets } = options
    this.#program =
      program &&
      new ProgramTargets(program.name, (instance) => new Candidate(program.target(instance), options))
    this.#targets = this.#program ?? new FixedTargets(targets.map((target) => new Candidate(target, options)))
  }

  /** Every target, in order of preference. */
  facts(): readonly TargetFacts[] {
    return this.#targets.candidates.map(({ target: { host, port }, record }) => {
      return { host, port, ...record.facts() }
    })
  }

  /** All targets as one: as well as the best of them. */
  summary(): TargetFacts {
    const best = summaryOf(this.facts())
    return this.#program?.summary(best) ?? best
  }

  /** The program whose processes the targets are; undefined = none. */
  get program(): Pick<ProgramTargets, 'told' | 'facts'> | undefined {
    return this.#program
  }

  /** A monitor says which processes of the program are ready. @returns false when that is no news. */
  setInstances(ready: readonly Instance[]): boolean {
    if (this.#program?.take(ready) !== true) return false
    this.#checks?.follow(this.#program.candidates)
    return true
  }

  dial(listener: DialListener): Dialling {
    const now = performance.now()
    const dial = new Dial(
      this.#options,
      this.#shortages,
      this.#targets,
      deadlineOf(now, this.#options.connectTimeoutMs),
      listener,
    )
    dial.start(now)
    return dial
  }

  /** A target with its steps done, for what speaks HTTP with it itself: the gate, and the look for an Inspector. */
  dialPrepared(outcome: PreparedOutcome): void {
    const { steps } = this.#options
    this.dial({
      slow: () => {},
      notDialled: (failure) => outcome(failure, undefined),
      dialled: (dialled) => {
        const socket = dialled.socket.toSocket('reading').on('error', () => {})
        socket.once('close', () => dialled.target.open--)
        if (steps.length === 0) return outcome(undefined, socket)
        const { host, retries } = dialled
        runSteps(steps, socket, { host, connection: undefined }, (result) => {
          dialled.prepared(result)
          if (result.ok) return outcome(undefined, result.socket)
          resetSocket(socket)
          const { step, message } = result.failure
          outcome({ reason: 'target-error', message: `${step.name}: ${message}`, retries }, undefined)
        })
      },
    })
  }

  /** Begins to look after targets that nobody uses. @param checkMs greater than 0. */
  startChecks(checkMs: number, isInherited: boolean): void {
    this.#checks = new TargetChecks({
      ...this.#options,
      candidates: this.#targets.candidates,
      checkMs,
      isInherited,
      fellShort: (failure) => this.#shortages.noteFailure(failure),
    })
  }

  stopChecks(): void {
    this.#checks?.close()
    this.#checks = undefined
  }

  /** Somebody asks how the targets are: looks now, where that is free. */
  lookNow(): void {
    this.#checks?.lookNow()
  }

  /** Takes what another process of the same forward knows, where it is news. */
  learn(targets: readonly TargetFacts[]): void {
    for (const facts of targets) {
      const isMeant = ({ target: { host, port } }: Candidate) => host === facts.host && port === facts.port
      this.#targets.candidates.find(isMeant)?.learn(facts)
    }
  }

  /** What this machine lacks to dial; null = nothing. */
  shortage(): Shortage | null {
    return this.#shortages.current()
  }
}

/** @param timeoutMs 0 = none. */
function deadlineOf(startedAt: number, timeoutMs: number): number {
  return timeoutMs === 0 ? Number.POSITIVE_INFINITY : startedAt + timeoutMs
}

/** One client's search for a target. */
class Dial implements Dialling, TargetDialListener {
  readonly #options: DialerOptions
  readonly #shortages: Shortages
  readonly #targets: TargetSet
  /** Those of this turn. */
  #candidates: readonly Candidate[]
  readonly #listener: DialListener
  readonly #deadline: number
  #next = 0
  #attempts = 0
  #wait = firstRetryMs
  #failures: { readonly candidate: Candidate; readonly failure: DialFailure }[] = []
  #timer: NodeJS.Timeout | undefined
  #attemptFrom = 0
  /** The one of the candidate before `#next`. */
  #attempt: TargetDial | undefined

  constructor(
    options: DialerOptions,
    shortages: Shortages,
    targets: TargetSet,
    deadline: number,
    listener: DialListener,
  ) {
    this.#options = options
    this.#shortages = shortages
    this.#targets = targets
    this.#candidates = targets.inOrder()
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
    this.#attemptFrom = now
    candidate.open++
    this.#attempt = new TargetDial(candidate.target, this.#options.names, span, this)
    this.#attempt.start()
  }

  giveUp(): void {
    clearTimeout(this.#timer)
    if (this.#attempt === undefined) return
    this.#attempt.giveUp()
    this.#attempt = undefined
    this.#current.open--
  }

  slow(): void {
    this.#listener.slow()
  }

  connected(connected: Connected): void {
    const candidate = this.#current
    const since = this.#attemptFrom
    this.#attempt = undefined
    candidate.connected(connected, 'traffic')
    this.#shortages.over()
    const { socket, address } = connected
    const { host, port } = candidate.target
    this.#listener.dialled({
      socket,
      address,
      port,
      retries: this.#attempts,
      host,
      target: candidate,
      prepared: (result) => candidate.prepared(address, result, 'traffic', since),
    })
  }

  failed(failure: DialFailure): void {
    const candidate = this.#current
    this.#attempt = undefined
    candidate.open--
    candidate.failed(failure, 'traffic', this.#attemptFrom)
    this.#shortages.noteFailure(failure)
    this.#attempts++
    this.#failures.push({ candidate, failure })
    this.start(performance.now())
  }

  get #current(): Candidate {
    return this.#candidates[this.#next - 1] as Candidate
  }

  #allFailed(): void {
    if (!this.#mayTryAgain()) return this.#listener.notDialled(this.#summary())
    this.#failures = []
    this.#timer = setTimeout(() => this.#startAgain(), this.#wait)
    this.#wait = Math.min(this.#wait * 2, longestRetryMs)
    this.#listener.slow()
  }

  #startAgain(): void {
    this.#next = 0
    this.#candidates = this.#targets.inOrder()
    this.start(performance.now())
  }

  /** A program that restarts refuses for a moment; one that has refused for long is down, and saying so at once is kinder. */
  #mayTryAgain(): boolean {
    const { retryMs } = this.#options
    if (performance.now() + this.#wait >= this.#deadline) return false
    const { missing } = this.#targets
    if (this.#candidates.length === 0) return missing === undefined || missing.forMs + this.#wait < retryMs
    return this.#failures.some(
      ({ candidate, failure }) =>
        failure.reason === 'target-refused' && candidate.record.failingForMs + this.#wait < retryMs,
    )
  }

  #summary(): NotDialled {
    const { missing } = this.#targets
    if (this.#failures.length === 0 && missing !== undefined)
      return { reason: 'target-not-ready', message: missing.message, retries: 0 }
    const message = this.#failures.map(({ failure }) => failure.message).join('; ')
    const reason = this.#failures[0]?.failure.reason ?? 'target-error'
    return { reason, message, retries: Math.max(0, this.#attempts - 1) }
  }
}

/** ms after which a shortage that no dial has met again is over. */
const rememberedMs = 15_000

/** Remembers what this machine lacked when it last tried to dial a target. */
class Shortages {
  #last: { readonly reason: Shortage['reason']; readonly message: string; readonly at: number } | undefined

  noteFailure({ reason, message }: DialFailure): void {
    if (isShortage(reason)) this.#last = { reason, message, at: performance.now() }
  }

  /** A dial succeeded. */
  over(): void {
    this.#last = undefined
  }

  current(): Shortage | null {
    if (this.#last === undefined) return null
    const { reason, message, at } = this.#last
    const ageMs = Math.round(performance.now() - at)
    return ageMs > rememberedMs ? null : { reason, message, ageMs }
  }
}
