import { existsSync } from 'node:fs'
import path from 'node:path'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { demandOwnDirectory } from '../record/state-directory.ts'
import type { UnitWatcher } from '../watch/unit-watcher.ts'

type Watched = Pick<UnitWatcher, 'unit' | 'state'>

/** The files that hold nothing but how often a unit has failed in a row, for scripts of the shell era. Written when the count has changed. */
export class FailureCounts {
  readonly #directory: string
  /** By the file's name. */
  readonly #written = new Map<string, number>()

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Never fails: the write of the state, which follows, reports a disk that takes nothing. */
  write({ unit, state }: Watched): void {
    const { failures: name } = unit.files
    if (name === undefined || this.#written.get(name) === state.failures) return
    try {
      demandOwnDirectory(this.#directory)
      writeFileAtomically(path.join(this.#directory, name), `${state.failures}\n`, false)
      this.#written.set(name, state.failures)
    } catch {
      this.#written.delete(name)
    }
  }

  /** Writes again what somebody has removed while there are failures. */
  keep(watched: Watched): void {
    const { failures: name } = watched.unit.files
    if (name === undefined || watched.state.failures === 0) return
    if (existsSync(path.join(this.#directory, name))) return
    this.#written.delete(name)
    this.write(watched)
  }
}
