import { readlinkSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

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
  const table = await socketTable()
  for (const entry of asked) {
    if (!entry.isClosed() && unacknowledgedBytes(table, entry.inode) > 0) continue
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

async function socketTable(): Promise<string> {
  const tables = ['/proc/self/net/tcp', '/proc/self/net/tcp6'].map((path) =>
    readFile(path, 'latin1').catch(() => ''),
  )
  return (await Promise.all(tables)).join('')
}

/** A socket that is not in the table has no connection left, and nothing to wait for. */
function unacknowledgedBytes(table: string, inode: string): number {
  for (let at = table.indexOf(` ${inode} `); at >= 0; at = table.indexOf(` ${inode} `, at + 1)) {
    const line = table.slice(table.lastIndexOf('\n', at) + 1, table.indexOf('\n', at))
    // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...
    const fields = line.trim().split(/\s+/)
    if (fields[9] === inode) return Number.parseInt(fields[4]?.split(':')[0] ?? '0', 16)
  }
  return 0
}
