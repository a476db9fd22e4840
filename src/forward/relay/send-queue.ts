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
/** Each pause between two scans is longer than the one before by this factor: nobody waits much longer than needed. */
const DELAY_GROWTH = 1.5

/**
 * A busy machine's table is long, and the kernel takes 40 us for each page of it: 100 ms for 40,000 sockets. The kernel goes through its whole
 * hash table besides, 2 to 8 ms, however few sockets there are. So it is read in slices of this many ms, ...
 */
const SLICE_MS = 1
/** ... that take this part of the time in the long run, ... */
const SHARE = 0.1
/** ... but as much as this at once after a pause, ... */
const BURST_MS = 20
/** ... and no pause is longer than this: a slice may have taken long only because the process was not running. */
const LONGEST_REST_MS = 50

const waiting = new Set<Waiting>()
let delay = SHORTEST_DELAY_MS
/** ms of reading that may be done now. */
let credit = BURST_MS
let creditAt = performance.now()
let timer: NodeJS.Timeout | undefined
let soon: NodeJS.Immediate | undefined
/** The one that is under way. */
let scan: Scan | undefined

function schedule(wait: number): void {
  clearTimeout(timer)
  clearImmediate(soon)
  const rest = credit > 0 ? 0 : Math.min(-credit / SHARE, LONGEST_REST_MS)
  if (Math.max(wait, rest) > 0) timer = setTimeout(goOn, Math.max(wait, rest))
  else soon = setImmediate(goOn)
}

function goOn(): void {
  scan ??= new Scan([...waiting])
  const before = performance.now()
  credit = Math.min(BURST_MS, credit + (before - creditAt) * SHARE)
  const isOver = scan.read(before + SLICE_MS)
  creditAt = performance.now()
  credit = Math.max(credit - (creditAt - before), -LONGEST_REST_MS * SHARE)
  if (!isOver) return schedule(0)
  const done = scan.conclude()
  scan = undefined
  for (const entry of done) {
    waiting.delete(entry)
    entry.then()
  }
  if (waiting.size === 0) return
  schedule(delay)
  delay = Math.min(delay * DELAY_GROWTH, LONGEST_DELAY_MS)
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
  /** Inodes that were not found yet. */
  readonly #missing: Set<string>
  /** Of those that were, in bytes. */
  readonly #unacknowledged = new Map<string, number>()
  readonly #unread = [...socketTables]
  #table: SocketTable | undefined
  #slices = 0

  constructor(asked: readonly Waiting[]) {
    this.#asked = asked
    this.#missing = new Set(asked.map(({ inode }) => inode))
  }

  /** @returns true when it is over; false when `deadline`, in ms of `performance.now()`, came first. */
  read(deadline: number): boolean {
    this.#slices += 1
    for (;;) {
      if (this.#missing.size === 0) {
        this.#table?.close()
        return true
      }
      if (this.#table === undefined) {
        const path = this.#unread.shift()
        if (path === undefined) return true
        this.#table = openTable(path)
      } else if (!this.#table.read(this.#found)) {
        this.#table = undefined
      } else if (performance.now() >= deadline) {
        return false
      }
    }
  }

  readonly #found = (inode: string, bytes: number): void => {
    if (this.#missing.delete(inode)) this.#unacknowledged.set(inode, bytes)
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
   * Reads the next piece, and tells of every socket in it how many bytes its peer has still to acknowledge.
   * @returns false at the end; then it is closed.
   */
  read(found: (inode: string, unacknowledged: number) => void): boolean {
    const length = this.#readChunk()
    if (length === 0) {
      this.close()
      return false
    }
    const text = this.#partOfLine + this.#chunk.toString('latin1', 0, length)
    const end = text.lastIndexOf('\n') + 1
    this.#partOfLine = text.slice(end)
    for (const { groups } of text.slice(0, end).matchAll(socketLine)) {
      const { inode = '', unacknowledged: bytes = '0' } = groups ?? {}
      found(inode, Number.parseInt(bytes, 16))
    }
    return true
  }

  close(): void {
    closeSync(this.#descriptor)
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
