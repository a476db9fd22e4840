import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { ProgramConfiguration } from '../../config/program-configuration.ts'
import { removeQuietly, writeFileAtomically } from '../../os/atomic-file.ts'
import { readRegularFile } from '../../os/regular-file.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import { shapeOf } from '../../record/shapes/index.ts'
import { flag, number, object, text } from '../../record/shapes/kinds.ts'
import { processIdentity } from '../../record/shapes/process-identity.ts'
import { fileNames } from '../../record/state-directory.ts'

/** What the next monitor must know of a kept program that runs. */
export interface KeptRecord {
  readonly identity: ProcessIdentity
  /** Monotonic ms at which it was started. */
  readonly since: number
  /** False = it was still starting. */
  readonly isReady: boolean
  /** What it was started with, as {@link fingerprintOf} tells it. */
  readonly fingerprint: string
}

const keptRecord = shapeOf<KeptRecord>()(
  object({ identity: processIdentity, since: number, isReady: flag, fingerprint: text }),
)

/** The file that names the process of a kept program. */
export class KeptRecordFile {
  readonly #file: string

  constructor(directory: string, name: string) {
    this.#file = path.join(directory, fileNames.keptProgram(name))
  }

  /** Undefined = there is none, or it cannot be read. */
  read(): KeptRecord | undefined {
    try {
      return keptRecord.read(JSON.parse(readRegularFile(this.#file)))
    } catch {
      return undefined
    }
  }

  get isThere(): boolean {
    return existsSync(this.#file)
  }

  /** @throws the system's error. */
  write(record: KeptRecord): void {
    writeFileAtomically(this.#file, `${JSON.stringify(record)}\n`, false)
  }

  remove(): void {
    removeQuietly(this.#file)
  }
}

/**
 * Tells configurations apart of which a running process can have only one: two that are the same ask for no restart. A digest, because variables
 * may be secrets.
 */
export function fingerprintOf(configuration: ProgramConfiguration): string {
  const { command, cwd, env, envFile, passEnv, input, keep, sockets, pty, user, group, limits } =
    configuration
  const variables = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))
  const parts = {
    command,
    cwd,
    variables,
    envFile,
    passEnv,
    takesInput: input !== undefined,
    keep,
    sockets,
    hasTerminal: pty !== undefined,
    user,
    group,
    openFiles: limits.openFiles,
  }
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}
