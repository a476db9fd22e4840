import { statSync } from 'node:fs'
import path from 'node:path'
import { readJournal } from '../record/journal.ts'
import type { StateReading } from '../record/runtime-state.ts'
import { decisionOf, type JournalEntry, type UnitDecision } from '../record/shapes/journal.ts'
import { programsIn } from '../record/shapes/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import type { StatusFacts } from './facts.ts'
import { watchedUntil } from './gather-history.ts'
import { hoursOfDay, lastDayOf } from './last-day.ts'

/** What one look has read of the journal, for the next one: as long as nothing is written to it, it is not read again. */
export interface JournalMemory {
  readonly key: string
  readonly entries: readonly JournalEntry[]
  /** Whether these are all that there are. */
  readonly isWhole: boolean
  /** As it was some seconds ago: hours do not change as fast. */
  lastDay?: { readonly at: number; readonly days: StatusFacts['lastDay'] }
  /** The last events of the units that were asked about. */
  readonly lastEvents: Map<string, readonly UnitDecision[]>
}

/** Parts of the journal that are read at most: a unit about which nothing was written for so long is not worth more. */
const partsForLastDay = 3

/** ms for which what is known of the last day counts. */
const lastDayHoldsMs = 10_000

const hourMs = 3_600_000

/** The newest events of the units of a reading. @param before what the look before has read; it is given back where it is still true. */
export async function readRecentJournal(
  stateDirectory: string,
  reading: StateReading,
  before: JournalMemory | undefined,
): Promise<JournalMemory> {
  const units = reading.kind === 'read' ? [...reading.state.forwards, ...programsIn(reading.state)] : []
  const names = units.map(({ name }) => name)
  const key = `${journalKey(stateDirectory)} ${names.join(' ')}`
  if (before?.key === key) return before
  const from = Date.now() - (hoursOfDay + 1) * hourMs
  const missing = new Set(names)
  let isWhole = true
  const entries = await readJournal(stateDirectory, (found, parts) => {
    for (const entry of found) missing.delete(decisionOf(entry)?.name ?? '')
    const reachesBack = Date.parse(found[0]?.time ?? '') < from
    isWhole = parts < partsForLastDay && !(reachesBack && missing.size === 0)
    return !isWhole
  })
  return { key, entries, isWhole, lastEvents: new Map() }
}

/** How the last 24 hours were. */
export function lastDayIn(journal: JournalMemory, reading: StateReading): StatusFacts['lastDay'] {
  const now = Date.now()
  const { lastDay } = journal
  if (lastDay !== undefined && Math.abs(now - lastDay.at) < lastDayHoldsMs) return lastDay.days
  const days = lastDayOf(journal.entries, now, watchedUntil(reading))
  journal.lastDay = { at: now, days }
  return days
}

/** A unit as its events name it. */
export interface EventsOf {
  /** Null = it is no forward. */
  readonly port: number | null
  readonly name: string | undefined
}

/** The last events of some units. The older parts of the journal are read only where the newest ones have too few. */
export async function lastEventsOf(
  units: readonly EventsOf[],
  count: number,
  stateDirectory: string,
  { entries, isWhole, lastEvents }: JournalMemory,
): Promise<(unit: EventsOf) => readonly UnitDecision[]> {
  const unknown = units.filter((unit) => !lastEvents.has(keyOf(unit)))
  if (unknown.length > 0) {
    const within = (some: readonly JournalEntry[]) => {
      const decisions = some.flatMap((entry) => decisionOf(entry) ?? [])
      return unknown.map((unit) => decisions.filter((one) => isAbout(one, unit)).slice(-count))
    }
    let found = within(entries)
    if (!isWhole && found.some(({ length }) => length < count))
      found = within(await readJournal(stateDirectory))
    for (const [index, unit] of unknown.entries()) lastEvents.set(keyOf(unit), found[index] ?? [])
  }
  return (unit) => lastEvents.get(keyOf(unit)) ?? []
}

/** A forward goes by its port, whatever it was called. */
function isAbout(decision: UnitDecision, { port, name }: EventsOf): boolean {
  return port === null ? decision.port === null && decision.name === name : decision.port === port
}

function keyOf({ port, name }: EventsOf): string {
  return port === null ? `program ${name}` : `forward ${port}`
}

/** Changes when something is written to the journal. */
function journalKey(stateDirectory: string): string {
  const facts = statSync(path.join(stateDirectory, fileNames.journal), { throwIfNoEntry: false })
  return facts === undefined ? 'none' : `${facts.ino} ${facts.size}`
}
