import { type Listed, Roster } from '../roster.ts'

/** Somebody whose silence is watched for. */
export interface Silent {
  /** A number that changes whenever something happens. */
  readonly progress: number
  /** Told once, when nothing has happened for `limitMs`. */
  silent(limitMs: number): void
}

/** Silence is looked for this often per limit; a limit is overrun by at most one such part. */
const checksPerLimit = 4
const longestTimerMs = 2 ** 31 - 1

const sweeps = new Map<number, Sweep>()

/** A silence that is watched for. */
export interface SilenceWatch {
  stop(): void
}

/**
 * Watches for a silence of `limitMs`, greater than 0. All who have the same limit share one timer, and nothing is re-armed for a byte.
 * It counts looks, not wall time: after the process was suspended, what waits in the kernel is read before the next look can
 * call it silence.
 */
export function watchSilence(limitMs: number, who: Silent): SilenceWatch {
  let sweep = sweeps.get(limitMs)
  if (sweep === undefined) {
    sweep = new Sweep(limitMs)
    sweeps.set(limitMs, sweep)
  }
  return sweep.add(who)
}

class Sweep {
  readonly #limitMs: number
  readonly #watched = new Roster<Watched>()
  #timer: NodeJS.Timeout | undefined

  constructor(limitMs: number) {
    this.#limitMs = limitMs
  }

  add(who: Silent): SilenceWatch {
    const watched = new Watched(this, who)
    this.#watched.add(watched)
    const interval = Math.min(Math.ceil(this.#limitMs / checksPerLimit), longestTimerMs)
    if (this.#timer === undefined) this.#timer = setInterval(() => this.#look(), interval)
    else if (this.#watched.size === 1) this.#timer.ref()
    return watched
  }

  /** The timer goes on for whoever comes next, but keeps no process alive. */
  remove(watched: Watched): void {
    this.#watched.delete(watched)
    if (this.#watched.size === 0) this.#timer?.unref()
  }

  #look(): void {
    if (this.#watched.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    for (const watched of this.#watched) {
      const { progress } = watched.who
      watched.silentLooks = progress === watched.progress ? watched.silentLooks + 1 : 0
      watched.progress = progress
      // The first look came within less than a whole interval.
      if (watched.silentLooks <= checksPerLimit) continue
      watched.stop()
      watched.who.silent(this.#limitMs)
    }
  }
}

class Watched implements SilenceWatch, Listed<Watched> {
  listedBefore: Watched | undefined
  listedAfter: Watched | undefined
  readonly who: Silent
  progress: number
  silentLooks = 0
  readonly #sweep: Sweep

  constructor(sweep: Sweep, who: Silent) {
    this.#sweep = sweep
    this.who = who
    this.progress = who.progress
  }

  stop(): void {
    this.#sweep.remove(this)
  }
}
