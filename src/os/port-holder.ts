import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { isLinux } from './platform.ts'
import { commandLine } from './process-identity.ts'

export interface PortHolder {
  /** Undefined when the socket belongs to another user and the holder may not be looked up. */
  readonly pid: number | undefined
  /** The command line, shortened; `unknown` when it cannot be read. */
  readonly command: string
}

/**
 * Who listens on a TCP port, on any address of this network namespace. Reads every process's descriptors (about 25 ms),
 * so it is asked only when something failed.
 * @returns undefined when nobody listens there.
 */
export function findPortHolder(port: number): PortHolder | undefined {
  return isLinux ? findInProc(port) : findWithLsof(port)
}

/** A holder in words: `PID 4242 (node server.js)`. */
export function describeHolder(holder: PortHolder): string {
  if (holder.pid === undefined) return 'a process of another user'
  return `PID ${holder.pid} (${holder.command})`
}

const STATE_LISTEN = '0A'

function findInProc(port: number): PortHolder | undefined {
  const inodes = new Set([...listeningInodes('tcp', port), ...listeningInodes('tcp6', port)])
  if (inodes.size === 0) return undefined
  const wanted = new Set([...inodes].map((inode) => `socket:[${inode}]`))
  for (const entry of readdirSync('/proc')) {
    if (/^\d+$/.test(entry) && holdsOneOf(entry, wanted)) {
      return { pid: Number(entry), command: describeCommand(Number(entry)) }
    }
  }
  return { pid: undefined, command: 'unknown' }
}

/** Inodes of the listening sockets of a port, from /proc/net/tcp or tcp6 (proc(5)). */
function listeningInodes(table: 'tcp' | 'tcp6', port: number): string[] {
  let text: string
  try {
    text = readFileSync(`/proc/self/net/${table}`, 'utf8')
  } catch {
    return []
  }
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const inodes: string[] = []
  for (const line of text.split('\n').slice(1)) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/)
    if (state === STATE_LISTEN && local?.endsWith(wanted) && inode) inodes.push(inode)
  }
  return inodes
}

function holdsOneOf(pid: string, wanted: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return wanted.has(readlinkSync(`/proc/${pid}/fd/${fd}`))
      } catch {
        return false
      }
    })
  } catch {
    return false
  }
}

function findWithLsof(port: number): PortHolder | undefined {
  try {
    const options = { encoding: 'utf8' } as const
    const out = execFileSync('lsof', ['-nP', '-t', `-iTCP:${port}`, '-sTCP:LISTEN'], options)
    const pid = Number(out.trim().split('\n')[0])
    return pid > 0 ? { pid, command: describeCommand(pid) } : undefined
  } catch {
    return undefined
  }
}

const LONGEST_COMMAND = 80

function describeCommand(pid: number): string {
  const words = commandLine(pid)?.join(' ') ?? 'unknown'
  return words.length > LONGEST_COMMAND ? `${words.slice(0, LONGEST_COMMAND - 1)}…` : words
}
