import { execFileSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { isWildcard, unmapped, withoutZone } from './interfaces.ts'
import { type TcpListener, tcpListeners } from './listener-table.ts'
import { isLinux } from './platform.ts'
import { oneLine } from './printable.ts'
import { commandLine } from './process-identity.ts'

export interface PortHolder {
  /** Undefined when the socket belongs to another user and the holder may not be looked up. */
  readonly pid: number | undefined
  /** The command line, shortened; `unknown` when it cannot be read. */
  readonly command: string
}

/**
 * Who listens on a TCP port so that this address cannot be bound: on the address itself or on all of them. Reads every
 * process's descriptors (about 25 ms), so it is asked only when something failed.
 * @param address one to be bound; 0.0.0.0 or :: asks for any listener of the port.
 * @returns undefined when nobody listens there.
 */
export function findPortHolder(port: number, address: string): PortHolder | undefined {
  return isLinux ? findInProc(port, address) : findWithLsof(port, address)
}

/**
 * Every process that holds a listening socket of this port, whatever its address.
 * @returns `hasUnseen`: a listening socket is there whose holder cannot be seen: a process of another user, or one that is just ending.
 */
export function portHolders(port: number): {
  readonly pids: ReadonlySet<number>
  readonly hasUnseen: boolean
} {
  if (!isLinux) return { pids: new Set(lsofListeners(port).map(({ pid }) => pid)), hasUnseen: false }
  const inodes = listeners(port).map(({ inode }) => inode)
  const unseen = new Set(inodes.map((inode) => `socket:[${inode}]`))
  const wanted = new Set(unseen)
  const pids = new Set<number>()
  if (wanted.size === 0) return { pids, hasUnseen: false }
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    for (const held of heldOf(entry, wanted)) {
      pids.add(Number(entry))
      unseen.delete(held)
    }
  }
  return { pids, hasUnseen: unseen.size > 0 }
}

/**
 * A text for outside of this machine: of each process that it describes the program's name is left, because a command line may hold
 * passwords.
 */
export function withoutCommandLines(text: string): string {
  return text.replaceAll(/\bPID (\d+) \(([^()]*)\)/g, (_, pid: string, command: string) => {
    const [program = ''] = command.split(' ')
    return `PID ${pid} (${program.split('/').at(-1)})`
  })
}

/** A process in words: `PID 4242 (node server.js)`. */
export function describeHolder(holder: PortHolder): string {
  if (holder.pid === undefined) return 'a process of another user'
  return `PID ${holder.pid} (${holder.command})`
}

function findInProc(port: number, address: string): PortHolder | undefined {
  const inodes = new Set(
    listeners(port)
      .filter((one) => isInTheWay(one.address, address))
      .map((one) => one.inode),
  )
  if (inodes.size === 0) return undefined
  const wanted = new Set([...inodes].map((inode) => `socket:[${inode}]`))
  for (const entry of readdirSync('/proc')) {
    if (/^\d+$/.test(entry) && heldOf(entry, wanted).length > 0) {
      return { pid: Number(entry), command: describeCommand(Number(entry)) }
    }
  }
  return { pid: undefined, command: 'unknown' }
}

function listeners(port: number): readonly TcpListener[] {
  return tcpListeners()?.filter((one) => one.port === port) ?? []
}

/**
 * The TCP port that a descriptor of this process listens on. Undefined when it is no listening TCP socket, or the system does not
 * tell.
 */
export function listeningPortOf(descriptor: number): number | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[1]
    return tcpListeners()?.find((one) => one.inode === inode)?.port
  } catch {
    return undefined
  }
}

function isInTheWay(listener: string, address: string): boolean {
  if (isWildcard(listener) || isWildcard(address)) return true
  return unmapped(listener) === withoutZone(address)
}

/** Which of these sockets a process has open. */
function heldOf(pid: string, wanted: ReadonlySet<string>): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        const socket = readlinkSync(`/proc/${pid}/fd/${fd}`)
        return wanted.has(socket) ? [socket] : []
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}

/** The same as on Linux, where there is no /proc. */
export function findWithLsof(port: number, address: string): PortHolder | undefined {
  const found = lsofListeners(port).find((listener) => isInTheWay(listener.address, address))
  return found && { pid: found.pid, command: describeCommand(found.pid) }
}

function lsofListeners(port: number): { readonly pid: number; readonly address: string }[] {
  try {
    // Fields one a line: p for the process, f for the descriptor, n for the name; lsof(8), "OUTPUT FOR OTHER PROGRAMS".
    const words = ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpn']
    return parseLsof(execFileSync('lsof', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  } catch {
    return []
  }
}

/** Reads `lsof -Fpn` of listening TCP sockets, whose names are `*:80`, `127.0.0.1:80` or `[::1]:80`. */
export function parseLsof(text: string): { readonly pid: number; readonly address: string }[] {
  const found: { pid: number; address: string }[] = []
  let pid = 0
  for (const line of text.split('\n')) {
    if (line.startsWith('p')) pid = Number(line.slice(1))
    if (!line.startsWith('n')) continue
    const host = line.slice(1, line.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1')
    found.push({ pid, address: host === '*' ? '::' : host })
  }
  return found
}

const LONGEST_COMMAND = 80

/**
 * What a process runs, shortened, on one line, for people; `unknown` when that cannot be read. Holds no round brackets, which it stands
 * between.
 */
export function describeCommand(pid: number): string {
  const told = oneLine(commandLine(pid)?.join(' ') ?? 'unknown')
  const words = told.replaceAll('(', '[').replaceAll(')', ']')
  return words.length > LONGEST_COMMAND ? `${words.slice(0, LONGEST_COMMAND - 1)}…` : words
}
