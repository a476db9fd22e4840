import { defaultConfiguration } from '../../src/config/configuration.ts'
import type { OrderedMonitor, OrderedUnit } from '../../src/orders/monitor.ts'
import type { ApiKeys } from '../../src/record/api-keys.ts'
import type { AuditEntry } from '../../src/record/audit.ts'
import { ConfigurationChanges } from '../../src/record/configuration-changes.ts'
import type { NamedEvent } from '../../src/record/journal.ts'
import type { OrderEvent } from '../../src/record/shapes/journal.ts'
import type { ForwardRecord } from '../../src/record/shapes/runtime-state.ts'
import { wellRecord, wellState } from './status-facts.ts'

export interface FakeMonitor {
  readonly monitor: OrderedMonitor
  /** What its forwards, journal and log were told. */
  readonly told: string[]
  readonly journalled: OrderEvent[]
  readonly audited: AuditEntry[]
  /** What happened, for whoever asks for the past; more is pushed by `happen`. */
  readonly past: NamedEvent[]
  readonly happen: (event: NamedEvent) => void
  /** How many follow its events. */
  readonly followers: () => number
}

/** A monitor whose forwards do nothing but remember what they were told. */
export function fakeMonitor(
  records: readonly Partial<ForwardRecord>[],
  { stateDirectory = '/nowhere', keys }: { stateDirectory?: string; keys?: ApiKeys } = {},
): FakeMonitor {
  const told: string[] = []
  const journalled: OrderEvent[] = []
  const audited: AuditEntry[] = []
  const past: NamedEvent[] = []
  const followers = new Set<(event: NamedEvent) => void>()
  const down = new Map<string, { since: string; why: string; by?: string | undefined }>()
  const units = records.map((record): OrderedUnit => {
    const whole = { ...wellRecord, ...record }
    const { name } = whole
    return {
      name,
      record: () => whole,
      replacement: () => undefined,
      wantedDown: () => down.get(name),
      want: (wanted) => {
        told.push(`${name} is wanted ${wanted === 'up' ? 'up' : 'down'}`)
        if (wanted === 'up') down.delete(name)
        else down.set(name, { since: '2026-11-26T12:00:00.000Z', ...wanted })
        return true
      },
      order: (order, why) => void told.push(`${name}: ${order}, ${why}`),
    }
  })
  const changes = new ConfigurationChanges(stateDirectory)
  const monitor: OrderedMonitor = {
    stateDirectory,
    isWhole: true,
    isEnding: false,
    units: () => units,
    state: () => ({ ...wellState, forwards: units.map((unit) => unit.record() as ForwardRecord) }),
    scalable: () => [],
    onChange: () => () => {},
    configuration: () => ({ running: defaultConfiguration, source: undefined, history: [], changes }),
    reload: async () => ({ kind: 'no-file' }),
    alerts: () => ({ channels: [], ping: undefined, reminderMs: 0, groupMs: 0, flappingMs: 0 }) as never,
    end: (stopForwards, by) => void told.push(`end ${stopForwards}, ${by}`),
    journal: (event, line) => {
      journalled.push(event)
      told.push(line)
    },
    follow: (seen) => {
      followers.add(seen)
      return () => void followers.delete(seen)
    },
    past: async () => past,
    audit: (entry) => void audited.push(entry),
    keys: () => {
      if (keys === undefined) throw new Error('no keys here')
      return keys
    },
  }
  const happen = (event: NamedEvent) => {
    past.push(event)
    for (const seen of followers) seen(event)
  }
  return { monitor, told, journalled, audited, past, happen, followers: () => followers.size }
}
