import path from 'node:path'
import { errorText } from '../../os/failure.ts'
import { fileNames } from '../../record/state-directory.ts'
import type { ProgramOutput } from '../output/index.ts'
import { PositionFile } from './position.ts'
import { Spool } from './spool.ts'

/** ms between two looks at a file whose growth the system tells, does not tell, and after which growth is looked at again at once. */
const lookEveryMs = 1000
const lookOftenEveryMs = 100
const restMs = 10

/** Chunks of a stream that are read before other work gets its turn. */
const chunksInTurn = 8

type Stream = 'stdout' | 'stderr'

/**
 * What a kept program prints, over all its starts: it writes to two files, and this reads them into its lines. Where reading has come is written
 * down, so that the next monitor goes on there.
 */
export class SpooledOutput {
  readonly #output: ProgramOutput
  readonly #position: PositionFile
  readonly #spools: Readonly<Record<Stream, Spool>>
  readonly #timer: NodeJS.Timeout
  #turn: NodeJS.Timeout | undefined
  #readAt = Number.NEGATIVE_INFINITY
  #isClosed = false
  /** Something was read since the last rest. */
  #isNews = false
  #problem: string | undefined
  #onRead: { readonly upTo: Readonly<Record<Stream, number>>; readonly done: () => void }[] = []

  /**
   * Opens the files of a program, or makes them, and goes on reading where somebody else has stopped.
   * @param most bytes of each stream that are worth reading after a time in which nobody did.
   * @param pid of its process, when it runs already.
   * @throws the system's error.
   */
  constructor(directory: string, name: string, output: ProgramOutput, most: number, pid?: number) {
    this.#output = output
    const open = (stream: Stream, descriptor: number) => {
      const file = path.join(directory, fileNames.keptStream(name, stream))
      const held = pid === undefined ? undefined : `/proc/${pid}/fd/${descriptor}`
      return new Spool(file, { sink: output.openStream(stream), room: output.room, held })
    }
    this.#position = new PositionFile(path.join(directory, fileNames.keptPosition(name)))
    this.#spools = { stdout: open('stdout', 1), stderr: open('stderr', 2) }
    this.#goOn(most)
    const isTold = [this.#spools.stdout, this.#spools.stderr].map((spool) => spool.watch(() => this.#wake()))
    const everyMs = isTold.every(Boolean) ? lookEveryMs : lookOftenEveryMs
    this.#timer = setInterval(() => this.#rest(), everyMs).unref()
    this.#wake()
  }

  /** What the program writes stdout and stderr to. */
  get descriptors(): readonly [number, number] {
    return [this.#spools.stdout.descriptor, this.#spools.stderr.descriptor]
  }

  /** Before a start: files of which all was read begin anew. */
  tidy(): void {
    for (const spool of Object.values(this.#spools)) if (spool.isRead) spool.empty()
    this.#note('stdout')
  }

  /** Resolves when all that is there by now is read: the last words of a process that has ended. */
  read(): Promise<void> {
    const upTo = { stdout: this.#spools.stdout.size, stderr: this.#spools.stderr.size }
    const done = new Promise<void>((resolve) => this.#onRead.push({ upTo, done: resolve }))
    this.#wake()
    return done
  }

  /** The process has ended: a line without an end is one, too. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      this.#note(stream)
      this.#spools[stream].end()
    }
    this.#note('stdout')
  }

  /** Writes again what somebody has removed. @throws the system's error. */
  keep(): void {
    this.#position.keep()
  }

  /** Stops reading; the program goes on writing. */
  close(): void {
    this.#take()
    this.#note('stdout')
    this.#isClosed = true
    clearInterval(this.#timer)
    clearTimeout(this.#turn)
    this.#position.close()
    for (const spool of Object.values(this.#spools)) spool.close()
    for (const { done } of this.#onRead.splice(0)) done()
  }

  #goOn(most: number): void {
    const position = this.#position.read()
    if (position !== undefined) this.#output.continueAt(position.next)
    const known = position === undefined ? 0 : this.#output.printedSince(position.next)
    let lost = 0
    for (const stream of ['stdout', 'stderr'] as const) {
      const from = position?.[stream]
      lost += this.#spools[stream].continueAt(from, position?.stream === stream ? known : 0, most)
    }
    if (lost > 0)
      this.#output.note(
        `${lost} bytes that it printed while no monitor ran are lost: the monitor keeps only the newest`,
      )
  }

  /** What the last chunks held is written down as read, and its room freed, when nothing comes after them. */
  #rest(): void {
    const { stdout, stderr } = this.#spools
    if ((this.#isNews || stdout.hasToFree || stderr.hasToFree) && this.#turn === undefined)
      this.#note('stdout')
    this.#isNews = false
    this.#wake()
  }

  /** At once when nothing was read lately; else a moment later, so that many small writes are read together. */
  #wake(): void {
    if (this.#turn !== undefined || this.#isClosed) return
    const wait = performance.now() - this.#readAt >= restMs || this.#onRead.length > 0 ? 0 : restMs
    this.#turn = setTimeout(() => this.#take(), wait)
    this.#turn.unref()
  }

  #take(): void {
    this.#turn = undefined
    if (this.#isClosed) return
    let isMore = false
    try {
      for (const stream of ['stdout', 'stderr'] as const) isMore = this.#readSome(stream) || isMore
    } catch (error) {
      this.#fail(errorText(error))
    }
    this.#readAt = performance.now()
    this.#tellRead()
    if (isMore) this.#turn = setTimeout(() => this.#take(), 0).unref()
  }

  /** @returns whether there is more. */
  #readSome(stream: Stream): boolean {
    const spool = this.#spools[stream]
    for (let chunk = 0; chunk < chunksInTurn; chunk++) {
      const came = spool.read(() => this.#note(stream))
      if (came === 'cut') {
        this.#output.note(
          `it has emptied its ${stream} itself: what the monitor had not read by then is lost`,
        )
        continue
      }
      this.#isNews ||= came === 'more'
      if (came === 'more') continue
      return false
    }
    return true
  }

  /** A disk that fails is told once; it is tried again. */
  #fail(problem: string): void {
    if (this.#problem === problem) return
    this.#problem = problem
    this.#output.note(`what it prints cannot be read: ${problem}`)
  }

  /** Writes down how far it was read, and frees the room of what is behind that. */
  #note(stream: Stream): void {
    const { stdout, stderr } = this.#spools
    const now = { stdout: stdout.committed, stderr: stderr.committed, next: this.#output.next, stream }
    this.#position.write(now)
    void stdout.free(now.stdout)
    void stderr.free(now.stderr)
  }

  #tellRead(): void {
    const { stdout, stderr } = this.#spools
    this.#onRead = this.#onRead.filter(({ upTo, done }) => {
      const isRead = stdout.hasRead(upTo.stdout) && stderr.hasRead(upTo.stderr)
      if (isRead) done()
      return !isRead
    })
  }
}
