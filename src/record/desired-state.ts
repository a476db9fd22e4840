import { existsSync } from 'node:fs'
import path from 'node:path'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { wallTime } from '../os/clock.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { fileNames } from './state-directory.ts'

/** A forward that somebody wants down, until somebody wants it up again. */
export interface WantedDown {
  /** Wall time, ISO 8601. */
  readonly since: string
  readonly why: string
  /** Whose order it is; undefined when the version before wrote it. */
  readonly by?: string | undefined
  /** ms that its connections have to finish; undefined = the forward's own drain time. */
  readonly drainMs?: number | undefined
}

/** How many copies of a program somebody wants instead of what the file says. */
export interface WantedInstances {
  readonly count: number
  /** What the file said then. When it says something else, that counts: it is the later wish. */
  readonly instead: number
  /** Wall time, ISO 8601. */
  readonly since: string
  readonly by: string
}

/**
 * What people want, apart from what is (`runtime-state.json`): a monitor that begins anew, or finds nothing, changes nothing here. What is
 * not named is wanted up.
 */
export class DesiredState {
  readonly #file: string
  readonly #down: Map<string, WantedDown>
  readonly #instances: Map<string, WantedInstances>

  constructor(stateDirectory: string) {
    this.#file = path.join(stateDirectory, fileNames.desiredState)
    this.#down = readDesiredState(stateDirectory)
    this.#instances = readWantedInstances(stateDirectory)
  }

  /** How many copies of a program an order wants; undefined = as many as the file says. */
  wantedInstances(program: string): WantedInstances | undefined {
    return this.#instances.get(program)
  }

  /**
   * Writes down how many copies of a program are wanted from now on; undefined = as many as the file says.
   * @throws as `want`.
   */
  wantInstances(program: string, wanted: Omit<WantedInstances, 'since'> | undefined): void {
    if (wanted !== undefined) this.#instances.set(program, { ...wanted, since: wallTime() })
    else if (!this.#instances.delete(program)) return
    this.#write()
  }

  /** Why this forward is wanted down; undefined when it is wanted up. */
  wantedDown(name: string): WantedDown | undefined {
    return this.#down.get(name)
  }

  /**
   * Writes down what is wanted from now on: before it is carried out, so that a monitor that is killed in between leaves it to the next one.
   * @throws the system's error when it cannot be written; until the next change it holds for this process all the same.
   */
  want(name: string, wanted: 'up' | Omit<WantedDown, 'since'>): void {
    const known = this.#down.get(name)
    if (wanted === 'up') {
      if (!this.#down.delete(name)) return
    } else {
      // The first order stays the reason: who gave it, and when.
      if (known !== undefined && known.drainMs === wanted.drainMs) return
      this.#down.set(name, { since: wallTime(), ...wanted, ...known, drainMs: wanted.drainMs })
    }
    this.#write()
  }

  /** Writes it again when somebody has removed it; true when it was written. Throws the system's error when it cannot be. */
  keep(): boolean {
    if (this.#down.size + this.#instances.size === 0 || existsSync(this.#file)) return false
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
    const content = {
      schemaVersion: 1,
      down: Object.fromEntries(this.#down),
      ...(this.#instances.size === 0 ? {} : { instances: Object.fromEntries(this.#instances) }),
    }
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

/** How many copies of programs orders want, by the programs' names. */
function readWantedInstances(stateDirectory: string): Map<string, WantedInstances> {
  try {
    return parseWantedInstances(readRegularFile(path.join(stateDirectory, fileNames.desiredState)))
  } catch {
    return new Map()
  }
}

/** The pure part of `readWantedInstances`. */
export function parseWantedInstances(text: string): Map<string, WantedInstances> {
  try {
    const value = JSON.parse(text) as { schemaVersion?: unknown; instances?: unknown } | null
    if (value?.schemaVersion !== 1 || typeof value.instances !== 'object' || value.instances === null)
      return new Map()
    const wanted = Object.entries(value.instances as Record<string, Partial<WantedInstances> | null>)
    return new Map(
      wanted.flatMap(([program, one]) => {
        const { count, instead, since, by } = one ?? {}
        const isWhole = [count, instead].every((number) => Number.isInteger(number) && Number(number) > 0)
        if (!isWhole || typeof since !== 'string' || typeof by !== 'string') return []
        return [[program, { count, instead, since, by } as WantedInstances] as const]
      }),
    )
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
      wanted.flatMap(([name, down]) => {
        if (typeof down?.since !== 'string' || typeof down.why !== 'string') return []
        const { since, why, by, drainMs } = down
        const read: WantedDown = {
          since,
          why,
          ...(typeof by === 'string' ? { by } : {}),
          ...(typeof drainMs === 'number' && drainMs >= 0 ? { drainMs } : {}),
        }
        return [[name, read] as const]
      }),
    )
  } catch {
    return new Map()
  }
}
