import { existsSync } from 'node:fs'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ChangeCause } from '../config/configuration-file.ts'
import type { ConfigurationSource } from '../config/load.ts'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { wallTime } from '../os/clock.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { demandOwnDirectory, fileNames } from './state-directory.ts'

/** A configuration that was in force. */
export interface HistoryEntry extends ConfigurationSource, ChangeCause {
  /** Rises with each entry. */
  readonly id: number
  /** When it came into force: wall time, ISO 8601. */
  readonly at: string
}

/** Valid configurations that are kept, the one in force among them; and texts of the file, so that orders cannot push out what a person wrote. */
const keptConfigurations = 5

/** Characters of a file that is kept; a longer one is no configuration that a person wrote. */
const longestText = 1024 * 1024

/** The configurations that were in force last, in `configuration-history.json` (0600). One that is damaged or missing begins anew. */
export class ConfigurationHistory {
  readonly #directory: string
  readonly #file: string
  /** The newest first. */
  #entries: readonly HistoryEntry[]

  constructor(stateDirectory: string) {
    this.#directory = stateDirectory
    this.#file = path.join(stateDirectory, fileNames.configurationHistory)
    this.#entries = readEntries(this.#file)
  }

  /** The newest first. */
  list(): readonly HistoryEntry[] {
    return this.#entries
  }

  /**
   * Keeps a configuration that is in force from now on, unless it is the one that was in force.
   * @throws the system's error when it cannot be written; this process knows it all the same.
   */
  add(source: ConfigurationSource, cause: ChangeCause): void {
    const [newest] = this.#entries
    const { file, text, changes } = source
    if (newest !== undefined && isSameSource(newest, source)) return
    if (text.length > longestText) return
    const { why, order, by } = cause
    const entry = {
      id: (newest?.id ?? 0) + 1,
      at: wallTime(),
      why,
      order,
      by,
      file,
      text,
      ...(changes && { changes }),
    }
    this.#entries = lastOf([entry, ...this.#entries])
    this.#write()
  }

  /** Writes it again when somebody has removed it; true when it was written. Throws the system's error when it cannot be. */
  keep(): boolean {
    if (this.#entries.length === 0 || existsSync(this.#file)) return false
    this.#write()
    return true
  }

  #write(): void {
    demandOwnDirectory(this.#directory)
    const content = { schemaVersion: 1, configurations: this.#entries }
    writeFileAtomically(this.#file, `${JSON.stringify(content, null, 1)}\n`)
  }
}

/** The last five, and the newest of each of the last five texts. */
function lastOf(entries: readonly HistoryEntry[]): readonly HistoryEntry[] {
  const texts = new Map<string, HistoryEntry>()
  for (const entry of entries) {
    const key = `${entry.file}\n${entry.text}`
    if (texts.size < keptConfigurations && !texts.has(key)) texts.set(key, entry)
  }
  const ofTexts = new Set(texts.values())
  return entries.filter((entry, index) => index < keptConfigurations || ofTexts.has(entry))
}

/** Whether two configurations are made of the same. */
export function isSameSource(one: ConfigurationSource, other: ConfigurationSource): boolean {
  const { file, text, changes } = one
  return file === other.file && text === other.text && isDeepStrictEqual(changes ?? [], other.changes ?? [])
}

function readEntries(file: string): readonly HistoryEntry[] {
  try {
    return parseHistory(readRegularFile(file))
  } catch {
    return []
  }
}

/** The pure part: entries that are whole, the newest first; none of a file that is damaged. */
export function parseHistory(text: string): readonly HistoryEntry[] {
  try {
    const value = JSON.parse(text) as { schemaVersion?: unknown; configurations?: unknown } | null
    if (value?.schemaVersion !== 1 || !Array.isArray(value.configurations)) return []
    return value.configurations.filter(isEntry).toSorted((a, b) => b.id - a.id)
  } catch {
    return []
  }
}

function isEntry(value: unknown): value is HistoryEntry {
  const entry = value as { readonly [Name in keyof HistoryEntry]?: unknown } | null
  return (
    typeof entry === 'object' &&
    entry !== null &&
    Number.isSafeInteger(entry.id) &&
    (entry.id as number) > 0 &&
    [entry.at, entry.file, entry.text].every((one) => typeof one === 'string') &&
    (entry.changes === undefined || Array.isArray(entry.changes)) &&
    ['start', 'reload', 'order'].includes(String(entry.why)) &&
    [entry.order, entry.by].every((one) => one === null || typeof one === 'string')
  )
}
