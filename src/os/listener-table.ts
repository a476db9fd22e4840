import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { SocketAddress } from 'node:net'
import { endianness } from 'node:os'
import { unmapped, withoutZone } from './interfaces.ts'
import { isIP } from './ip-address.ts'

/** A listening TCP socket of this network namespace. */
export interface TcpListener {
  readonly port: number
  readonly address: string
  readonly inode: string
}

/** A listening Unix socket of this network namespace. */
export interface UnixListener {
  /** As its program gave it to bind(2): perhaps relative to a folder that the kernel does not tell. */
  readonly path: string
  readonly inode: string
}

/**
 * Every listening TCP socket, from /proc/net/tcp and tcp6 (proc(5)).
 * @returns undefined when the table cannot be read: the system has none, or no descriptor is free.
 */
export function tcpListeners(): readonly TcpListener[] | undefined {
  const found: TcpListener[] = []
  const first = firstTcpListener((listener) => {
    found.push(listener)
    return false
  })
  return first === undefined ? undefined : found
}

/**
 * The first listening TCP socket for which `isWanted` holds. It takes 0.15 ms when there is one. When there is none, the kernel also walks
 * the whole of its table of connections, however few there are: 0.3 ms with 800 sockets, 10 ms on a kernel with 262,144 hash buckets.
 * @returns null when there is none, undefined as for {@link tcpListeners}.
 */
export function firstTcpListener(
  isWanted: (listener: TcpListener) => boolean,
): TcpListener | null | undefined {
  try {
    return firstIn('/proc/self/net/tcp', isWanted) ?? firstInIPv6(isWanted)
  } catch {
    return undefined
  }
}

function firstInIPv6(isWanted: (listener: TcpListener) => boolean): TcpListener | null {
  try {
    // Half the work saved where nothing uses IPv6.
    if (/^TCP6: inuse 0$/m.test(readFileSync('/proc/self/net/sockstat6', 'latin1'))) return null
    return firstIn('/proc/self/net/tcp6', isWanted)
  } catch (error) {
    // This kernel has no IPv6.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

const stateListen = '0A'

/** Bytes read at once: the length of a line, so that the kernel looks for no more than one. */
const lineBytes = 150

/** The kernel lists listening sockets first, so reading ends at the first other one. */
function firstIn(file: string, isWanted: (listener: TcpListener) => boolean): TcpListener | null {
  const descriptor = openSync(file, 'r')
  try {
    const chunk = Buffer.allocUnsafe(lineBytes)
    let rest = ''
    let isHeading = true
    for (;;) {
      const length = readSync(descriptor, chunk, 0, lineBytes, null)
      if (length === 0) return null
      const lines = (rest + chunk.toString('latin1', 0, length)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (isHeading) {
          isHeading = false
          continue
        }
        const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
        if (state !== stateListen) return null
        const [address = '', port = ''] = local.split(':')
        const listener = { port: Number.parseInt(port, 16), address: addressFromHex(address), inode }
        if (isWanted(listener)) return listener
      }
    }
  } finally {
    closeSync(descriptor)
  }
}

/** Addresses stand in that file as 32-bit words in the machine's own byte order. */
function addressFromHex(hex: string): string {
  const words = hex.match(/.{8}/g) ?? []
  const bytes = words.flatMap((word) => {
    const ordered = endianness() === 'LE' ? (word.match(/../g) ?? []).reverse() : (word.match(/../g) ?? [])
    return ordered.map((byte) => Number.parseInt(byte, 16))
  })
  if (bytes.length === 4) return bytes.join('.')
  return new SocketAddress({ address: groups(bytes).join(':'), family: 'ipv6' }).address
}

function groups(bytes: readonly number[]): string[] {
  return Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  )
}

/** The flag of a Unix socket that listens (include/linux/net.h). */
const acceptsConnections = 1 << 16

/** Every listening Unix socket with a path, from /proc/net/unix; undefined as for {@link tcpListeners}. */
export function unixListeners(): readonly UnixListener[] | undefined {
  let text: string
  try {
    text = readFileSync('/proc/self/net/unix', 'utf8')
  } catch {
    return undefined
  }
  return text.split('\n').flatMap((line) => {
    const [, flags = '', inode = '', path = ''] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (.+)$/.exec(line) ?? []
    return Number.parseInt(flags, 16) & acceptsConnections ? [{ path, inode }] : []
  })
}

/** Whether a listener on one address takes connections to another one of this machine. */
export function takesConnectionsTo(listener: string, address: string): boolean {
  const wanted = canonical(address)
  if (listener === '::' || wanted === '0.0.0.0') return true
  if (listener === '0.0.0.0') return isIP(wanted) === 4
  return wanted === '::' || unmapped(listener) === wanted
}

/** An address as the kernel's tables write it. */
export function canonical(address: string): string {
  const plain = withoutZone(address)
  return isIP(plain) === 6 ? unmapped(new SocketAddress({ address: plain, family: 'ipv6' }).address) : plain
}
