import { hostAndPort } from '../../os/interfaces.ts'
import type { StepResult, TargetStep } from '../steps/steps.ts'
import type { Connected } from './connect-race.ts'
import type { DialTarget } from './dial.ts'
import { type DialFailure, isShortage } from './dial-failure.ts'
import { TargetRecord } from './target-record.ts'

/** A target began to answer or to fail, or was replaced. */
export type TargetChange =
  | { readonly kind: 'answers'; readonly target: DialTarget; readonly address: string }
  /** It goes on answering, but something else listens there now. */
  | { readonly kind: 'renewed'; readonly target: DialTarget }
  | {
      readonly kind: 'fails'
      readonly target: DialTarget
      readonly message: string
      readonly answeredBefore: boolean
    }

export interface CandidateOptions {
  /** What a target must go through before it has answered. */
  readonly steps: readonly TargetStep[]
  /** Told when a target begins to answer, or to fail. */
  readonly onChange: (change: TargetChange) => void
}

type Trial = 'traffic' | 'knock'

/** One target and what is known of it. Whoever dials it, or looks for it, says here what came of it. */
export class Candidate {
  readonly target: DialTarget
  readonly record = new TargetRecord()
  /** Connections of this process to it, those that are being made among them. */
  open = 0
  readonly #options: CandidateOptions
  /** What the last look has found. */
  #sockets: string | undefined

  constructor(target: DialTarget, options: CandidateOptions) {
    this.target = target
    this.#options = options
  }

  /** A target with steps to do has not answered before they are done. */
  connected({ address }: Connected, by: Trial): void {
    if (this.#options.steps.length === 0) this.#telling(() => this.record.answered(address, by))
  }

  /** @param since when the attempt began. */
  prepared(address: string, result: StepResult, by: Trial, since: number): void {
    if (result.ok) return this.#telling(() => this.record.answered(address, by))
    const { step, message } = result.failure
    const words = `${hostAndPort(address, this.target.port)}, ${step.name}: ${message}`
    const failure = { message: words, isRefusal: false, wasReached: true, since }
    this.#telling(() => this.record.failed(failure, by))
  }

  /** What this machine lacks says nothing about the target. */
  failed({ reason, message }: DialFailure, by: Trial, since: number): void {
    if (isShortage(reason)) return this.record.triedInVain()
    const isRefusal = reason === 'target-refused'
    this.#telling(() => this.record.failed({ message, isRefusal, wasReached: false, since }, by))
  }

  /** A look has found who listens. */
  listens(address: string, sockets: string): void {
    const isOther = this.#sockets !== undefined && this.#sockets !== sockets
    const wasReachable = this.record.state === 'reachable'
    this.#sockets = sockets
    this.#telling(() => this.record.listens(address, sockets))
    if (isOther && wasReachable) this.#options.onChange({ kind: 'renewed', target: this.target })
  }

  /** A look has found nobody, and so it is away. */
  missing(message: string): void {
    this.#telling(() => this.record.missing(message))
  }

  /** What another process knows of it. */
  learn(facts: Parameters<TargetRecord['learn']>[0]): void {
    this.#telling(() => this.record.learn(facts))
  }

  #telling(note: () => void): void {
    const before = this.record.state
    note()
    const { state } = this.record
    if (state === before) return
    const { target } = this
    const { address, lastError } = this.record.facts()
    if (state === 'reachable') this.#options.onChange({ kind: 'answers', target, address: address ?? '' })
    else {
      const answeredBefore = before === 'reachable'
      this.#options.onChange({ kind: 'fails', target, message: lastError ?? '', answeredBefore })
    }
  }
}
