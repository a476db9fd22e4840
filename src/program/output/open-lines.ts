import { existsSync } from 'node:fs'
import path from 'node:path'
import { removeQuietly, writeFileAtomically } from '../../os/atomic-file.ts'
import { readRegularFile } from '../../os/regular-file.ts'
import { fileNames } from '../../record/state-directory.ts'

/** A line without an end that was shown, as it is kept until it has one: a monitor that is killed takes no last question with it. */
export interface OpenLine {
  readonly stream: 'stdout' | 'stderr'
  /** Wall-clock ms at which it was shown. */
  readonly at: number
  readonly text: string
}

const streams = ['stdout', 'stderr'] as const

/** The lines without an end of one program, a file for each stream that has one. */
export class OpenLines {
  readonly #file: (stream: OpenLine['stream']) => string

  constructor(directory: string, name: string) {
    this.#file = (stream) => path.join(directory, fileNames.programOpenLine(name, stream))
  }

  /** One that the disk does not take is not kept. */
  keep(line: OpenLine): void {
    try {
      writeFileAtomically(this.#file(line.stream), JSON.stringify(line), false)
    } catch {
      // It is shown all the same, and kept as soon as it ends.
    }
  }

  forget(stream: OpenLine['stream']): void {
    removeQuietly(this.#file(stream))
  }

  /** Those that a monitor before this one has left, oldest first. They are kept no more. */
  take(): readonly OpenLine[] {
    const left = streams.flatMap((stream) => {
      const file = this.#file(stream)
      const found = existsSync(file) ? readLine(file, stream) : undefined
      if (found !== undefined) this.forget(stream)
      return found ?? []
    })
    return left.sort((one, other) => one.at - other.at)
  }
}

function readLine(file: string, stream: OpenLine['stream']): OpenLine | undefined {
  try {
    const { at, text } = JSON.parse(readRegularFile(file)) as Partial<OpenLine>
    return typeof at === 'number' && typeof text === 'string' ? { stream, at, text } : undefined
  } catch {
    return undefined
  }
}
