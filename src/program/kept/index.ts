/**
 * kept/: what lets a program outlive its monitor (`keep: true`).
 *
 *   program -> program_NAME.stdout, .stderr -> `Spool` (one each) -> `SpooledOutput` -> `ProgramOutput`, as if they were pipes
 *   `PositionFile`: how far that was read, written before every chunk is kept: the next monitor repeats no line and misses none
 *   `KeptRecordFile`: which process it is and what it was started with, so that the next monitor takes it for its own
 *   program_NAME.stdin: a named pipe; its other end is the program's, so that its input has no end when the monitor has
 *
 * The program appends to its files and never waits; only a monitor frees what it has read. While none runs nothing bounds them but the disk.
 */
import { closeSync, existsSync } from 'node:fs'
import path from 'node:path'
import type { Writable } from 'node:stream'
import { removeQuietly } from '../../os/atomic-file.ts'
import { errorText } from '../../os/failure.ts'
import { beginNamedPipe, openNamedPipe } from '../../os/named-pipes.ts'
import { fileNames } from '../../record/state-directory.ts'
import type { ProgramOutput } from '../output/index.ts'
import { SpooledOutput } from './spooled-output.ts'

export { fingerprintOf, type KeptRecord, KeptRecordFile } from './record.ts'

/** A kept program has nowhere to write to. */
export class KeptOutputError extends Error {}

/** What a kept program is started with, in the place of pipes. */
export interface KeptChannels {
  readonly output: readonly [number, number]
  /** Undefined = it takes no input. */
  readonly input: number | undefined
  /** The program has its own descriptors by now. */
  passedOn(): void
}

/** The channels between a kept program and whoever is its monitor. */
export class KeptProgram {
  readonly #directory: string
  readonly #name: string
  readonly #output: ProgramOutput
  #spooled: SpooledOutput | undefined

  constructor(directory: string, name: string, output: ProgramOutput) {
    this.#directory = directory
    this.#name = name
    this.#output = output
  }

  /**
   * Reads what the program prints, from where reading has stopped. Does nothing when it does so already.
   * @param keptBytes bytes that are kept of all it prints. Of each stream a third of that is worth reading after a time in which nobody did:
   *   with more, what was noted of the loss would make room, too.
   * @param pid as in {@link SpooledOutput}.
   * @throws the system's error.
   */
  read(keptBytes: number, pid?: number): SpooledOutput {
    const most = Math.floor(keptBytes / 3)
    this.#spooled ??= new SpooledOutput(this.#directory, this.#name, this.#output, most, pid)
    return this.#spooled
  }

  /** What is read now; undefined = nothing. */
  get reading(): SpooledOutput | undefined {
    return this.#spooled
  }

  /** There is something to read that another start, or another monitor, has left. */
  get isThere(): boolean {
    return existsSync(path.join(this.#directory, fileNames.keptPosition(this.#name)))
  }

  /** Nothing of it is kept any more: all of it was read. */
  remove(): void {
    this.close()
    const { keptPosition, keptStream } = fileNames
    for (const file of [
      keptPosition(this.#name),
      keptStream(this.#name, 'stdout'),
      keptStream(this.#name, 'stderr'),
    ])
      removeQuietly(path.join(this.#directory, file))
    removeQuietly(this.#inputFile)
  }

  /** For a start. @throws KeptOutputError with the reason. */
  begin(keptBytes: number, takesInput: boolean): KeptChannels {
    try {
      return this.#begin(keptBytes, takesInput)
    } catch (error) {
      throw new KeptOutputError(`the files for what it prints cannot be made: ${errorText(error)}`)
    }
  }

  #begin(keptBytes: number, takesInput: boolean): KeptChannels {
    const spooled = this.read(keptBytes)
    spooled.tidy()
    const input = takesInput ? beginNamedPipe(this.#inputFile) : undefined
    return {
      output: spooled.descriptors,
      input,
      passedOn: () => {
        if (input !== undefined) closeSync(input)
      },
    }
  }

  /** The program's stdin. Undefined = it takes none, or has closed it. */
  openInput(): Writable | undefined {
    return openNamedPipe(this.#inputFile)
  }

  /** Lets go of its channels; the program keeps them. */
  close(): void {
    this.#spooled?.close()
    this.#spooled = undefined
  }

  get #inputFile(): string {
    return path.join(this.#directory, fileNames.keptInput(this.#name))
  }
}
