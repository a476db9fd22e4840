import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import type { Watched } from './watched.ts'

/** Debian's faketime: the clock of the programs that it is loaded into can be set while they run, and no other's. */
export const clockLibrary = findLibrary()

/** The wall clock of programs started with `environment`. */
export class SettableClock {
  readonly environment: NodeJS.ProcessEnv
  readonly #file: string

  constructor(watched: Watched) {
    this.#file = watched.file('clock')
    this.environment = {
      LD_PRELOAD: clockLibrary,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1',
      // Setting a clock does not touch the monotonic one, nor the times of files.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    }
    this.set(0)
  }

  set(offsetSeconds: number): void {
    writeFileSync(`${this.#file}.new`, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}\n`)
    renameSync(`${this.#file}.new`, this.#file)
  }
}

function findLibrary(): string | undefined {
  const folders = readdirSync('/usr/lib').map((name) => `/usr/lib/${name}/faketime/libfaketimeMT.so.1`)
  return folders.find((file) => existsSync(file))
}
