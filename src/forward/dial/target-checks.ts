import { realpathSync } from 'node:fs'
import { basename } from 'node:path'
import type { TcpListener } from '../../os/backend.ts'
import {
  canonical,
  hostAndPort,
  isLoopback,
  isWildcard,
  machineAddresses,
  takesConnectionsTo,
  withoutZone,
} from '../../os/interfaces.ts'
import { system } from '../../os/system.ts'
import { runSteps, type TargetStep } from '../steps/steps.ts'
import type { Candidate } from './candidate.ts'
import { blindKnockDueAt, type CheckFacts, knockDueAt, lookDueAt } from './check-plan.ts'
import type { Connected } from './connect-race.ts'
import { type DialTarget, selfDial, TargetDial } from './dial.ts'
import type { DialFailure } from './dial-failure.ts'
import type { NameCache } from './name-cache.ts'

export interface TargetChecksOptions {
  readonly candidates: readonly Candidate[]
  readonly names: NameCache
  readonly connectTimeoutMs: number
  readonly steps: readonly TargetStep[]
  /** How often a target that answers is looked for, in ms; greater than 0. */
  readonly checkMs: number
  /** This process continues another one's work, and knows what that knew. */
  readonly isInherited: boolean
  /** Called when this machine lacks what a test connection needs. */
  readonly fellShort: (failure: DialFailure) => void
}

/** ms between two looks at what is due; less where checks are more frequent. */
const tickMs = 1_000

/** Looks take at most one part in so many of the time, also under a flood of questions. */
const looksShare = 200
const questionsShare = 50

/** However long looks take, they are made that often, in ms. */
const longestLookPauseMs = 2_000

/** What is due so soon is done now, in ms. */
const slackMs = 50

/** A look that is not older than this answers a question as well as a new one, in ms. */
const freshLookMs = 200

/**
 * Checks unused targets without harming them: see check-plan.ts. A target is on this machine when one of its addresses is; the kernel's table
 * of listeners then says whether it listens, without a connection.
 */
export class TargetChecks {
  readonly #options: TargetChecksOptions
  #checks: readonly TargetCheck[]
  readonly #timer: NodeJS.Timeout

  constructor(options: TargetChecksOptions) {
    this.#options = options
    this.#checks = options.candidates.map((candidate) => new TargetCheck(candidate, options))
    this.#timer = setInterval(() => this.#tick(), Math.min(tickMs, options.checkMs))
    this.#tick()
  }

  /** For a question about the target's state: looks now, where that costs no connection. */
  lookNow(): void {
    for (const check of this.#checks) check.lookNow()
  }

  /** These are the targets from now on. */
  follow(candidates: readonly Candidate[]): void {
    const before = this.#checks
    this.#checks = candidates.map((candidate) => {
      return before.find((one) => one.candidate === candidate) ?? new TargetCheck(candidate, this.#options)
    })
    for (const check of before) if (!this.#checks.includes(check)) check.giveUp()
    this.#tick()
  }

  close(): void {
    clearInterval(this.#timer)
    for (const check of this.#checks) check.giveUp()
  }

  #tick(): void {
    for (const check of this.#checks) check.doWhatIsDue()
  }
}

/** What a look at a target has found. */
type Sight =
  /** @property sockets who listens, by inodes. */
  | { readonly kind: 'listens'; readonly address: string; readonly sockets: string }
  /** @property rest addresses that are not this machine's. */
  | { readonly kind: 'nothing'; readonly rest: readonly string[] }
  /** Its addresses are other machines', or this system has no such table. */
  | { readonly kind: 'out-of-sight' }
  | { readonly kind: 'self'; readonly failure: DialFailure }

class TargetCheck {
  readonly candidate: Candidate
  readonly #options: TargetChecksOptions
  readonly #startedAt = performance.now()
  /** It is reached although no look finds it. */
  #isBeyond = false
  #isLooking = false
  /** How long the last look took. */
  #lookMs = 0
  #cancelKnock: (() => void) | undefined
  #isOver = false

  constructor(candidate: Candidate, options: TargetChecksOptions) {
    this.candidate = candidate
    this.#options = options
  }

  doWhatIsDue(): void {
    if (this.#isLooking || this.#cancelKnock !== undefined) return
    const { lookedAt } = this.#facts()
    const isCheap = lookedAt === undefined || performance.now() - lookedAt >= this.#pauseFor(looksShare)
    if (isCheap && this.#isDue(lookDueAt)) this.#look()
  }

  lookNow(): void {
    if (this.#isLooking || this.#cancelKnock !== undefined) return
    const { lookedAt } = this.#facts()
    const freshMs = Math.max(freshLookMs, this.#pauseFor(questionsShare))
    if (lookedAt === undefined || performance.now() - lookedAt >= freshMs) this.#look()
  }

  #pauseFor(share: number): number {
    return Math.min(longestLookPauseMs, this.#lookMs * share)
  }

  giveUp(): void {
    this.#isOver = true
    this.#cancelKnock?.()
  }

  #facts(): CheckFacts {
    return this.candidate.record.checkFacts(this.#startedAt, this.#options.isInherited)
  }

  #look(): void {
    const { target } = this.candidate
    if (target.literal !== undefined) return this.#seen(this.#sightOf(target.literal))
    this.#isLooking = true
    this.#options.names.resolve(target.host, (_problem, addresses) => {
      this.#isLooking = false
      // The test connection reports a name that cannot be resolved.
      if (!this.#isOver) this.#seen(this.#sightOf(addresses))
    })
  }

  /** What a look costs depends on the machine: a long one is made less often. */
  #sightOf(addresses: readonly string[]): Sight {
    const began = performance.now()
    const sight = sightOf(this.candidate.target, addresses)
    this.#lookMs = performance.now() - began
    return sight
  }

  #seen(sight: Sight): void {
    const { record } = this.candidate
    switch (sight.kind) {
      case 'listens':
        this.#isBeyond = false
        return this.candidate.listens(sight.address, sight.sockets)
      case 'self':
        record.lookedInVain()
        return this.candidate.missing(sight.failure.message)
      case 'out-of-sight':
        record.lookedInVain()
        return this.#knockWhenDue()
      case 'nothing':
        record.listensNot()
        if (this.#isBeyond || sight.rest.length > 0) return this.#knockWhenDue()
        if (this.#mayKnockBlind()) return this.#knock('blind')
        return this.candidate.missing(nothingListens(this.candidate.target))
    }
  }

  /** A client got through where a look finds nothing: that is to be understood at once. */
  #mayKnockBlind(): boolean {
    const facts = this.#facts()
    const { knownBy } = this.candidate.record.facts()
    if (facts.isUp && knownBy === 'traffic') return true
    return this.#isDue(blindKnockDueAt)
  }

  #knockWhenDue(): void {
    if (this.#isDue(knockDueAt)) this.#knock('plain')
  }

  /** Timers are not exact: what is due within the blink of an eye would else wait for a whole tick. */
  #isDue(dueAt: (facts: CheckFacts, checkMs: number) => number): boolean {
    const { checkMs } = this.#options
    return dueAt(this.#facts(), checkMs) <= performance.now() + Math.min(slackMs, checkMs / 2)
  }

  /** Dials the target, goes the rest of the way, and hangs up. */
  #knock(kind: 'plain' | 'blind'): void {
    const candidate = this.candidate
    const { names, connectTimeoutMs, fellShort } = this.#options
    const from = performance.now()
    const until = connectTimeoutMs === 0 ? Number.POSITIVE_INFINITY : from + connectTimeoutMs
    const dial = new TargetDial(
      candidate.target,
      names,
      { from, until },
      {
        slow: () => {},
        connected: (connected) => {
          this.#cancelKnock = undefined
          if (kind === 'blind') this.#isBeyond = true
          candidate.connected(connected, 'knock')
          this.#goThroughSteps(connected, from)
        },
        failed: (failure) => {
          this.#cancelKnock = undefined
          candidate.failed(failure, 'knock', from)
          fellShort(failure)
        },
      },
    )
    this.#cancelKnock = () => dial.giveUp()
    dial.start()
  }

  #goThroughSteps({ socket, address }: Connected, from: number): void {
    const { steps } = this.#options
    if (steps.length === 0) return socket.destroy()
    const { target } = this.candidate
    const stream = socket.toSocket('reading').on('error', () => {})
    let isDone = false
    const cancel = runSteps(steps, stream, { host: target.host, connection: undefined }, (result) => {
      isDone = true
      this.#cancelKnock = undefined
      this.candidate.prepared(address, result, 'knock', from)
      // Not before what the steps have written is out.
      if (result.ok) result.socket.destroySoon()
      else stream.destroy()
    })
    if (isDone) return
    this.#cancelKnock = () => {
      cancel()
      stream.destroy()
    }
  }
}

function sightOf(target: DialTarget, addresses: readonly string[]): Sight {
  const foreign = addresses.filter((address) => !target.isOwnListener(address))
  if (addresses.length > 0 && foreign.length === 0) {
    return { kind: 'self', failure: selfDial(target, addresses) }
  }
  const [first] = foreign
  if (first?.startsWith('unix:')) return unixSight(first)
  const own = foreign.filter(isOwnAddress)
  if (own.length === 0) return { kind: 'out-of-sight' }
  const reaches = ({ address: place }: TcpListener) =>
    own.find((address) => takesConnectionsTo(place, address))
  const found = system.firstTcpListener(
    (listener) => listener.port === target.port && reaches(listener) !== undefined,
  )
  if (found === undefined) return { kind: 'out-of-sight' }
  if (found !== null) return { kind: 'listens', address: reaches(found) ?? '', sockets: found.inode }
  return { kind: 'nothing', rest: foreign.filter((address) => !own.includes(address)) }
}

function unixSight(address: string): Sight {
  const path = address.slice('unix:'.length)
  const listeners = system.unixListeners()
  if (listeners === undefined) return { kind: 'out-of-sight' }
  const real = realPath(path)
  if (real === undefined) return { kind: 'nothing', rest: [] }
  // A link may have another name than the socket, which bind(2) makes under its own.
  const name = basename(real)
  const sockets = listeners.filter((one) => {
    if (one.path === path || one.path === real) return true
    if (basename(one.path) !== name) return false
    // Bound by a path that is relative to a folder of the program's own, or that leads elsewhere.
    return !/^[/@]/.test(one.path) || realPath(one.path) === real
  })
  if (sockets.length === 0) return { kind: 'nothing', rest: [] }
  return { kind: 'listens', address, sockets: inodesOf(sockets) }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

function inodesOf(sockets: readonly { readonly inode: string }[]): string {
  return sockets
    .map(({ inode }) => inode)
    .sort()
    .join(' ')
}

function isOwnAddress(address: string): boolean {
  if (isLoopback(address) || isWildcard(address)) return true
  const wanted = canonical(address)
  return machineAddresses().some((own) => withoutZone(own.address) === wanted)
}

function nothingListens({ host, port, literal }: DialTarget): string {
  const where = (literal ?? [host]).map((address) => hostAndPort(address, port)).join(' or ')
  return `nothing listens at ${where}`
}
