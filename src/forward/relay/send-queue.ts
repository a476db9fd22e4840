import { readlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'

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
  waiting.add({ isClosed, inode, then })
  delay = SHORTEST_DELAY_MS
  if (!scanning) scheduleScan(0)
}

interface Waiting {
  isClosed: () => boolean
  inode: string
  then: () => void
}

const SHORTEST_DELAY_MS = 2
const LONGEST_DELAY_MS = 500
/** Scans may take this part of one core, however long the table is (some 5 ms are the least, for a short one), ... */
const SCAN_SHARE = 0.2
/** ... unless a scan only took that long because the process was busy otherwise. */
const LONGEST_REST_MS = 100

const waiting = new Set<Waiting>()
let delay = SHORTEST_DELAY_MS
let scanning = false
let earliestScan = 0
let timer: NodeJS.Timeout | undefined

function scheduleScan(wait: number): void {
  clearTimeout(timer)
  timer = setTimeout(scan, Math.max(wait, earliestScan - performance.now()))
}

async function scan(): Promise<void> {
  scanning = true
  const before = performance.now()
  const asked = [...waiting]
  const unacknowledged = new Map(asked.map(({ inode }) => [inode, 0]))
  for (const path of socketTables) await readSocketTable(path, unacknowledged)
  for (const entry of asked) {
    if (!entry.isClosed() && unacknowledged.get(entry.inode) !== 0) continue
    waiting.delete(entry)
    entry.then()
  }
  const now = performance.now()
  earliestScan = now + Math.min((now - before) / SCAN_SHARE, LONGEST_REST_MS)
  scanning = false
  if (waiting.size === 0) return
  scheduleScan(delay)
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

/** What the kernel gives at once; a reader with a larger buffer gets no more. */
const CHUNK_BYTES = 4096

/**
 * sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ..., proc(5). Sockets in TIME_WAIT (06), which
 * can be most of them, have no inode.
 */
const socketLine = /^ *\d+: \S+ \S+ (?!06)\w\w (?<unacknowledged>\w+):\w+ \S+ \w+ +\d+ +\d+ (?<inode>\d+) /gm

/**
 * Fills in what the sockets have still to be told of, in bytes. A socket that is not in the table has no connection left, and nothing to
 * wait for. A busy machine's table is megabytes: it is read piece by piece and none is kept.
 */
async function readSocketTable(path: string, unacknowledged: Map<string, number>): Promise<void> {
  const file = await open(path).catch(() => undefined)
  if (file === undefined) return
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    let partOfLine = ''
    for (;;) {
      const { bytesRead } = await file.read(chunk)
      if (bytesRead === 0) return
      const text = partOfLine + chunk.toString('latin1', 0, bytesRead)
      const end = text.lastIndexOf('\n') + 1
      partOfLine = text.slice(end)
      for (const { groups } of text.slice(0, end).matchAll(socketLine)) {
        const { inode = '', unacknowledged: bytes = '0' } = groups ?? {}
        if (unacknowledged.has(inode)) unacknowledged.set(inode, Number.parseInt(bytes, 16))
      }
    }
  } catch {
    // Nobody can be told more; who is not found does not wait.
  } finally {
    await file.close()
  }
}
