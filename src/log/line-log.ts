import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  statSync,
} from 'node:fs'
import path from 'node:path'
import { removeQuietly, writeAll } from '../os/atomic-file.ts'
import { errorCode, errorText } from '../os/failure.ts'
import { openForAppending, openRegularFile } from '../os/regular-file.ts'

export interface LogLimits {
  /** Bytes after which a new file is begun. 0 = never. */
  readonly maxBytes: number
  /** How many full files are kept beside the current one, as NAME.1 (newest), NAME.2, … 0 = none. */
  readonly keep: number
  /** Pack full files but the newest, which a follower may still be reading: NAME.2.gz, … Done beside the work, not in its way. */
  readonly compress: boolean
  /** Lines that are kept in memory while they cannot be written, and written first when they can. 0 = none; they count as lost. */
  readonly remembered?: number
  /** Checks the folder before a file is begun in it, and throws when somebody else has put it there. Left out = any folder will do. */
  readonly demandDirectory?: (directory: string) => void
}

/** ms between two looks, while lines are written, at whether the name still leads to the open file. */
const lookAgainMs = 1000

/** Bytes of the lines that are kept in memory, whatever their number. */
const rememberedBytes = 1024 * 1024

export const defaultLogLimits: LogLimits = { maxBytes: 5 * 1024 * 1024, keep: 5, compress: true }

/** The line that tells of lines that could not be written; null = none does. */
type LossLine = ((lost: number) => string) | null

const lossForPeople: LossLine = (lost) => `(${lost} lines lost: the log could not be written)`

/**
 * A log file that is appended to line by line. Each line is written by one write(2) to a descriptor opened for appending
 * before `write` returns, so the last line before a crash is there and lines of several writers never mix. Rotation renames
 * and begins anew: no line is lost or cut. A full or read-only disk never stops the caller: lines are counted as lost and
 * the loss is told by the first line that can be written again. A file that was removed, or got another name, is let go of and begun anew.
 */
export class LineLog {
  readonly #file: string
  readonly #limits: LogLimits
  readonly #lossLine: LossLine
  #descriptor: number | undefined
  #bytes = 0
  /** Size at which the next rotation is tried. */
  #rotateAt: number
  #lost = 0
  #backlog: string[] = []
  #backlogBytes = 0
  /** It was removed, or got another name, and is to be begun anew even before there is a line to write. */
  #isDue = false
  #lookedAt = 0
  #packing: Promise<void> | undefined
  #problem: string | undefined

  constructor(file: string, limits: LogLimits = defaultLogLimits, lossLine: LossLine = lossForPeople) {
    this.#file = file
    this.#limits = limits
    this.#lossLine = lossLine
    this.#rotateAt = limits.maxBytes
  }

  /** @returns true when the line is written, or kept until it can be. */
  write(line: string): boolean {
    try {
      this.#writeBacklog()
      this.#append(line)
      this.#problem = undefined
      return true
    } catch (error) {
      this.#problem = errorText(error)
      this.close()
      return this.#remember(line)
    }
  }

  /** Why the file could not be opened or written when that was last tried, in words; undefined when it could. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Opens the file, or writes what waits, before there is a line: so that `problem` tells how things are. */
  tryNow(): void {
    if (this.#lost > 0 || this.#backlog.length > 0) return void this.flush()
    try {
      this.#open()
      this.#problem = undefined
    } catch (error) {
      this.#problem = errorText(error)
    }
  }

  /**
   * Looks whether the name still leads to the open file; a file that was removed or got another name is let go of and begun anew. Writes
   * what could not be written before.
   * @returns true when it was begun anew.
   */
  look(): boolean {
    if (this.#descriptor !== undefined && !isSameFile(this.#descriptor, this.#file)) {
      this.close()
      this.#isDue = true
    }
    const isDue = this.#isDue
    try {
      if (isDue) this.#open()
    } catch {
      return false
    }
    this.flush()
    return isDue
  }

  /** @returns true when no line waits in memory any more, and none was lost that nobody has told of. */
  flush(): boolean {
    if (this.#lost === 0 && this.#backlog.length === 0) return true
    try {
      this.#writeBacklog()
      this.#problem = undefined
      return true
    } catch (error) {
      this.#problem = errorText(error)
      this.close()
      return false
    }
  }

  /** Lets go of the file; the next line opens it by its name. For who has given it another name on purpose (logrotate). */
  reopen(): void {
    this.close()
  }

  close(): void {
    const descriptor = this.#descriptor
    this.#descriptor = undefined
    if (descriptor === undefined) return
    try {
      closeSync(descriptor)
    } catch {
      // The system may tell of an earlier failure here; the lines concerned are counted already.
    }
  }

  /** Resolves when no full file is being packed. */
  async settled(): Promise<void> {
    await this.#packing
  }

  #append(line: string): void {
    const bytes = Buffer.from(`${line}\n`)
    this.#lookAgain()
    this.#open()
    if (this.#limits.maxBytes > 0 && this.#bytes > 0 && this.#bytes + bytes.length > this.#rotateAt) {
      this.#rotate()
    }
    writeAll(this.#open(), bytes)
    this.#bytes += bytes.length
  }

  /** Throws when not all of it can be written; what is written is forgotten. */
  #writeBacklog(): void {
    if (this.#lost > 0 && this.#lossLine !== null) this.#append(this.#lossLine(this.#lost))
    this.#lost = 0
    if (this.#backlog.length === 0) return
    let written = 0
    try {
      for (const line of this.#backlog) {
        this.#append(line)
        written++
      }
    } finally {
      this.#backlog = this.#backlog.slice(written)
      this.#backlogBytes = this.#backlog.reduce((sum, line) => sum + line.length, 0)
    }
  }

  /** The newest lines are kept; what there is no room for is counted. */
  #remember(line: string): boolean {
    const { remembered = 0 } = this.#limits
    if (remembered === 0) {
      this.#lost++
      return false
    }
    this.#backlog.push(line)
    this.#backlogBytes += line.length
    while (this.#backlog.length > remembered || this.#backlogBytes > rememberedBytes) {
      this.#backlogBytes -= this.#backlog.shift()?.length ?? 0
      this.#lost++
    }
    return this.#lost === 0
  }

  /** Others may have written to the file, removed it, or given it another name. */
  #lookAgain(): void {
    const now = performance.now()
    if (this.#descriptor === undefined || now - this.#lookedAt < lookAgainMs) return
    this.#lookedAt = now
    if (isSameFile(this.#descriptor, this.#file)) {
      this.#bytes = fstatSync(this.#descriptor).size
      return
    }
    this.close()
    this.#isDue = true
  }

  /** What a crash or a full disk cut off in the middle is ended first, so that it spoils no other line. */
  #open(): number {
    if (this.#descriptor !== undefined) return this.#descriptor
    this.#limits.demandDirectory?.(path.dirname(this.#file))
    const descriptor = openForAppending(this.#file)
    this.#descriptor = descriptor
    this.#isDue = false
    this.#bytes = fstatSync(descriptor).size
    if (!endsWithNewline(descriptor, this.#bytes)) {
      writeAll(descriptor, Buffer.from('\n'))
      this.#bytes++
    }
    return descriptor
  }

  /** A file that cannot be renamed is written on beyond its size: better too long a log than none. */
  #rotate(): void {
    const { keep, maxBytes, compress } = this.#limits
    try {
      oneAtATime(`${this.#file}.rotating`, () => {
        // Renamed only if it is still ours: a second writer, such as a forwarder that ends while its successor begins, may have been first.
        if (isSameFile(this.#open(), this.#file)) shift(this.#file, keep)
      })
      this.close()
      this.#open()
      this.#rotateAt = maxBytes
    } catch {
      this.#rotateAt = this.#bytes + Math.ceil(maxBytes / 10)
    }
    if (compress && this.#packing === undefined) {
      this.#packing = packFullFiles(this.#file, keep).finally(() => {
        this.#packing = undefined
      })
    }
  }
}

function endsWithNewline(descriptor: number, size: number): boolean {
  if (size === 0) return true
  const last = Buffer.alloc(1)
  return readSync(descriptor, last, 0, 1, size - 1) === 0 || last[0] === 10
}

/** True when a descriptor is open on this very file: as under a monitor, which hands a log over as stdout and stderr. */
export function isSameFile(descriptor: number, file: string): boolean {
  try {
    const opened = fstatSync(descriptor)
    const named = statSync(file)
    return opened.ino === named.ino && opened.dev === named.dev
  } catch {
    return false
  }
}

/** ms after which a file that says that somebody rotates was left behind by a process that died over it. */
const rotatingTakesMs = 10_000

/** @throws when another process is at it. */
function oneAtATime(lock: string, work: () => void): void {
  removeLeftBehind(lock, rotatingTakesMs)
  closeSync(openSync(lock, 'wx', 0o600))
  try {
    work()
  } finally {
    removeQuietly(lock)
  }
}

/** Gives each file the next number, up to the first that is free; what would get one beyond `keep` falls out. */
function shift(file: string, keep: number): void {
  if (keep === 0) return removeQuietly(file)
  let last = 1
  while (last < keep && (existsSync(`${file}.${last}`) || existsSync(`${file}.${last}.gz`))) last++
  removeQuietly(`${file}.${last}`)
  removeQuietly(`${file}.${last}.gz`)
  for (let number = last; number >= 1; number--) {
    const newer = number === 1 ? file : `${file}.${number - 1}`
    renameIfThere(newer, `${file}.${number}`)
    renameIfThere(`${newer}.gz`, `${file}.${number}.gz`)
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}

/** Packs every full file but the newest. Never fails: what cannot be packed stays as it is. */
async function packFullFiles(file: string, keep: number): Promise<void> {
  for (let number = 2; number <= keep; number++) {
    try {
      await pack(file, number, keep)
    } catch {
      // No room for the packed one, or it was rotated away: tried again after the next rotation.
    }
  }
}

async function pack(file: string, number: number, keep: number): Promise<void> {
  const descriptor = openIfThere(`${file}.${number}`)
  if (descriptor === undefined) return
  try {
    // What this process has as stdout or stderr may still receive the last words of a crash.
    if ([1, 2].some((own) => isSameInode(own, descriptor))) return
    const packed = await packedTo(descriptor, `${file}.packing`)
    // It may have been given the next number meanwhile.
    for (let now = number; now <= keep; now++) {
      if (!isSameFile(descriptor, `${file}.${now}`)) continue
      renameSync(packed, `${file}.${now}.gz`)
      removeQuietly(`${file}.${now}`)
      return
    }
    removeQuietly(packed)
  } finally {
    closeSync(descriptor)
  }
}

/** ms after which a file that is being packed was left behind by a process that died over it. */
const packingTakesMs = 60_000

/** One process packs at a time: the other finds the file there and leaves the work to it. */
async function packedTo(descriptor: number, file: string): Promise<string> {
  removeLeftBehind(file, packingTakesMs)
  const target = openSync(file, 'wx', 0o600)
  try {
    const { createGzip } = await import('node:zlib')
    const { pipeline } = await import('node:stream/promises')
    const source = createReadStream('', { fd: descriptor, autoClose: false })
    await pipeline(source, createGzip(), createWriteStream('', { fd: target, flush: true }))
    return file
  } catch (error) {
    removeQuietly(file)
    throw error
  }
}

/** One that is not there is left alone: it may be another's in the next moment. */
function removeLeftBehind(file: string, takesMs: number): void {
  const madeAt = statSync(file, { throwIfNoEntry: false })?.mtimeMs
  if (madeAt !== undefined && Date.now() - madeAt > takesMs) removeQuietly(file)
}

function openIfThere(file: string): number | undefined {
  try {
    return openRegularFile(file)
  } catch {
    return undefined
  }
}

function isSameInode(one: number, other: number): boolean {
  try {
    const [a, b] = [fstatSync(one), fstatSync(other)]
    return a.ino === b.ino && a.dev === b.dev
  } catch {
    return false
  }
}
