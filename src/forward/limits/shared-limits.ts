import type { ConnectionState } from '../connection-state.ts'
import type { ClientStep } from '../steps/steps.ts'
import type { CapacityEvent } from './capacity.ts'
import { limitWords, type SourceLimitOptions, SourceLimits, type SourceRefusal } from './source-limits.ts'

/**
 * The limits of a forward that several processes serve. They are kept in one place, so that they are exact; every new connection asks
 * there, and none does when the forward has no limits. What a process's own descriptors allow is its own affair and is not asked for.
 */
export interface LimitKeeper {
  /** `answer` is called once, within this call or later; undefined = granted, and to be released. */
  claim(claim: Claim, answer: (refusal: Refusal | undefined) => void): void
  release(claim: Claim): void
}

/** What one connection takes of the limits. */
export interface Claim {
  /** One of --max-connections. */
  readonly slot: boolean
  /** The address whose limits it counts against; undefined = none's. */
  readonly source: string | undefined
}

export interface Refusal {
  readonly reason: 'max-connections' | SourceRefusal
  readonly message: string
}

export interface LimitOptions extends SourceLimitOptions {
  /** Connections open at once. 0 = no limit beside the descriptors of each process. */
  readonly maxConnections: number
}

/** Whether there is anything to ask. */
export function isLimited({ maxConnections, ...perSource }: LimitOptions, { slot, source }: Claim): boolean {
  const isSourceLimited = perSource.maxConnectionsPerSource > 0 || perSource.maxRatePerSource > 0
  return (slot && maxConnections > 0) || (source !== undefined && isSourceLimited)
}

/** At or below this part of the limit there is room again. */
const roomShare = 0.9

/** Keeps the limits for all processes, in one of them. */
export class SharedLimits {
  readonly #options: LimitOptions
  readonly #sources: SourceLimits
  readonly #report: (event: CapacityEvent) => void
  #open = 0
  #isFull = false

  /** @param report told when the forward is full, and when it has room again. */
  constructor(options: LimitOptions, report: (event: CapacityEvent) => void) {
    this.#options = options
    this.#sources = new SourceLimits(options)
    this.#report = report
  }

  get isFull(): boolean {
    return this.#isFull
  }

  /** For one process. What it holds is given back all at once when it has died. */
  keeper(): LimitKeeper & { readonly releaseAll: () => void } {
    const held = new Map<string, { readonly claim: Claim; count: number }>()
    const count = (claim: Claim, by: 1 | -1) => {
      const key = `${claim.slot} ${claim.source ?? ''}`
      const entry = held.get(key) ?? { claim, count: 0 }
      entry.count += by
      if (entry.count > 0) held.set(key, entry)
      else held.delete(key)
    }
    return {
      claim: (claim, answer) => {
        if (!isLimited(this.#options, claim)) return answer(undefined)
        const refusal = this.#refusal(claim)
        if (refusal === undefined) count(claim, 1)
        answer(refusal)
      },
      release: (claim) => {
        if (!isLimited(this.#options, claim)) return
        count(claim, -1)
        this.#release(claim)
      },
      releaseAll: () => {
        for (const { claim, count: times } of held.values()) {
          for (let done = 0; done < times; done++) this.#release(claim)
        }
        held.clear()
      },
    }
  }

  #refusal({ slot, source }: Claim): Refusal | undefined {
    const { maxConnections } = this.#options
    if (slot && maxConnections > 0 && this.#open >= maxConnections) {
      this.#setFull(true)
      return { reason: 'max-connections', message: `${maxConnections} connections are open, the limit` }
    }
    const limited = source === undefined ? undefined : this.#sources.admit(source)
    if (limited !== undefined) return { reason: limited, message: limitWords(limited, this.#options) }
    if (slot) this.#open++
    return undefined
  }

  #release({ slot, source }: Claim): void {
    if (source !== undefined) this.#sources.release(source)
    if (!slot) return
    this.#open--
    if (this.#isFull && this.#open <= this.#options.maxConnections * roomShare) this.#setFull(false)
  }

  #setFull(isFull: boolean): void {
    if (this.#isFull === isFull) return
    this.#isFull = isFull
    const open = this.#open
    this.#report(isFull ? { kind: 'full', reason: 'max-connections', open } : { kind: 'room', open })
  }
}

/** Asks for the source that a PROXY header has named. Whoever is refused has been turned away, and the step does not end. */
export function claimForSource(
  claim: (connection: ConnectionState, granted: () => void) => void,
): ClientStep {
  return {
    name: 'limits',
    side: 'client',
    timeoutMs: 0,
    run: (socket, connection, done) => {
      // A proxy that speaks for itself is let in by its name.
      if (connection.countedFor === undefined) done({ ok: true, socket })
      else claim(connection, () => done({ ok: true, socket }))
      return () => {}
    },
  }
}
