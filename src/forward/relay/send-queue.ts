import { closeSync, openSync, readlinkSync, readSync } from 'node:fs'

/**
 * Calls back once the peer has acknowledged all that was written to a socket, or when that cannot be known. A reset
 * throws away what the kernel still has to send (megabytes, when the peer reads slowly), and there is no call in Node
 * that tells how much that is, so this reads the kernel's socket table. One scan serves everybody who waits, and
 * scans become rarer the longer the last one has to wait. Where there is no such table it calls back at once.
 *
 * The callback comes later than this function's return, and also when the socket was closed meanwhile.
 */
export function whenAcknowledged(
  descriptor: number | undefined,
  isClosed: () => boolean,
  then: () => void,
): void {
  const inode = descriptor === undefined ? undefined : socketInode(descriptor)
  if (inode === undefined) {
    queueMicrotask(then)
    return
  }
  waiting.add({ isClosed, inode, then, missed: 0 })
  delay = SHORTEST_DELAY_MS
  if (scan === undefined) schedule(0)
}

interface Waiting {
  readonly isClosed: () => boolean
  readonly inode: string
  readonly then: () => void
  /** Scans in a row that did not find it. */
  missed: number
}

const SHORTEST_DELAY_MS = 2
const LONGEST_DELAY_MS = 500

/**
 * A busy machine's table is long, and the kernel takes 40 us for each page of it: 100 ms for 40,000 sockets. So it is read in slices of
 * this many ms, ...
 */
const SLICE_MS = 1
/** ... that take this part of the time, ... */
const SHARE = 0.1
/** ... unless a slice only took that long because the process was not running. */
const LONGEST_REST_MS = 50

const waiting = new Set<Waiting>()
let delay = SHORTEST_DELAY_MS
let notBefore = 0
let timer: NodeJS.Timeout | undefined
/** The one that is under way. */
let scan: Scan | undefined

function schedule(wait: number): void {
  clearTimeout(timer)
  timer = setTimeout(goOn, Math.max(wait, notBefore - performance.now()))
}

function goOn(): void {
  scan ??= new Scan([...waiting])
  const before = performance.now()
  const isOver = scan.read(before + SLICE_MS)
  const now = performance.now()
  notBefore = now + Math.min((now - before) / SHARE, LONGEST_REST_MS)
  if (!isOver) return schedule(0)
  const done = scan.conclude()
  scan = undefined
  for (const entry of done) {
    waiting.delete(entry)
    entry.then()
  }
  if (waiting.size === 0) return
  schedule(delay)
  delay = Math.min(delay * 2, LONGEST_DELAY_MS)
}

function socketInode(descriptor: number): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[1]
  } catch {
    return undefined
  }
}

const socketTables = ['/proc/self/net/tcp', '/proc/self/net/tcp6']

/** One way through the tables, for all who waited when it began. */
class Scan {
  readonly #asked: readonly Waiting[]
  /** By inode, in bytes; undefined = not found yet. */
  readonly #unacknowledged: Map<string, number | undefined>
  readonly #unread = [...socketTables]
  #table: SocketTable | undefined
  #slices = 0

  constructor(asked: readonly Waiting[]) {
    this.#asked = asked
    this.#unacknowledged = new Map(asked.map(({ inode }) => [inode, undefined]))
  }

  /** @returns true when it is over; false when `deadline`, in ms of `performance.now()`, came first. */
  read(deadline: number): boolean {
    this.#slices += 1
    for (;;) {
      if (this.#table === undefined) {
        const path = this.#unread.shift()
        if (path === undefined) return true
        this.#table = openTable(path)
      } else if (!this.#table.read(this.#unacknowledged)) {
        this.#table = undefined
      } else if (performance.now() >= deadline) {
        return false
      }
    }
  }

  /**
   * For when it is over: who need not wait any more. What is not in the table has no connection left, but what was read in slices may have passed over one
   * while others went away: that is believed the second time.
   */
  conclude(): readonly Waiting[] {
    return this.#asked.filter((entry) => {
      const bytes = this.#unacknowledged.get(entry.inode)
      entry.missed = bytes === undefined ? entry.missed + 1 : 0
      if (entry.isClosed()) return true
      return bytes === undefined ? this.#slices === 1 || entry.missed > 1 : bytes === 0
    })
  }
}

/** Undefined where there is none, or no descriptor is left to read it by. */
function openTable(path: string): SocketTable | undefined {
  try {
    return new SocketTable(openSync(path, 'r'))
  } catch {
    return undefined
  }
}

/** What the kernel gives at once; a reader with a larger buffer gets no more. */
const CHUNK_BYTES = 4096

/**
 * sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ..., proc(5). Sockets in TIME_WAIT (06), which
 * can be most of them, have no inode.
 */
const socketLine = /^ *\d+: \S+ \S+ (?!06)\w\w (?<unacknowledged>\w+):\w+ \S+ \w+ +\d+ +\d+ (?<inode>\d+) /gm

/** Read piece by piece, of which none is kept. */
class SocketTable {
  readonly #descriptor: number
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  #partOfLine = ''

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  /**
   * Reads the next piece, and notes of every inode asked for what its peer has still to acknowledge.
   * @returns false at the end; then it is closed.
   */
  read(unacknowledged: Map<string, number | undefined>): boolean {
    const length = this.#readChunk()
    if (length === 0) {
      closeSync(this.#descriptor)
      return false
    }
    const text = this.#partOfLine + this.#chunk.toString('latin1', 0, length)
    const end = text.lastIndexOf('\n') + 1
    this.#partOfLine = text.slice(end)
    for (const { groups } of text.slice(0, end).matchAll(socketLine)) {
      const { inode = '', unacknowledged: bytes = '0' } = groups ?? {}
      if (unacknowledged.has(inode)) unacknowledged.set(inode, Number.parseInt(bytes, 16))
    }
    return true
  }

  /** A table that cannot be read is an empty one: nobody can be told more. */
  #readChunk(): number {
    try {
      return readSync(this.#descriptor, this.#chunk)
    } catch {
      return 0
    }
  }
}
