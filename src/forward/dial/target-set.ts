import {
  type Instance,
  type ProgramFacts,
  sameInstance,
  type TargetFacts,
} from '../../record/shapes/forwarder-health.ts'
import type { Candidate } from './candidate.ts'

/** Which targets a dial may try, and in which order. */
export interface TargetSet {
  readonly candidates: readonly Candidate[]
  /** Those for one client, the best first. */
  inOrder(): readonly Candidate[]
  /** Why there is none to try; undefined while there is one, or there always is. */
  readonly missing?: MissingTargets | undefined
}

export interface MissingTargets {
  readonly message: string
  /** ms since when. */
  readonly forMs: number
}

/** The targets that were given, in order of preference, those that failed lately last. */
export class FixedTargets implements TargetSet {
  readonly candidates: readonly Candidate[]

  constructor(candidates: readonly Candidate[]) {
    this.candidates = candidates
  }

  inOrder(): readonly Candidate[] {
    return this.candidates.length === 1 ? this.candidates : avoidedLast(this.candidates)
  }
}

/**
 * The processes of a program, as a monitor says which are ready. New connections go to the one with the fewest; each process of a forward with
 * workers counts its own. What the monitor said last holds until it says something else, also while no monitor runs.
 */
export class ProgramTargets implements TargetSet {
  readonly #program: string
  readonly #make: (instance: Instance) => Candidate
  #ready: readonly Named[] = []
  /** They get no new connections, and finish those that they have. */
  #leaving: readonly Named[] = []
  #isTold = false
  #wasReady = false
  #since = performance.now()
  /** Of those with as few connections as others each is first in turn. */
  #turn = 0

  constructor(program: string, make: (instance: Instance) => Candidate) {
    this.#program = program
    this.#make = make
  }

  get candidates(): readonly Candidate[] {
    return this.#ready.map(({ candidate }) => candidate)
  }

  inOrder(): readonly Candidate[] {
    const { candidates } = this
    const from = this.#turn++ % Math.max(1, candidates.length)
    const turned = [...candidates.slice(from), ...candidates.slice(0, from)]
    return avoidedLast(turned.toSorted((one, other) => one.open - other.open))
  }

  get missing(): MissingTargets | undefined {
    if (this.#ready.length > 0) return undefined
    const message = this.#isTold
      ? `program ${this.#program} is not ready`
      : `nobody has said yet which processes of program ${this.#program} are ready`
    return { message, forMs: performance.now() - this.#since }
  }

  /** What a monitor said last; undefined = nothing. */
  get told(): readonly Instance[] | undefined {
    return this.#isTold ? this.#ready.map(({ instance }) => instance) : undefined
  }

  /** A monitor says which are ready. @returns false when that is no news. */
  take(instances: readonly Instance[]): boolean {
    const { told } = this
    const isSame =
      told?.length === instances.length && told.every((one, at) => sameInstance(one, instances[at]))
    if (isSame) return false
    const known = [...this.#ready, ...this.#leaving]
    const before = this.#ready.length
    this.#ready = instances.map((instance) => {
      return (
        known.find((one) => sameInstance(one.instance, instance)) ?? {
          instance,
          candidate: this.#make(instance),
        }
      )
    })
    this.#leaving = known.filter((one) => !this.#ready.includes(one) && one.candidate.open > 0)
    this.#isTold = true
    if (this.#ready.length > 0) this.#wasReady = true
    if (before === 0 || this.#ready.length === 0) this.#since = performance.now()
    return true
  }

  facts(): ProgramFacts {
    this.#leaving = this.#leaving.filter(({ candidate }) => candidate.open > 0)
    const counted = ({ instance, candidate }: Named) => ({ ...instance, open: candidate.open })
    return {
      name: this.#program,
      isTold: this.#isTold,
      ready: this.#ready.map(counted),
      leaving: this.#leaving.map(counted),
    }
  }

  /** All as one, by the program's name: as well as the best that is ready. */
  summary(best: TargetFacts): TargetFacts {
    const { missing } = this
    const named = { host: `program:${this.#program}`, port: 0 }
    if (missing === undefined) return { ...best, ...named }
    const forMs = Math.round(missing.forMs)
    return {
      ...best,
      ...named,
      state: this.#wasReady ? 'unreachable' : 'waiting',
      stateForMs: forMs,
      lastError: missing.message,
      lastErrorAgeMs: 0,
    }
  }
}

interface Named {
  readonly instance: Instance
  readonly candidate: Candidate
}

function avoidedLast(candidates: readonly Candidate[]): readonly Candidate[] {
  const isAvoided = ({ record }: Candidate) => record.isAvoided
  return [...candidates.filter((one) => !isAvoided(one)), ...candidates.filter(isAvoided)]
}
