import {
  forwarderHealth,
  type Instance,
  type ProgramFacts,
  sameInstance,
} from '../../record/shapes/forwarder-health.ts'
import type { ForwarderLink } from './link.ts'

/** ms that a forwarder may take to answer. */
const answerWithinMs = 1500

/**
 * Says to the forwarder of one forward which processes of its program get new connections: at every change, to every new forwarder, and again when
 * a round finds that it holds something else.
 */
export class InstanceOrders {
  readonly #link: Pick<ForwarderLink, 'connect'>
  /** Undefined = nothing is to be said. */
  #wanted: readonly Instance[] | undefined
  /** What the forwarder took last; undefined = nothing, or another one. */
  #taken: readonly Instance[] | undefined
  #saying: Promise<void> | undefined

  constructor(link: Pick<ForwarderLink, 'connect'>) {
    this.#link = link
  }

  set(ready: readonly Instance[]): void {
    if (this.#wanted !== undefined && isSame(this.#wanted, ready)) return
    this.#wanted = ready
    this.#say()
  }

  /** Another forwarder answers now. */
  renew(): void {
    this.#taken = undefined
    this.#say()
  }

  /** What a forwarder holds, as a round has found it. */
  found({ isTold, ready }: ProgramFacts): void {
    // What is just being said is no difference.
    if (this.#saying !== undefined) return
    this.#taken = isTold ? ready.map(({ name, port }) => ({ name, port })) : undefined
    this.#say()
  }

  /** False when that is certain: nobody forwards, or its forwarder has no connection to this process and makes none. */
  async isUsing(instance: Instance): Promise<boolean> {
    await this.#saying
    const connection = await this.#link.connect().catch(() => 'silent' as const)
    if (connection === 'absent') return false
    if (connection === 'silent') return true
    const answer = await connection.request('health', {}, answerWithinMs).catch(() => undefined)
    const health = forwarderHealth.read(answer)
    if (health === undefined) return true
    const { ready = [], leaving = [] } = health.program ?? {}
    // Those that have handed over to it do not tell what they finish.
    return health.predecessors.length > 0 || [...ready, ...leaving].some((one) => sameInstance(one, instance))
  }

  #say(): void {
    if (this.#news() !== undefined) this.#saying ??= this.#sayAll()
  }

  /** What the forwarder has not taken yet; undefined = nothing. */
  #news(): readonly Instance[] | undefined {
    const [wanted, taken] = [this.#wanted, this.#taken]
    return wanted !== undefined && taken !== undefined && isSame(taken, wanted) ? undefined : wanted
  }

  async #sayAll(): Promise<void> {
    try {
      for (let news = this.#news(); news !== undefined; news = this.#news()) {
        const connection = await this.#link.connect()
        if (typeof connection === 'string') return
        await connection.request('set-targets', { ready: news }, answerWithinMs)
        this.#taken = news
      }
    } catch {
      // The next forwarder gets the targets when it starts. The next round sends them to this one again when they differ.
    } finally {
      this.#saying = undefined
    }
  }
}

function isSame(one: readonly Instance[], other: readonly Instance[]): boolean {
  return one.length === other.length && one.every((instance, at) => sameInstance(instance, other[at]))
}
