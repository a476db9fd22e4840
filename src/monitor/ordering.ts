import type { AlertConfiguration } from '../config/alert-options.ts'
import { compareConfigurations, differenceInWords } from '../config/compare.ts'
import type { ConfigurationFile } from '../config/configuration-file.ts'
import { overlapsIn } from '../config/conflicts.ts'
import type { ProgramConfiguration } from '../config/program-configuration.ts'
import type {
  OrderedConfiguration,
  OrderedMonitor,
  OrderedRecord,
  OrderedUnit,
  ReloadOutcome,
  ScalableProgram,
} from '../orders/monitor.ts'
import type { ProgramUnit } from '../program/index.ts'
import type { ApiKeys } from '../record/api-keys.ts'
import type { AuditEntry } from '../record/audit.ts'
import { type NamedEvent, namedEvents, readJournal } from '../record/journal.ts'
import type { OrderEvent } from '../record/shapes/journal.ts'
import type { RuntimeState } from '../record/shapes/runtime-state.ts'
import { unitRecord } from '../watch/unit-record.ts'
import type { UnitWatcher } from '../watch/unit-watcher.ts'
import type { WatchedUnits } from '../watch/watched-units.ts'
import type { InForce } from './in-force.ts'
import type { MonitorRecords } from './monitor-records.ts'

/** What the monitor lends to its orders. */
export interface OrderingParts {
  readonly stateDirectory: string
  readonly units: () => WatchedUnits
  readonly records: MonitorRecords
  readonly configurationFile: () => ConfigurationFile | undefined
  readonly inForce: InForce
  readonly isEnding: () => boolean
  readonly end: OrderedMonitor['end']
}

/** The kinds of units that `orders/` can tell about. */
const toldKinds: readonly string[] = ['forward', 'program', 'gateway']

/** The monitor as its orders see it. Orders go into the mailbox of the unit like everything else that is seen of it. */
export class Ordering implements OrderedMonitor {
  readonly stateDirectory: string
  readonly isWhole = true
  readonly end: OrderedMonitor['end']
  readonly #parts: OrderingParts
  readonly #changed = new Set<() => void>()

  constructor(parts: OrderingParts) {
    this.#parts = parts
    this.stateDirectory = parts.stateDirectory
    this.end = parts.end
  }

  get isEnding(): boolean {
    return this.#parts.isEnding()
  }

  units(): readonly OrderedUnit[] {
    const told = this.#parts.units().all.filter(({ unit }) => toldKinds.includes(unit.kind))
    return told.map((watcher) => this.#unit(watcher))
  }

  state(): RuntimeState {
    return this.#parts.records.runtimeState()
  }

  onChange(changed: () => void): () => void {
    this.#changed.add(changed)
    return () => void this.#changed.delete(changed)
  }

  /** The state of a unit has changed. */
  changed(): void {
    for (const changed of this.#changed) changed()
  }

  configuration(): OrderedConfiguration {
    const { inForce, records } = this.#parts
    const { changes, configurations } = records
    return { running: inForce.written, source: inForce.source, history: configurations.list(), changes }
  }

  scalable(): readonly ScalableProgram[] {
    const { forwards, programs } = this.#parts.inForce.written
    return programs.map((program) => {
      const { name, instances } = program
      const current = () =>
        this.#parts.inForce.current.programs.filter(({ instanceOf }) => instanceOf?.program === name).length
      const countOf = (other: ProgramConfiguration, count: number) =>
        other === program ? count : (other.instances?.count ?? 1)
      return {
        name,
        most: instances?.most,
        current,
        conflict: (count) => {
          const known = new Set(overlapsIn(forwards, programs).map(({ text }) => text))
          const problems = overlapsIn(forwards, programs, (other) => countOf(other, count))
          return problems.find(({ text }) => !known.has(text))?.text
        },
        scale: (count, by) => this.#parts.inForce.scale(program, count, by),
      }
    })
  }

  async reload(order: string, by: string): Promise<ReloadOutcome> {
    const followed = this.#parts.configurationFile()
    if (followed === undefined) return { kind: 'no-file' }
    const { file } = followed
    const before = this.#parts.inForce.current
    const reloaded = await followed.reload(true, { why: 'order', order, by })
    if (!reloaded.ok) return { kind: 'refused', file, problem: reloaded.problem }
    await this.#parts.inForce.applied
    const after = this.#parts.inForce.current
    const change = compareConfigurations(before, after)
    return { kind: 'read', file, change, words: differenceInWords(before, after) }
  }

  alerts(): AlertConfiguration {
    return this.#parts.inForce.current.alerts
  }

  journal(event: OrderEvent, line: string): void {
    const { records } = this.#parts
    records.journal.write(event)
    const { order, actor, units, outcome, code } = event
    const fields = { component: 'orders', order, actor, units, outcome, code }
    if (outcome === 'done') records.log.info(fields, line)
    else records.log.warn(fields, line)
  }

  audit(entry: AuditEntry): void {
    this.#parts.records.audit.write(entry)
  }

  keys(): ApiKeys {
    return this.#parts.records.keys
  }

  follow(seen: (event: NamedEvent) => void): () => void {
    return this.#parts.records.journal.follow(seen)
  }

  async past(isEnough: Parameters<OrderedMonitor['past']>[0]): Promise<readonly NamedEvent[]> {
    return namedEvents(await readJournal(this.stateDirectory, isEnough))
  }

  #unit(watcher: UnitWatcher): OrderedUnit {
    const { records } = this.#parts
    const { unit } = watcher
    const { name } = unit
    return {
      name,
      group: unit.group,
      // Asks every forward: only where somebody wants it.
      get leavesWithinMs() {
        return unit.leavesWithinMs
      },
      program: unit.kind === 'program' ? (unit as unknown as ProgramUnit) : undefined,
      record: () => unitRecord(watcher) as OrderedRecord,
      replacement: () => {
        const { phase } = watcher.state
        if (phase.id !== 'running' || phase.replacement === undefined) return undefined
        const { replacement } = phase
        if (replacement.state === 'starting') return { state: 'starting' }
        return { state: 'failed', why: replacement.why }
      },
      wantedDown: () => records.wantedDown(name),
      want: (wanted) => records.want(name, wanted),
      order: (order, why, drainMs) => watcher.observe({ kind: 'order', order, why, drainMs }),
    }
  }
}
