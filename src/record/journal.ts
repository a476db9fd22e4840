import path from 'node:path'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { readRegularBytes, readRegularFile } from '../os/regular-file.ts'
import { LineLog, type LogLimits } from './line-log.ts'
import type { ForwardRecord } from './runtime-state.ts'
import { fileNames } from './state-directory.ts'

/** When something happened. Ages come from the monotonic time where the boot is the same, dates from the wall time. */
export interface JournalStamp {
  /** Wall time, ISO 8601 in UTC. */
  readonly time: string
  readonly monotonicMs: number
  readonly bootId: string
}

/** How a monitor came, after which other one. */
export interface MonitorStarted {
  readonly event: 'monitor-started'
  readonly pid: number
  readonly version: string
  /** Wall time of the last sign of life of the monitor before; null when there was none, or nobody knows. */
  readonly previousSeenAt: string | null
  /** True when the one before ended in order. */
  readonly previousEnded: boolean
  readonly forwards: readonly NamedForward[]
  /** Forwards that are called otherwise than under the monitor before; missing = none. */
  readonly renamed?: readonly Renamed[]
}

/** A forward, as an event names it. */
interface NamedForward {
  readonly name: string
  readonly port: number
}

/** The same forward has another name from this event on. */
export interface Renamed {
  readonly from: string
  readonly to: string
}

export interface MonitorStopped {
  readonly event: 'monitor-stopped'
  readonly reason: string
}

/** The monitor did not run for a while although it lives: the machine slept, it was stopped, or the clock was set. */
export interface MonitorGap {
  readonly event: 'monitor-gap'
  /** Wall time of the last sign of life before. */
  readonly from: string
  readonly reason: string
}

export interface ConfigurationChanged {
  readonly event: 'configuration-changed'
  readonly reason: string
  readonly forwards: readonly NamedForward[]
  /** Missing = none. */
  readonly renamed?: readonly Renamed[]
}

/** Events that could not be written, on a full disk for example. What happened from then on until now is unknown. */
export interface EventsLost {
  readonly event: 'events-lost'
  /** Wall time of the first of them. */
  readonly from: string
  readonly count: number
}

/** What happened to a forward, in one word. */
export type ForwardEventKind =
  | 'adopted'
  | 'starting'
  | 'started'
  | 'start-failed'
  | 'died'
  | 'failed'
  | 'stopping'
  | 'ended'
  | 'survived'
  | 'recovered'
  | 'blocked'
  | 'target-down'
  | 'target-up'
  | 'over-limit'
  | 'within-limit'
  | 'order'
  | 'noticed'

export type TargetCondition = 'unknown' | 'answers' | 'silent'

/** One decision about a forward: what was seen, what was decided and why, what was done. */
export interface ForwardEvent {
  readonly event: 'forward'
  readonly kind: ForwardEventKind
  readonly forward: string
  readonly port: number
  readonly from: ForwardRecord['phase']
  readonly to: ForwardRecord['phase']
  readonly saw: string
  readonly decided: string
  /** Why so and not otherwise; null when the decision says it itself. */
  readonly because: string | null
  readonly did: readonly string[]
  /** The process concerned; null when there is none. */
  readonly pid: number | null
  /** Which start this is about; rises by one at every start. */
  readonly generation: number
  /** Failures in a row. */
  readonly failures: number
  readonly target: TargetCondition
}

export type JournalEvent =
  | MonitorStarted
  | MonitorStopped
  | MonitorGap
  | ConfigurationChanged
  | EventsLost
  | ForwardEvent

export type JournalEntry = JournalStamp & JournalEvent

/**
 * 16 parts of 4 MiB hold some 200,000 events; a forward that flaps without end makes 4,000 a day, one that is well none. Packed they
 * take a tenth of the room.
 */
const journalLimits: LogLimits = {
  maxBytes: 4 * 1024 * 1024,
  keep: 15,
  compress: true,
  remembered: 1000,
  isPrivate: true,
}

/**
 * The journal of events, `events.jsonl`: written before `write` returns, one object a line. A full disk, or a directory that is gone, never
 * stops the caller: the last 1,000 events wait in memory until they can be written.
 */
export class Journal {
  readonly #log: LineLog
  #lost: { readonly from: string; readonly count: number } | undefined

  constructor(stateDirectory: string, limits: LogLimits = journalLimits) {
    this.#log = new LineLog(path.join(stateDirectory, fileNames.journal), limits, null)
  }

  /** @returns true when the event is written, or kept until it can be. After a loss none is written before `recover` has told of it. */
  write(event: JournalEvent): boolean {
    const entry = stamped(event)
    if (this.#lost === undefined && this.#log.write(JSON.stringify(entry))) return true
    this.#lost = { from: this.#lost?.from ?? entry.time, count: (this.#lost?.count ?? 0) + 1 }
    return false
  }

  /**
   * Writes what waits in memory; tells of a loss, and of how things stand now that events are written again.
   * @returns true when events can be written.
   */
  recover(standing: () => readonly JournalEvent[]): boolean {
    if (!this.#log.flush()) return false
    if (this.#lost === undefined) return true
    if (!this.#log.write(JSON.stringify(stamped({ event: 'events-lost', ...this.#lost })))) return false
    this.#lost = undefined
    return standing().every((event) => this.write(event))
  }

  /** As `LineLog.look`. */
  look(): boolean {
    return this.#log.look()
  }

  /** As `LineLog.reopen`. */
  reopen(): void {
    this.#log.reopen()
  }

  close(): void {
    this.#log.close()
  }
}

function stamped(event: JournalEvent): JournalEntry {
  return { time: wallTime(), monotonicMs: Math.round(monotonicMs()), bootId: bootId(), ...event }
}

/**
 * Reads the journal, oldest first, also its packed parts. Lines that are no events are passed over. Forwards
 * have the names by which they are known now.
 * @param isEnough asked with the events of a part and with how many parts have been read, from the newest part on; true leaves out the older
 * ones. By default all is read.
 */
export async function readJournal(
  stateDirectory: string,
  isEnough: (entries: readonly JournalEntry[], parts: number) => boolean = () => false,
): Promise<JournalEntry[]> {
  const file = path.join(stateDirectory, fileNames.journal)
  const parts: { readonly text: string; readonly entries: readonly JournalEntry[] }[] = []
  // A rotation under way leaves one number empty at a time.
  for (let number = 0, missing = 0; missing < 2; number++) {
    const part = number === 0 ? file : `${file}.${number}`
    const text = readText(part) ?? (await readPacked(`${part}.gz`))
    missing = text === undefined ? missing + 1 : 0
    if (text === undefined) continue
    // A rotation meanwhile shows the part that was just read once more, perhaps longer.
    if (text.startsWith(parts[0]?.text ?? '\n')) parts.shift()
    const entries = text.split('\n').flatMap(parseJournalLine)
    parts.unshift({ text, entries })
    if (isEnough(entries, parts.length)) break
  }
  return withNamesOfNow(parts.flatMap(({ entries }) => entries))
}

/** The same events with every forward called as it is after the last of them: a record goes on under a new name. */
export function withNamesOfNow(entries: readonly JournalEntry[]): JournalEntry[] {
  let names: ReadonlyMap<string, string> = new Map()
  const nameOf = (name: string) => names.get(name) ?? name
  const told: JournalEntry[] = []
  for (const entry of entries.toReversed()) {
    switch (entry.event) {
      case 'forward':
        told.push({ ...entry, forward: nameOf(entry.forward) })
        break
      case 'monitor-started':
      case 'configuration-changed':
        told.push({ ...entry, forwards: entry.forwards.map((one) => ({ ...one, name: nameOf(one.name) })) })
        names = namesBefore(names, entry.renamed ?? [])
        break
      default:
        told.push(entry)
    }
  }
  return told.reverse()
}

/** What the names that were in use before some renamings have become. */
function namesBefore(
  names: ReadonlyMap<string, string>,
  renamed: readonly Renamed[],
): ReadonlyMap<string, string> {
  if (renamed.length === 0) return names
  const before = new Map(names)
  for (const { from, to } of renamed) before.set(from, names.get(to) ?? to)
  return before
}

/** One line of the journal; nothing when it is no event, or one of a version to come. */
export function parseJournalLine(line: string): JournalEntry[] {
  try {
    const value = JSON.parse(line) as Partial<JournalEntry> | null
    if (typeof value !== 'object' || value === null) return []
    const isStamped =
      typeof value.time === 'string' &&
      !Number.isNaN(Date.parse(value.time)) &&
      typeof value.monotonicMs === 'number' &&
      typeof value.bootId === 'string'
    return isStamped && isEvent(value) ? [value as JournalEntry] : []
  } catch {
    return []
  }
}

function isEvent(value: Readonly<Record<string, unknown>>): boolean {
  switch (value.event) {
    case 'forward':
      return (
        typeof value.forward === 'string' &&
        typeof value.port === 'number' &&
        typeof value.to === 'string' &&
        typeof value.from === 'string' &&
        typeof value.saw === 'string' &&
        Array.isArray(value.did)
      )
    case 'monitor-started':
    case 'configuration-changed':
      return Array.isArray(value.forwards)
    case 'monitor-stopped':
      return typeof value.reason === 'string'
    case 'monitor-gap':
    case 'events-lost':
      return typeof value.from === 'string' && !Number.isNaN(Date.parse(value.from))
    default:
      return false
  }
}

function readText(file: string): string | undefined {
  try {
    return readRegularFile(file)
  } catch {
    return undefined
  }
}

async function readPacked(file: string): Promise<string | undefined> {
  try {
    const packed = readRegularBytes(file)
    const { gunzipSync } = await import('node:zlib')
    return gunzipSync(packed).toString('utf8')
  } catch {
    return undefined
  }
}
