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
  try {
    const ipv4 = listenersIn('/proc/self/net/tcp')
    return [...ipv4, ...(tableOfIPv6() ?? [])]
  } catch {
    return undefined
  }
}

/** Undefined = this kernel has no IPv6. */
function tableOfIPv6(): readonly TcpListener[] | undefined {
  try {
    return listenersIn('/proc/self/net/tcp6')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

const stateListen = '0A'

/** Bytes read at once: the kernel puts together as many lines as fit, about 27. */
const chunkBytes = 4096

/**
 * The kernel lists listening sockets first, so reading ends at the first other one: a machine with 40,000 connections costs no more than
 * an idle one.
 */
function listenersIn(file: string): TcpListener[] {
  const descriptor = openSync(file, 'r')
  const found: TcpListener[] = []
  try {
    const chunk = Buffer.allocUnsafe(chunkBytes)
    let rest = ''
    let isHeading = true
    for (;;) {
      const length = readSync(descriptor, chunk, 0, chunkBytes, null)
      if (length === 0) return found
      const lines = (rest + chunk.toString('latin1', 0, length)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (isHeading) {
          isHeading = false
          continue
        }
        const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
        if (state !== stateListen) return found
        const [address = '', port = ''] = local.split(':')
        found.push({ port: Number.parseInt(port, 16), address: addressFromHex(address), inode })
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
