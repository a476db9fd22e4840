import { existsSync } from 'node:fs'
import path from 'node:path'
import { wallTime } from '../os/clock.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { writeFileAtomically } from './atomic-file.ts'
import { fileNames } from './state-directory.ts'

/** A forward that somebody wants down, until somebody wants it up again. */
export interface WantedDown {
  /** Wall time, ISO 8601. */
  readonly since: string
  readonly why: string
}

/**
 * What people want, apart from what is (`runtime-state.json`): a monitor that begins anew, or finds nothing, changes nothing here. What is
 * not named is wanted up.
 */
export class DesiredState {
  readonly #file: string
  readonly #down: Map<string, WantedDown>

  constructor(stateDirectory: string) {
    this.#file = path.join(stateDirectory, fileNames.desiredState)
    this.#down = readDesiredState(stateDirectory)
  }

  /** Why this forward is wanted down; undefined when it is wanted up. */
  wantedDown(name: string): WantedDown | undefined {
    return this.#down.get(name)
  }

  /**
   * Writes down what is wanted from now on.
   * @throws the system's error when it cannot be written; until the next change it holds for this process all the same.
   */
  want(name: string, wanted: 'up' | 'down', why: string): void {
    const isDown = this.#down.has(name)
    if (isDown === (wanted === 'down')) return
    if (wanted === 'down') this.#down.set(name, { since: wallTime(), why })
    else this.#down.delete(name)
    this.#write()
  }

  /** Writes it again when somebody has removed it; true when it was written. Throws the system's error when it cannot be. */
  keep(): boolean {
    if (this.#down.size === 0 || existsSync(this.#file)) return false
    this.#write()
    return true
  }

  /**
   * What is wanted of a forward goes on under its new name.
   * @throws the system's error when it cannot be written; it holds for this process all the same.
   */
  rename(renamed: readonly { readonly from: string; readonly to: string }[]): void {
    const before = new Map(this.#down)
    if (!renamed.some(({ from, to }) => before.has(from) || before.has(to))) return
    for (const { from } of renamed) this.#down.delete(from)
    for (const { from, to } of renamed) {
      const wanted = before.get(from)
      if (wanted !== undefined) this.#down.set(to, wanted)
    }
    this.#write()
  }

  #write(): void {
    const content = { schemaVersion: 1, down: Object.fromEntries(this.#down) }
    writeFileAtomically(this.#file, `${JSON.stringify(content, null, 1)}\n`)
  }
}

/** The forwards that are wanted down, by name. A file that is missing or damaged wants every forward up. */
export function readDesiredState(stateDirectory: string): Map<string, WantedDown> {
  try {
    const text = readRegularFile(path.join(stateDirectory, fileNames.desiredState))
    return parseDesiredState(text)
  } catch {
    return new Map()
  }
}

/** The pure part of `readDesiredState`. */
export function parseDesiredState(text: string): Map<string, WantedDown> {
  try {
    const value = JSON.parse(text) as { schemaVersion?: unknown; down?: unknown } | null
    if (value?.schemaVersion !== 1 || typeof value.down !== 'object' || value.down === null) return new Map()
    const wanted = Object.entries(value.down as Record<string, Partial<WantedDown> | null>)
    return new Map(
      wanted.flatMap(([name, down]) =>
        typeof down?.since === 'string' && typeof down.why === 'string'
          ? [[name, { since: down.since, why: down.why }] as const]
          : [],
      ),
    )
  } catch {
    return new Map()
  }
}
