import { setTimeout as after } from 'node:timers/promises'
import type { ProgramConfiguration } from '../../config/program-configuration.ts'
import type { FileWatch, FileWatchSurroundings } from './index.ts'

/** ms that a start waits for the first look at the files; those of a network may not answer. */
const knownWithinMs = 5000

/** Changes in a row, each so soon after a start, that look as if the program makes them itself. */
const suspiciousChanges = 5
const soonMs = 5000

/** What the files of a program need of the program around them. */
export interface ProgramFilesSurroundings extends Pick<FileWatchSurroundings, 'apart' | 'changed'> {
  /** ms for which its process has run; undefined = none does. */
  readonly uptimeMs: () => number | undefined
  /** Says something that a person should hear. */
  readonly warn: (message: string) => void
}

/** The files of a program over all its configurations. Only where some are watched is the rest of this folder loaded. */
export class ProgramFiles {
  readonly #around: ProgramFilesSurroundings
  #wanted: ProgramConfiguration['watch']
  #watch: FileWatch | undefined
  #known: Promise<void> = Promise.resolve()
  #changesInRow = 0

  constructor(around: ProgramFilesSurroundings) {
    this.#around = around
  }

  /** Settles when no change can be missed any more, or is not known to be. */
  known(): Promise<void> {
    if (this.#wanted === undefined) return Promise.resolve()
    return Promise.race([this.#known, after(knownWithinMs, undefined, { ref: false })])
  }

  /** Watches what this configuration says, from now on. */
  follow({ watch, cwd, name }: Pick<ProgramConfiguration, 'watch' | 'cwd' | 'name'>): void {
    this.#wanted = watch
    if (watch === undefined) this.end()
    else this.#known = this.#follow(watch, cwd, name)
  }

  end(): void {
    this.#wanted = undefined
    this.#watch?.end()
    this.#watch = undefined
  }

  async #follow(watch: NonNullable<ProgramConfiguration['watch']>, cwd: string, name: string): Promise<void> {
    const { FileWatch } = await import('./index.ts')
    // It may have changed meanwhile.
    if (this.#wanted !== watch || this.#watch?.serves(watch, cwd) === true) return
    this.#watch?.end()
    this.#watch = new FileWatch(watch, cwd, {
      apart: this.#around.apart,
      changed: (what) => {
        this.#suspect(name, what)
        this.#around.changed(what)
      },
      cannotSee: (problem) => this.#around.warn(`${name}: ${problem}`),
    })
    await this.#watch.known
  }

  /** A program that writes what it watches would be restarted for ever, and nobody would know why. */
  #suspect(name: string, what: string): void {
    const uptimeMs = this.#around.uptimeMs()
    const isSoon = uptimeMs !== undefined && uptimeMs < soonMs
    this.#changesInRow = isSoon ? this.#changesInRow + 1 : 0
    if (this.#changesInRow !== suspiciousChanges) return
    this.#around.warn(
      `${name} was restarted ${suspiciousChanges} times in a row within ${soonMs / 1000} s of its start: ${what}; if ${name} writes that file itself, put it into watch.ignore`,
    )
  }
}
