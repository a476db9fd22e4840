import { existsSync, renameSync } from 'node:fs'
import path from 'node:path'
import { errorText } from '../os/failure.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { writeFileAtomically } from '../record/atomic-file.ts'
import type { LogLevel } from '../record/log-entry.ts'
import { demandOwnDirectory } from '../record/state-directory.ts'
import type { ChannelHealth } from './channel-health.ts'
import type { IncidentState } from './incident-record.ts'
import type { QueuedMessage } from './queue.ts'

/** The version of the shape of these files. */
export const alertSchemaVersion = 1

/** `alerts.json`. */
export interface IncidentRecord {
  readonly schemaVersion: number
  readonly incidents: IncidentState
}

/** `alert_CHANNEL.json`: what a channel has to deliver and how it is. Never holds a URL or a key. */
export interface ChannelRecord {
  readonly schemaVersion: number
  /** Tells that the URL has changed without telling the URL; null for a command. */
  readonly fingerprint: string | null
  readonly health: ChannelHealth
  readonly queue: readonly QueuedMessage[]
}

export type Say = (level: LogLevel, message: string, good?: boolean) => void

/**
 * Writes the room's files. A full or read-only disk stops nothing: what is queued stays in memory, the trouble is said once, and what could
 * not be written is written when it can be.
 */
export class AlertFiles {
  readonly #say: Say
  readonly #unwritten = new Map<string, () => object>()
  /** Everything that was ever to be written, by file. */
  readonly #contents = new Map<string, () => object>()
  #isFailing = false

  constructor(say: Say) {
    this.#say = say
  }

  /** @param content gives what is to be written, now and at every further try. */
  write(file: string, content: () => object): void {
    this.#contents.set(file, content)
    try {
      demandOwnDirectory(path.dirname(file))
      writeFileAtomically(file, `${JSON.stringify(content())}\n`)
      this.#unwritten.delete(file)
    } catch (error) {
      this.#unwritten.set(file, content)
      if (!this.#isFailing) {
        this.#say('error', `Alerts cannot be saved: ${errorText(error)}; they are kept in memory`)
      }
      this.#isFailing = true
      return
    }
    if (this.#isFailing && this.#unwritten.size === 0) {
      this.#isFailing = false
      this.#say('info', 'Alerts can be saved again', true)
    }
  }

  /** Tries again what could not be written, and writes again what somebody has removed. */
  retry(): void {
    for (const [file, content] of [...this.#contents]) {
      if (this.#unwritten.has(file) || !existsSync(file)) this.write(file, content)
    }
  }

  /** This file is wanted no more. */
  forget(file: string): void {
    this.#contents.delete(file)
    this.#unwritten.delete(file)
  }

  /** What a monitor before has left, or undefined. What cannot be used is moved aside, and told. */
  takeOver<T>(file: string, parse: (value: unknown) => T | undefined): T | undefined {
    const found = readRecord(file, parse)
    if (found !== 'unusable') return found
    const aside = `${file}.corrupt`
    try {
      renameSync(file, aside)
      this.#say('warn', `${file} cannot be used and is kept as ${aside}`)
    } catch (error) {
      this.#say('warn', `${file} cannot be used, nor moved aside: ${errorText(error)}`)
    }
    return undefined
  }
}

/** Reads one file; undefined = it is not there. */
export function readRecord<T>(
  file: string,
  parse: (value: unknown) => T | undefined,
): T | 'unusable' | undefined {
  let text: string
  try {
    text = readRegularFile(file)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : 'unusable'
  }
  try {
    return parse(JSON.parse(text)) ?? 'unusable'
  } catch {
    return 'unusable'
  }
}

export function parseIncidentRecord(value: unknown): IncidentRecord | undefined {
  if (!isObject(value) || value.schemaVersion !== alertSchemaVersion) return undefined
  const state = value.incidents
  const isWhole =
    isObject(state) &&
    has(state, { seed: 'string', sequence: 'number' }) &&
    isList(state.incidents, isIncident) &&
    isList(state.recentOpenings, (opening) => typeof opening.key === 'string' && isMoment(opening.at)) &&
    isList(state.pending, isChange) &&
    (state.pendingSince === null || isMoment(state.pendingSince))
  return isWhole ? (value as unknown as IncidentRecord) : undefined
}

export function parseChannelRecord(value: unknown): ChannelRecord | undefined {
  if (!isObject(value) || value.schemaVersion !== alertSchemaVersion) return undefined
  const { health, queue } = value
  const isWhole =
    isObject(health) &&
    has(health, {
      name: 'string',
      type: 'string',
      state: 'string',
      dropped: 'number',
      delivered: 'number',
    }) &&
    [health.retryAt, health.lastDeliveredAt].every((at) => at === null || isMoment(at)) &&
    isList(queue, (message) => {
      return has(message, { id: 'string', dropped: 'number' }) && isList(message.changes, isChange)
    })
  return isWhole ? (value as unknown as ChannelRecord) : undefined
}

type Shape = Readonly<Record<string, 'string' | 'number'>>
type Fields = Readonly<Record<string, unknown>>

function isIncident(value: Fields): boolean {
  const texts = { id: 'string', forward: 'string', subject: 'string', message: 'string' } as const
  const numbers = { port: 'number', changes: 'number', restarts: 'number', restartsBefore: 'number' } as const
  return has(value, { ...texts, ...numbers }) && isMoment(value.since) && isMoment(value.toldAt)
}

function isChange(value: Fields): boolean {
  const texts = {
    id: 'string',
    incident: 'string',
    event: 'string',
    forward: 'string',
    message: 'string',
  } as const
  return has(value, { ...texts, durationMs: 'number', restarts: 'number' })
}

function isMoment(value: unknown): boolean {
  return isObject(value) && has(value, { wallMs: 'number', monotonicMs: 'number', bootId: 'string' })
}

function isList(value: unknown, isItem: (item: Fields) => boolean): boolean {
  return Array.isArray(value) && value.every((item) => isObject(item) && isItem(item))
}

function has(value: Fields, shape: Shape): boolean {
  return Object.entries(shape).every(([key, type]) => typeof value[key] === type)
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null
}
