import { renameSync } from 'node:fs'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { readRegularFile } from '../os/regular-file.ts'
import {
  forwardId,
  gatewayId,
  programId,
  type RuntimeState,
  runtimeState,
  stateSchemaVersion,
  type UnitRecord,
} from './shapes/runtime-state.ts'

/** ms between two heartbeats of the monitor. */
export const heartbeatIntervalMs = 5000

/** What reading the file gave. */
export type StateReading =
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly why: string }
  | { readonly kind: 'corrupt'; readonly why: string }
  | { readonly kind: 'newer'; readonly schemaVersion: number }
  | { readonly kind: 'read'; readonly state: RuntimeState }

/** Reads the state that a monitor left. Never changes anything. */
export function readRuntimeState(file: string): StateReading {
  let text: string
  try {
    text = readRegularFile(file)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', why: message }
  }
  return parseRuntimeState(text)
}

/** The pure part of `readRuntimeState`. */
export function parseRuntimeState(text: string): StateReading {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'corrupt', why: text.trim() === '' ? 'it is empty' : 'it is not JSON' }
  }
  if (typeof value !== 'object' || value === null) return { kind: 'corrupt', why: 'it is no JSON object' }
  const { schemaVersion } = value as Partial<RuntimeState>
  if (typeof schemaVersion !== 'number') return { kind: 'corrupt', why: 'it has no schemaVersion' }
  if (schemaVersion > stateSchemaVersion) return { kind: 'newer', schemaVersion }
  const state = runtimeState.read(value)
  return state === undefined ? { kind: 'corrupt', why: 'parts of it are missing' } : { kind: 'read', state }
}

/** What is known of every unit, by its id. */
export function unitRecords({
  forwards,
  programs = [],
  gateway,
  units = [],
}: RuntimeState): ReadonlyMap<string, UnitRecord> {
  return new Map([
    ...forwards.map((record) => [record.unit ?? forwardId(record.port), record] as const),
    ...programs.map((record) => [record.unit ?? programId(record.name), record] as const),
    ...(gateway === undefined ? [] : [[gatewayId, gateway] as const]),
    ...units.map((record) => [record.unit ?? record.name, record] as const),
  ])
}

/** Writes the state; whoever reads sees the one before or this one, whole. */
export function writeRuntimeState(file: string, state: RuntimeState, durable: boolean): void {
  writeFileAtomically(file, `${JSON.stringify(state, null, 1)}\n`, durable)
}

/** What a monitor that begins has found of the one before. */
export interface TakenOver {
  /** What it goes on from: the file, or the one kept before it where that is corrupt. */
  readonly reading: StateReading
  /** Where a corrupt file is kept now, to be looked at; undefined when it was not corrupt, or could not be moved. */
  readonly quarantined: string | undefined
  /** Why the file could not be used, in words; undefined when it could. */
  readonly problem: string | undefined
}

/**
 * For a monitor that begins: reads what the one before left, keeps a copy of it as `.previous`, and moves a corrupt file aside. A disk that
 * is full or read-only does not stop it.
 */
export function takeOverRuntimeState(file: string): TakenOver {
  const reading = readRuntimeState(file)
  switch (reading.kind) {
    case 'missing':
    case 'newer':
      return { reading, quarantined: undefined, problem: undefined }
    case 'unreadable':
      return { reading: previousOr(file, reading), quarantined: undefined, problem: reading.why }
    case 'corrupt': {
      const quarantined = tryQuietly(() => renameSync(file, `${file}.corrupt`))
        ? `${file}.corrupt`
        : undefined
      return { reading: previousOr(file, reading), quarantined, problem: reading.why }
    }
    case 'read':
      tryQuietly(() => writeRuntimeState(`${file}.previous`, reading.state, true))
      return { reading, quarantined: undefined, problem: undefined }
  }
}

function previousOr(file: string, reading: StateReading): StateReading {
  const previous = readRuntimeState(`${file}.previous`)
  return previous.kind === 'read' ? previous : reading
}

function tryQuietly(what: () => void): boolean {
  try {
    what()
    return true
  } catch {
    return false
  }
}
