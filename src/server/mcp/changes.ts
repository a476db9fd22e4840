import type { JournalEntry } from '../../record/shapes/journal.ts'
import { logUri, nameIn, uris } from './resources.ts'
import type { OrderRoad } from './road.ts'

/** What clients are told of. */
export interface Changes {
  /** URIs of the resources that have changed. */
  readonly updated: readonly string[]
  /** There are others than before. */
  readonly isListChanged: boolean
  /** What happened, in the order of time. */
  readonly events: readonly JournalEntry[]
}

/** ms in which changes become one message: a restart is several events. */
const gatherMs = 250

/** ms between two looks at logs that somebody has subscribed to: a program may print thousands of lines in a second. */
const lookEveryMs = 1000

/** Logs that are looked at for one client. */
const mostLogs = 50

/** Follows the monitor and tells which resources have changed. */
export class ChangeFollower {
  readonly #road: OrderRoad
  readonly #tell: (changes: Changes) => void
  readonly #forget: () => void
  readonly #over = new AbortController()
  /** By URI: the number of the last line that was there; undefined = not looked at yet. */
  readonly #logs = new Map<string, number | undefined>()
  #updated = new Set<string>()
  #isListChanged = false
  #events: JournalEntry[] = []
  #timer: NodeJS.Timeout | undefined
  #looking: NodeJS.Timeout | undefined

  constructor(road: OrderRoad, tell: (changes: Changes) => void) {
    this.#road = road
    this.#tell = tell
    this.#forget = road.follow((entry) => this.#saw(entry))
  }

  /** From now on new lines count as a change, when this is the URI of a log. */
  watch(uri: string): void {
    if (nameIn(uri) === undefined || this.#logs.size >= mostLogs) return
    if (!this.#logs.has(uri)) this.#logs.set(uri, undefined)
    this.#looking ??= setTimeout(() => void this.#look(), 0).unref()
  }

  unwatch(uri: string): void {
    this.#logs.delete(uri)
  }

  close(): void {
    this.#over.abort()
    clearTimeout(this.#timer)
    clearTimeout(this.#looking)
    this.#forget()
  }

  async #look(): Promise<void> {
    await Promise.all([...this.#logs].map(([uri, before]) => this.#lookAt(uri, before)))
    if (this.#over.signal.aborted) return
    const isNeeded = this.#logs.size > 0
    this.#looking = isNeeded ? setTimeout(() => void this.#look(), lookEveryMs).unref() : undefined
  }

  async #lookAt(uri: string, before: number | undefined): Promise<void> {
    const last = await lastLine(nameIn(uri) ?? '', this.#road, this.#over.signal)
    if (last === undefined || last === before || !this.#logs.has(uri)) return
    this.#logs.set(uri, last)
    if (before === undefined) return
    this.#updated.add(uri)
    this.#tellSoon()
  }

  #saw(entry: JournalEntry | undefined): void {
    for (const uri of urisOf(entry)) this.#updated.add(uri)
    this.#isListChanged ||=
      entry === undefined || entry.event === 'configuration-changed' || entry.event === 'monitor-started'
    if (entry !== undefined) this.#events.push(entry)
    this.#tellSoon()
  }

  #tellSoon(): void {
    this.#timer ??= setTimeout(() => {
      const changes = {
        updated: [...this.#updated],
        isListChanged: this.#isListChanged,
        events: this.#events,
      }
      this.#updated = new Set()
      this.#isListChanged = false
      this.#events = []
      this.#timer = undefined
      this.#tell(changes)
    }, gatherMs).unref()
  }
}

/** The number of the last line of a program; undefined = it prints nothing, or the monitor does not answer. */
async function lastLine(name: string, road: OrderRoad, signal: AbortSignal): Promise<number | undefined> {
  const answer = await road.give('logs', { units: [name], tail: 1 }, { signal })
  if (!('output' in answer)) return undefined
  const { lines } = answer.output as { readonly lines: readonly { readonly seq: number }[] }
  return lines.at(-1)?.seq ?? 0
}

function urisOf(entry: JournalEntry | undefined): readonly string[] {
  const always = [uris.logStream]
  switch (entry?.event) {
    case 'forward':
      return [...always, uris.processList, logUri(entry.forward)]
    case 'unit':
      return [...always, uris.processList, logUri(entry.name)]
    case 'order':
      return [...always, ...entry.units.map(logUri)]
    default:
      return [...always, uris.processList]
  }
}
