/** What a monitor writes down about its units, in the shapes that readers know. */
import type { Configuration } from '../config/configuration.ts'
import { limitedResources } from '../record/limit-words.ts'
import type { IncidentChange } from '../record/shapes/alerts.ts'
import type { JournalEvent } from '../record/shapes/journal.ts'
import type {
  ForwardRecord,
  GatewayRecord,
  ProgramRecord,
  RuntimeState,
  UnitRecord,
} from '../record/shapes/runtime-state.ts'
import { alertSubject } from '../watch/narrate/incidents.ts'
import type { Explanation } from '../watch/narrate/journal.ts'
import type { Unit } from '../watch/unit.ts'
import { unitRecord } from '../watch/unit-record.ts'
import type { UnitWatcher } from '../watch/unit-watcher.ts'

/** The programs of a configuration, as an event of the journal names them. */
export function programsOf({ programs }: Configuration): { readonly programs?: readonly string[] } {
  return programs.length === 0 ? {} : { programs: programs.map(({ name }) => name) }
}

const knownKinds: readonly string[] = ['forward', 'program', 'gateway']

/** Forwards, programs and the gateway stand by themselves, as their readers know them. */
export function recordsOf(
  watchers: readonly UnitWatcher[],
): Pick<RuntimeState, 'forwards' | 'programs' | 'gateway' | 'units'> {
  // A record holds what its kind of unit adds.
  const of = <R extends UnitRecord>(isWanted: (kind: string) => boolean) =>
    watchers.filter(({ unit }) => isWanted(unit.kind)).map((one) => unitRecord(one) as R)
  const programs = of<ProgramRecord>((kind) => kind === 'program')
  const [gateway] = of<GatewayRecord>((kind) => kind === 'gateway')
  return {
    forwards: of<ForwardRecord>((kind) => kind === 'forward'),
    ...(programs.length > 0 ? { programs } : {}),
    ...(gateway === undefined ? {} : { gateway }),
    units: of((kind) => !knownKinds.includes(kind)),
  }
}

/** A decision about a unit, as the journal holds it. */
export function eventOf({ id, kind, name, labels: { port } }: Unit, explanation: Explanation): JournalEvent {
  return kind === 'forward' && port !== undefined
    ? { event: 'forward', unit: id, forward: name, port, ...explanation }
    : { event: 'unit', unit: id, name, ...explanation }
}

/** A change of an incident, as the journal holds it; undefined for one that decisions tell, and for one of a unit that is gone. */
export function incidentEvent(
  { event: change, unit: id, subject, incident, message }: IncidentChange,
  watchers: readonly UnitWatcher[],
): JournalEvent | undefined {
  const unit = watchers.find((one) => one.unit.id === id)?.unit
  if (unit === undefined || change === 'reminder' || change === 'test') return undefined
  const decided = [alertSubject('unit', unit), alertSubject('dependency', unit), ...limitedResources]
  return decided.includes(subject)
    ? undefined
    : { event: 'incident', unit: unit.id, name: unit.name, incident, change, subject, message }
}
