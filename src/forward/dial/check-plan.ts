/**
 * When a target is looked at. Two ways of asking cost differently:
 *
 * - a **look** into the kernel's table of listeners is free and disturbs nobody, but knows only this machine's listeners;
 * - a **knock** connects and hangs up. A server that serves one client loses it, and a database counts an interrupted handshake against
 *   this host (MariaDB locks a host out after 100 without a login in between). Where nothing listens, a knock harms nobody.
 *
 * So looks are frequent, and a knock comes only where a look cannot tell: never at a target that answered, each time later at one that is
 * reached and then fails, and often only at one that refuses. All times in ms of `performance.now()`.
 */
export interface CheckFacts {
  /** When checks began. */
  readonly startedAt: number
  /** What is known comes from the forwarder before this one: it is not asked for again at once. */
  readonly isInherited: boolean
  readonly isUp: boolean
  /** Somebody has tried it, or looked for it. */
  readonly isKnown: boolean
  readonly lookedAt: number | undefined
  /** When a dial ended last, whatever came of it. */
  readonly triedAt: number | undefined
  /** Knocks in a row at which nobody answered, since something else was seen. */
  readonly unanswered: number
  /** Knocks that somebody noticed, since a client last got through: each may have been counted against this host. */
  readonly disturbances: number
}

/** How often a target on this machine is looked for while it is away, in ms; less where checks are more frequent. */
const lookWhileAwayMs = 1_000
const firstPauseMs = 1_000
const firstBlindKnockMs = 5_000
const longestBlindPauseMs = 30_000
const dayMs = 86_400_000

/** When the table of listeners is read again. @param checkMs the time of `--target-check`, greater than 0. */
export function lookDueAt({ isUp, lookedAt }: CheckFacts, checkMs: number): number {
  if (lookedAt === undefined) return 0
  return lookedAt + (isUp ? checkMs : Math.min(lookWhileAwayMs, checkMs))
}

/** When a target beyond this machine is knocked at; Infinity = not before something else is seen of it. */
export function knockDueAt(facts: CheckFacts, checkMs: number): number {
  const { startedAt, isInherited, isUp, isKnown, triedAt, unanswered, disturbances } = facts
  if (isUp) return Number.POSITIVE_INFINITY
  const from = triedAt ?? startedAt
  if (!isKnown && triedAt === undefined) return isInherited ? from + checkMs : from
  return from + Math.max(pauseOf(unanswered, checkMs), pauseAfterHarm(disturbances, checkMs))
}

/**
 * When a target that no look finds is knocked at nevertheless: it may be reached without a listener in this network namespace (a port
 * that a packet filter redirects, a socket file of another container, WSL's host). Only right after a look that found nothing.
 */
export function blindKnockDueAt(facts: CheckFacts, checkMs: number): number {
  const { startedAt, triedAt, unanswered, disturbances } = facts
  const first = Math.min(firstBlindKnockMs, checkMs)
  if (triedAt === undefined) return startedAt + first
  const pause = Math.min(longestBlindPauseMs, doubled(first, unanswered))
  return triedAt + Math.max(pause, pauseAfterHarm(disturbances, checkMs))
}

function pauseOf(unanswered: number, checkMs: number): number {
  const first = Math.min(firstPauseMs, checkMs)
  return Math.min(doubled(first, Math.max(0, unanswered - 1)), Math.max(first, checkMs / 2))
}

/** With 10 s for the first: 14 within a day, then one a day. */
function pauseAfterHarm(disturbances: number, checkMs: number): number {
  return disturbances === 0 ? 0 : Math.min(dayMs, doubled(checkMs, disturbances - 1))
}

function doubled(ms: number, times: number): number {
  return ms * 2 ** Math.min(times, 40)
}
