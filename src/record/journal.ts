import path from 'node:path'
import { LineLog, type LogLimits } from '../log/line-log.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { readRegularBytes, readRegularFile } from '../os/regular-file.ts'
import { type JournalEntry, type JournalEvent, journalEntry, type Renamed } from './shapes/journal.ts'
import { demandOwnDirectory, fileNames } from './state-directory.ts'

/**
 * 16 parts of 4 MiB hold some 200,000 events; a forward that flaps without end makes 4,000 a day, one that is well none. Packed they
 * take a tenth of the room.
 */
const journalLimits: LogLimits = {
  maxBytes: 4 * 1024 * 1024,
  keep: 15,
  compress: true,
  remembered: 1000,
  demandDirectory: demandOwnDirectory,
}

/**
 * The journal of events, `events.jsonl`: written before `write` returns, one object a line. A full disk, or a directory that is gone, never
 * stops the caller: the last 1,000 events wait in memory until they can be written.
 */
export class Journal {
  readonly #log: LineLog
  readonly #followers = new Set<(event: NamedEvent) => void>()
  readonly #nameOf = eventNames()
  #lost: { readonly from: string; readonly count: number } | undefined

  constructor(stateDirectory: string, limits: LogLimits = journalLimits) {
    this.#log = new LineLog(path.join(stateDirectory, fileNames.journal), limits, null)
  }

  /** @returns true when the event is written, or kept until it can be. After a loss none is written before `recover` has told of it. */
  write(event: JournalEvent): boolean {
    const entry = stamped(event)
    const named = { ...entry, id: this.#nameOf(entry) }
    for (const follow of this.#followers) follow(named)
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

  /** Calls `follow` with every event from now on, written or not. @returns what ends that. */
  follow(follow: (event: NamedEvent) => void): () => void {
    this.#followers.add(follow)
    return () => void this.#followers.delete(follow)
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

/** An event with a name of its own, after which a reader can go on. */
export type NamedEvent = JournalEntry & {
  /** Boot, monotonic ms, and how many events of that ms came before it. */
  readonly id: string
}

/** Makes the names of events: to be asked about all of them, in their order. */
function eventNames(): (event: JournalEntry) => string {
  let last = ''
  let before = 0
  return ({ bootId, monotonicMs }) => {
    const at = `${bootId.slice(0, 8)}.${monotonicMs}`
    before = at === last ? before + 1 : 0
    last = at
    return `${at}.${before}`
  }
}

/** The events of a journal with their names. */
export function namedEvents(entries: readonly JournalEntry[]): NamedEvent[] {
  const nameOf = eventNames()
  return entries.map((entry) => ({ ...entry, id: nameOf(entry) }))
}

/** Whether an event is as old as the one of this name, or older. */
export function isUpTo({ bootId, monotonicMs }: JournalEntry, id: string): boolean {
  const [boot, ms] = id.split('.')
  return boot === bootId.slice(0, 8) && monotonicMs <= Number(ms)
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
      case 'order':
        told.push({ ...entry, units: entry.units.map(nameOf) })
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
  // The text behind the last line end is no line.
  if (line === '') return []
  try {
    const entry = journalEntry.read(JSON.parse(line))
    return entry === undefined ? [] : [entry]
  } catch {
    return []
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
