import { localTime } from '../log/entry.ts'
import { preciseDuration } from '../os/duration.ts'
import { decisionOf, type JournalEntry, type UnitDecision } from '../record/shapes/journal.ts'
import { between } from './history-trace.ts'

type Entry = UnitDecision

/** One line of the story. */
export interface StoryLine {
  /** Wall time, ISO 8601 in UTC. */
  readonly time: string
  readonly saw: string
  readonly decided: string
  readonly because: string | null
  readonly did: readonly string[]
}

/** The last restart of a unit, from the journal. */
export interface RestartStory {
  readonly name: string
  /** Null for a program. */
  readonly port: number | null
  /** Everything that was seen and decided, from what began it to what ended it. */
  readonly lines: readonly StoryLine[]
  /** From the first line to its being ready; null while it is not. */
  readonly tookMs: number | null
  /** A handover: the port stayed open. */
  readonly isHandover: boolean
  /** Lines about what has happened since, oldest first. */
  readonly since: readonly StoryLine[]
  /** In words: how it stands at the end. */
  readonly standing: string
}

/** The journal's answer. */
export type Why =
  | { readonly kind: 'unknown-forward'; readonly known: readonly string[] }
  | {
      readonly kind: 'no-restart'
      readonly name: string
      readonly port: number | null
      /** When the journal begins. */
      readonly since: string
      /** When it was last started, not after a failure and not by an order; null when it never was. */
      readonly startedAt: string | null
      /** From what ended it on, oldest first; missing = it runs, or has never run. */
      readonly lines?: readonly StoryLine[]
    }
  | { readonly kind: 'restart'; readonly story: RestartStory }

/**
 * Explains why a unit was last started again. Pure.
 * @param asked its name, or the port of a forward.
 * @param nowMonotonicMs now, on the clock that the events were stamped with if `bootId` is theirs.
 */
export function whyRestarted(
  entries: readonly JournalEntry[],
  asked: string,
  now: { readonly time: string; readonly monotonicMs: number; readonly bootId: string },
): Why {
  const all = entries.flatMap((entry) => decisionOf(entry) ?? [])
  const own = all.filter(({ name, port }) => name === asked || (port !== null && String(port) === asked))
  const [first] = own
  if (first === undefined) return { kind: 'unknown-forward', known: knownForwards(all) }
  const { name, port } = first
  const start = own.findLastIndex(isRestart)
  if (start < 0) {
    const startedAt = own.findLast(({ to, from }) => to === 'starting' && from !== to)?.time ?? null
    const ended = own.at(-1)?.to === 'running' ? -1 : own.findLastIndex(({ from }) => from === 'running')
    const lines = ended < 0 ? {} : { lines: own.slice(ended).map(lineOf) }
    return { kind: 'no-restart', name, port, since: first.time, startedAt, ...lines }
  }
  const begin = beginOf(own, start)
  const ready = endOf(own, start)
  const end = ready < 0 ? own.length - 1 : ready
  const events = own.slice(begin, end + 1)
  const [cause] = events
  const readyEntry = own[ready]?.to === 'running' ? own[ready] : undefined
  const lastStart = own.findLast(({ kind }, i) => i > end && kind === 'started')
  const tookMs = cause === undefined || readyEntry === undefined ? null : between(cause, readyEntry)
  const since = own.slice(end + 1)
  return {
    kind: 'restart',
    story: {
      name,
      port,
      lines: events.map(lineOf),
      tookMs,
      isHandover: readyEntry !== undefined && own[start]?.from === 'running' && own[start]?.to === 'running',
      since: since.map(lineOf),
      standing: standing(own.at(-1) ?? first, lastStart ?? readyEntry, now),
    },
  }
}

function knownForwards(entries: readonly Entry[]): string[] {
  return [
    ...new Map(entries.map(({ name, port }) => [name, port === null ? name : `${name} (${port})`])).values(),
  ]
}

/**
 * Whether a start is a restart: it follows a failure or an order. A monitor's first start of a forward is none, unless the entry before shows
 * that the forward had been running.
 */
function isRestart(entry: Entry, i: number, own: readonly Entry[]): boolean {
  if (isReplacement(entry) || isTakeover(entry, i, own)) return true
  if (entry.to !== 'starting' || entry.from === 'starting') return false
  if (entry.from !== 'unknown' || entry.kind === 'order' || entry.failures > 0) return true
  return own[i - 1]?.to === 'running'
}

/** Another one is started beside the one that runs, to take over. */
function isReplacement({ from, to, kind, did }: Entry): boolean {
  const isBegun = kind === 'order' || kind === 'starting'
  return from === 'running' && to === 'running' && isBegun && did.length > 0
}

/** A successor took over that no monitor had ordered: the handover was begun by a signal, or on the control socket. */
function isTakeover({ from, to, kind }: Entry, i: number, own: readonly Entry[]): boolean {
  if (kind !== 'started' || from !== 'running' || to !== 'running') return false
  for (let before = i - 1; before >= 0; before--) {
    const entry = own[before]
    if (entry === undefined || entry.kind === 'started' || entry.kind === 'start-failed') return true
    if (isReplacement(entry)) return false
  }
  return true
}

/** Where it was ready, or given up; -1 while it is neither. */
function endOf(own: readonly Entry[], start: number): number {
  const first = own[start]
  if (first !== undefined && isTakeover(first, start, own)) return start
  const isOver = (entry: Entry) =>
    own[start]?.to === 'running'
      ? entry.kind === 'started' || entry.kind === 'start-failed' || entry.to !== 'running'
      : entry.to === 'running'
  return own.findIndex((entry, i) => i > start && isOver(entry))
}

/** What began it: the event by which it left the state of running, or by which a monitor found it not running. */
function beginOf(own: readonly Entry[], start: number): number {
  for (let i = start; i > 0; i--) {
    if (own[i]?.from === 'running' || own[i]?.from === 'unknown') return i
  }
  return 0
}

function lineOf({ time, saw, decided, because, did }: Entry): StoryLine {
  return { time, saw, decided, because, did }
}

function standing(last: Entry, ready: Entry | undefined, now: Parameters<typeof whyRestarted>[2]): string {
  const at = ready ?? last
  const ms =
    at.bootId === now.bootId ? now.monotonicMs - at.monotonicMs : Date.parse(now.time) - Date.parse(at.time)
  const ago = preciseDuration(Math.max(0, ms))
  if (last.to !== 'running') return `it is not running: ${last.to} since ${localTime(new Date(last.time))}`
  if (last.target === 'silent')
    return `it runs (PID ${last.pid}, ready ${ago} ago), but its target does not answer`
  return `it runs (PID ${last.pid}), ready ${ago} ago`
}

/** The story for people. */
export function renderWhy(why: Exclude<Why, { kind: 'unknown-forward' }>): string {
  if (why.kind === 'no-restart') {
    const since = localTime(new Date(why.since))
    const started =
      why.startedAt === null ? '' : ` Its last start was at ${localTime(new Date(why.startedAt))}.`
    const { lines: ended = [] } = why
    const shown = ended.slice(-maximumSince).flatMap(toldLine)
    const notRunning = ended.length === 0 ? '' : `\n${['It is not running:', ...shown].join('\n')}\n`
    return `${called(why)} has not been restarted since the journal begins (${since}), neither after a failure nor by an order.${started}\n${notRunning}`
  }
  const { story } = why
  const day = localTime(new Date(story.lines[0]?.time ?? 0)).slice(0, 10)
  const lines = [`${called(story)}, last restart on ${day}:`, '']
  for (const line of story.lines) lines.push(...toldLine(line))
  lines.push('', endInWords(story))
  if (story.since.length === 0) lines.push('Since then: nothing has happened.')
  else lines.push('', 'Since then:', ...story.since.slice(-maximumSince).flatMap(toldLine))
  if (story.since.length > maximumSince)
    lines.push(`  (${story.since.length - maximumSince} earlier ones left out)`)
  lines.push(`According to the journal, ${story.standing}. proxy-status shows its present state.`)
  return `${lines.join('\n')}\n`
}

function called({ name, port }: Pick<RestartStory, 'name' | 'port'>): string {
  return port === null ? name : `${name} (port ${port})`
}

function endInWords({ tookMs, isHandover }: RestartStory): string {
  if (isHandover) return 'It was a planned restart: the port stayed open.'
  return tookMs === null ? 'It has not become ready since.' : `Back after ${preciseDuration(tookMs)}.`
}

/** How many of the events since are shown. */
const maximumSince = 5

function toldLine({ time, saw, decided, because, did }: StoryLine): string[] {
  const why = because === null ? '' : `, because ${because}`
  const lines = [`  ${clock(time)}  seen     ${saw}`, `                decided  ${decided}${why}`]
  if (did.length > 0) lines.push(`                done     ${did.join('; ')}`)
  return lines
}

function clock(time: string): string {
  const date = new Date(time)
  return `${localTime(date).slice(11)}.${String(date.getMilliseconds()).padStart(3, '0')}`
}
