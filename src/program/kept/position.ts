import { closeSync, constants, existsSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import { shapeOf } from '../../record/shapes/index.ts'
import { number, object, oneOf } from '../../record/shapes/kinds.ts'

/** How far the output of a kept program was read, as it was just before the lines of the last chunk were kept. */
export interface Position {
  /** Bytes of each file up to the first line that was not read whole. */
  readonly stdout: number
  readonly stderr: number
  /** The number that the next line gets. Lines from it on that are kept all the same are of that last chunk. */
  readonly next: number
  /** The stream of that chunk. */
  readonly stream: 'stdout' | 'stderr'
}

const position = shapeOf<Position>()(
  object({ stdout: number, stderr: number, next: number, stream: oneOf(['stdout', 'stderr'], 'stdout') }),
)

/** Bytes of the file: one write(2) replaces it whole, which a kill does not cut in two. */
const length = 128

/** The file that says how far the output of a program was read. Written before every chunk is kept: a few µs. */
export class PositionFile {
  readonly #file: string
  #descriptor: number
  #last: Position | undefined

  /** @throws the system's error. */
  constructor(file: string) {
    this.#file = file
    this.#descriptor = openPosition(file)
  }

  /** Undefined = there is none, or it cannot be read. */
  read(): Position | undefined {
    const bytes = Buffer.alloc(length)
    try {
      readSync(this.#descriptor, bytes, 0, length, 0)
      return position.read(JSON.parse(bytes.toString('utf8').replaceAll('\0', '')))
    } catch {
      return undefined
    }
  }

  /** A disk that does not take it makes the next monitor read some lines twice. */
  write(now: Position): void {
    this.#last = now
    try {
      writeSync(
        this.#descriptor,
        JSON.stringify(now)
          .padEnd(length - 1)
          .concat('\n'),
        0,
      )
    } catch {
      // As said.
    }
  }

  /** Writes it again when somebody has removed it. @throws the system's error. */
  keep(): void {
    if (this.#last === undefined || existsSync(this.#file)) return
    closeSync(this.#descriptor)
    // A monitor that is killed in between must not leave one without a position.
    const written = `${this.#file}.new`
    this.#descriptor = openPosition(written)
    this.write(this.#last)
    renameSync(written, this.#file)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

function openPosition(file: string): number {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants
  return openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600)
}
