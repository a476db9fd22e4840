import { closeSync, constants, fchownSync, openSync, readSync } from 'node:fs'
import { Socket, type SocketConstructorOpts } from 'node:net'
import type { Readable } from 'node:stream'
import { monotonicMs } from './clock.ts'
import { withNamedPipes } from './pipe-names.ts'

/** Pipes that a child writes to and this process reads. */
export interface Pipes {
  /** The descriptors for the child's stdio; `passedOn` closes them here. */
  readonly write: readonly number[]
  passedOn(): void
  /**
   * One for each; ends when nobody can write to it any more. Where a buffer was given, chunks lie in it: one is valid until the listener of
   * `data` returns, because the next one, of any pipe, comes in its place.
   */
  readonly read: readonly Readable[]
  /** Closes what would have been read: there is no child. */
  unread(): void
}

/**
 * Makes pipes as a shell does. What Node calls a pipe is a pair of sockets (libuv, uv_spawn), and open(2) refuses those: a child that
 * writes to `/dev/stdout` or `/dev/stderr`, as shell scripts and the images of nginx do, would fail with ENXIO. Node cannot make a pipe, but
 * reads one: these are named ones (fifo(7)) whose names are gone before the child starts.
 *
 * @param into a buffer that everything is read to, which saves one for each chunk, and its collection. What prints many small pieces is then
 * read a thousand times a second at most: a turn of the event loop for each piece costs more than all that is done with it.
 * @param owner who may open them again by `/dev/stdout`; missing = this user.
 * @returns undefined when the system makes none: no temporary folder, no descriptors, no mkfifo(1).
 */
export function openPipes(
  count: number,
  into?: Buffer,
  owner?: { readonly uid: number; readonly gid: number },
): Pipes | undefined {
  const open: number[] = []
  const opened = (flags: number) => (name: string) => {
    const descriptor = openSync(name, flags)
    open.push(descriptor)
    return descriptor
  }
  try {
    const { reading, write } = withNamedPipes(count, (names) => ({
      // A reader that does not wait for the writer comes first, or each would wait for the other.
      reading: names.map(opened(constants.O_RDONLY | constants.O_NONBLOCK)),
      write: names.map(opened(constants.O_WRONLY)),
    }))
    if (owner !== undefined) for (const fd of write) fchownSync(fd, owner.uid, owner.gid)
    const read =
      into === undefined
        ? reading.map((fd) => new Socket({ fd, readable: true, writable: false }))
        : new Readers(into, reading).streams
    return {
      write,
      read,
      passedOn: () => write.forEach((fd) => void closeSync(fd)),
      unread: () => read.forEach((stream) => void stream.destroy()),
    }
  } catch {
    for (const descriptor of open) closeSync(descriptor)
    return undefined
  }
}

/** A chunk of fewer bytes that comes within so many ms of the one before is followed by a pause of so long. */
const smallBytes = 32_768
const pauseMs = 1

/** Reads pipes of one process into one buffer. */
class Readers {
  readonly #buffer: Buffer
  readonly #all: Reader[]

  constructor(buffer: Buffer, descriptors: readonly number[]) {
    this.#buffer = buffer
    this.#all = descriptors.map((fd) => this.#open(fd))
  }

  get streams(): readonly Readable[] {
    return this.#all.map(({ socket }) => socket)
  }

  #open(fd: number): Reader {
    const callback = (length: number): boolean => {
      const chunk = this.#buffer.subarray(0, length)
      const before = this.#all.filter((other) => other !== reader && other.isPaused)
      if (before.length === 0) socket.emit('data', chunk)
      else {
        // What waits in another pipe was written first.
        const copy = Buffer.from(chunk)
        for (const other of before) this.#drain(other)
        socket.emit('data', copy)
      }
      if (length >= smallBytes) return true
      const now = monotonicMs()
      reader.isPaused = now - reader.last < 2 * pauseMs
      reader.last = now
      if (reader.isPaused) setTimeout(() => this.#resume(reader), pauseMs)
      return !reader.isPaused
    }
    const options = {
      ...{ fd, readable: true, writable: false, manualStart: true },
      onread: { buffer: this.#buffer, callback },
    }
    // Its types know `onread` for connections alone.
    const socket = new Socket(options as SocketConstructorOpts)
    const reader: Reader = { fd, socket, last: Number.NEGATIVE_INFINITY, isPaused: false }
    return reader
  }

  #resume(reader: Reader): void {
    reader.isPaused = false
    if (!reader.socket.destroyed) reader.socket.resume()
  }

  /** Reads what a pipe holds at this moment. */
  #drain({ fd, socket }: Reader): void {
    if (socket.destroyed) return
    try {
      const length = readSync(fd, this.#buffer)
      if (length > 0) socket.emit('data', this.#buffer.subarray(0, length))
    } catch {
      // It is empty, or broken: the stream says so.
    }
  }
}

interface Reader {
  readonly fd: number
  readonly socket: Socket
  /** When its last small chunk came, ms. */
  last: number
  isPaused: boolean
}
