import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs'
import { SocketAddress } from 'node:net'
import { endianness } from 'node:os'
import type { HeldListener, TcpListener, UnixListener } from '../backend.ts'

interface ProcListener extends TcpListener {
  readonly uid: number
}

/** From /proc/net/tcp and tcp6 (proc(5)). */
export function tcpListeners(): readonly ProcListener[] | undefined {
  const found: ProcListener[] = []
  const first = firstTcpListener((listener) => {
    found.push(listener)
    return false
  })
  return first === undefined ? undefined : found
}

export function firstTcpListener(
  isWanted: (listener: ProcListener) => boolean,
): ProcListener | null | undefined {
  try {
    return firstIn('/proc/self/net/tcp', isWanted) ?? firstInIPv6(isWanted)
  } catch {
    return undefined
  }
}

function firstInIPv6(isWanted: (listener: ProcListener) => boolean): ProcListener | null {
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

/**
 * sl local remote st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout, proc(5): something waits to be acknowledged, and it was sent again
 * (`tr` 1), or the peer has closed its window and does not answer probes (`tr` 4, `timeout` counts them).
 */
const unanswered =
  /^ *\d+: \w+:(\w{4}) (\w+):(\w{4}) (?!0A)\w\w (?!0{8})\w{8}:\w+ (?:01:\w+ (?!0{8})\w{8} +\d+ +\d+|04:\w+ \w{8} +\d+ +[1-9]\d*) /gm

export function silentPeers(): ReadonlySet<string> | undefined {
  try {
    const texts = ['/proc/self/net/tcp', '/proc/self/net/tcp6']
      .filter((file) => existsSync(file))
      .map((file) => readFileSync(file, 'latin1'))
    const found = texts.flatMap((text) => [...text.matchAll(unanswered)])
    return new Set(
      found.map(([, local = '', address = '', remote = '']) => {
        const [from, to] = [local, remote].map((port) => Number.parseInt(port, 16))
        return `${from} ${addressFromHex(address)} ${to}`
      }),
    )
  } catch {
    return undefined
  }
}

const stateListen = '0A'

/** Bytes read at once: the length of a line, so that the kernel looks for no more than one. */
const lineBytes = 150

/** The kernel lists listening sockets first, so reading ends at the first other one. */
function firstIn(file: string, isWanted: (listener: ProcListener) => boolean): ProcListener | null {
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
        const [, local = '', , state, , , , uid, , inode = ''] = line.trim().split(/\s+/)
        if (state !== stateListen) return null
        const [address = '', port = ''] = local.split(':')
        const listener = {
          port: Number.parseInt(port, 16),
          address: addressFromHex(address),
          inode,
          uid: Number(uid),
        }
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

/** From /proc/net/unix. */
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

export function holdersOf(port: number): readonly HeldListener[] {
  const listeners = tcpListeners()?.filter((one) => one.port === port) ?? []
  const holders = new Map(listeners.map(({ inode }) => [`socket:[${inode}]`, [] as number[]]))
  if (holders.size === 0) return []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    for (const socket of socketsOf(entry)) {
      const pids = holders.get(socket)
      // A process may have it open twice.
      if (pids !== undefined && pids.at(-1) !== Number(entry)) pids.push(Number(entry))
    }
  }
  return listeners.map(({ address, inode, uid }) => {
    return { address, uid, pids: (holders.get(`socket:[${inode}]`) ?? []).sort((a, b) => a - b) }
  })
}

/** What a process's descriptors lead to. */
function socketsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${descriptor}`)
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}

export function listeningPorts(pids: readonly number[]): readonly number[] {
  const own = new Set(pids.flatMap((pid) => socketsOf(String(pid))))
  const found = (tcpListeners() ?? []).filter(({ inode }) => own.has(`socket:[${inode}]`))
  return [...new Set(found.map(({ port }) => port))].sort((a, b) => a - b)
}

export function listeningPortOf(descriptor: number): number | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[1]
    return tcpListeners()?.find((one) => one.inode === inode)?.port
  } catch {
    return undefined
  }
}
