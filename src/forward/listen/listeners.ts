import { closeSync, linkSync, lstatSync, renameSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { errorCode, errorText } from '../../os/failure.ts'
import { type Inheritance, isFixed } from '../../process/inheritance.ts'
import { BareSocket } from '../relay/bare-socket.ts'
import { acceptHandles, fileDescriptor, libuv } from '../relay/libuv.ts'
import { keepAliveSeconds, type RelaySocket } from '../relay/relay-socket.ts'
import { StreamSocket } from '../relay/stream-socket.ts'
import { adoptListener } from './inherited-listeners.ts'
import type { ListenPlace } from './listen-plan.ts'
import { listenOnPath } from './unix-listener.ts'

/** How a socket came to listen: bound by this process, or inherited, and how. */
export type ListenerOrigin = 'bound' | 'activation' | 'handover'

/** A socket that listens. */
export interface ListeningSocket {
  readonly place: ListenPlace
  readonly descriptor: number
  /** Tells two sockets apart that listen at the same place one after the other. */
  readonly generation: number
}

export interface ListenerSet {
  /** Places that are bound now. */
  bound(): readonly ListenPlace[]
  /** How the socket of a bound place came to be. */
  originOf(place: ListenPlace): ListenerOrigin
  /** The sockets themselves, for a process that is to share them. */
  sockets(): readonly ListeningSocket[]
  /**
   * Listens on what was inherited, before the first `follow`. Of a predecessor's sockets those not in `wanted` are closed.
   * @throws Failure when one cannot be used.
   */
  adopt(inheritance: Inheritance, wanted: readonly ListenPlace[]): Promise<void>
  /** Places that should be bound and are not, with the reason. */
  failed(): readonly { readonly place: ListenPlace; readonly error: NodeJS.ErrnoException }[]
  /**
   * Binds what is new, lets go of what is no longer wanted, tries again what failed, and binds anew a Unix socket whose path was removed or is
   * another's by now. Resolves when each has its answer.
   * @returns the places that were bound by this call.
   */
  follow(wanted: readonly ListenPlace[]): Promise<readonly ListenPlace[]>
  /** Stops accepting everywhere; accepted connections are not touched. */
  close(): void
  /** The same, when another process shares the sockets: the paths of Unix sockets stay. */
  leave(): void
}

export interface ListenerOptions {
  readonly port: number
  /** Permissions of Unix sockets. */
  readonly unixMode: number
}

/**
 * Connections that wait in the kernel to be accepted; the kernel caps it at net.core.somaxconn (listen(2)).
 */
export const backlog = 4096

/** How the sockets of clients are made that are not accepted bare: half-open, and not read from before the relay does. */
const acceptOptions = {
  allowHalfOpen: true,
  pauseOnConnect: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: keepAliveSeconds * 1000,
} as const

/** Listeners of one port on any number of addresses, and of Unix sockets. */
export function createListeners(
  { port, unixMode }: ListenerOptions,
  onConnection: (client: RelaySocket, place: ListenPlace) => void,
): ListenerSet {
  const bound = new Map<ListenPlace, Server>()
  const origins = new Map<ListenPlace, ListenerOrigin>()
  const failed = new Map<ListenPlace, NodeJS.ErrnoException>()
  const generations = new Map<ListenPlace, number>()
  /** Of the paths that are this process's to keep. */
  const inodes = new Map<ListenPlace, number>()
  let lastGeneration = 0

  const keep = (place: ListenPlace, server: Server, origin: ListenerOrigin) => {
    bound.set(place, server)
    origins.set(place, origin)
    generations.set(place, ++lastGeneration)
    // An accept that fails concerns one connection, never the listener.
    server.on('error', () => {})
  }

  const notePath = (place: ListenPlace) => {
    const inode = inodeAt(pathOf(place))
    if (typeof inode === 'number') inodes.set(place, inode)
  }

  /** Nobody can connect to it any more. */
  const hasLostPath = (place: ListenPlace) => {
    const noted = inodes.get(place)
    if (noted === undefined) return false
    const inode = inodeAt(pathOf(place))
    return inode !== 'unknown' && inode !== noted
  }

  const acceptFrom = (server: Server, place: ListenPlace) => {
    const uv = libuv
    if (
      uv !== undefined &&
      acceptHandles(server, { keepAliveSeconds }, (handle) =>
        onConnection(new BareSocket(uv, handle, 'accepted'), place),
      )
    ) {
      return
    }
    server.on('connection', (socket) => onConnection(new StreamSocket(socket), place))
  }

  const bind = async (place: ListenPlace): Promise<void> => {
    const server = createServer(acceptOptions)
    try {
      const path = pathOf(place)
      // Told first, so that no connection comes before.
      server.once('listening', () => acceptFrom(server, place))
      if (path === undefined) await listen(server, place, port)
      else await listenOnPath(server, path, unixMode)
      failed.delete(place)
      keep(place, server, 'bound')
      notePath(place)
    } catch (error) {
      failed.set(place, error as NodeJS.ErrnoException)
    }
  }

  return {
    bound: () => [...bound.keys()],
    originOf: (place) => origins.get(place) ?? 'bound',
    sockets: () =>
      [...bound].flatMap(([place, server]) => {
        const descriptor = fileDescriptor(server)
        const generation = generations.get(place) ?? 0
        return descriptor === undefined ? [] : [{ place, descriptor, generation }]
      }),
    adopt: async (inheritance, wanted) => {
      if (inheritance.kind === 'none') return
      for (const socket of inheritance.sockets) {
        if (!isFixed(inheritance) && !wanted.includes(socket.name)) {
          closeSync(socket.descriptor)
          continue
        }
        const options = { ...acceptOptions, backlog }
        const adopted = await adoptListener(socket, port, options, acceptFrom)
        // The kernel does not tell the zone of a link-local address; the predecessor does.
        const place = inheritance.kind === 'handover' ? socket.name : adopted.place
        keep(place, adopted.server, inheritance.kind)
        // What a service manager has bound is its own to look after.
        if (!isFixed(inheritance)) notePath(place)
      }
    },
    failed: () => [...failed].map(([place, error]) => ({ place, error })),
    follow: async (wanted) => {
      for (const [place, server] of bound) {
        const isLost = hasLostPath(place)
        if (wanted.includes(place) && !isLost) continue
        bound.delete(place)
        inodes.delete(place)
        if (isLost) closeKeepingPath(server, pathOf(place))
        else server.close()
      }
      for (const place of failed.keys()) if (!wanted.includes(place)) failed.delete(place)
      const missing = wanted.filter((place) => !bound.has(place))
      await Promise.all(missing.map(bind))
      return missing.filter((place) => bound.has(place))
    },
    leave: () => {
      for (const [place, server] of bound) closeKeepingPath(server, pathOf(place))
      bound.clear()
    },
    close: () => {
      for (const server of bound.values()) server.close()
      bound.clear()
    },
  }
}

/** A close unlinks the path that was bound; under another name it is there again within microseconds. */
function closeKeepingPath(server: Server, path: string | undefined): void {
  if (path === undefined) return void server.close()
  const aside = `${path}.${process.pid}`
  try {
    linkSync(path, aside)
    server.close()
    renameSync(aside, path)
    // Both names may be there still, and rename(2) leaves two names of one file alone.
    rmSync(aside, { force: true })
  } catch {
    // Somebody took the path away: there is none to be kept.
    server.close()
  }
}

/** Undefined = nothing is there. */
function inodeAt(path: string | undefined): number | undefined | 'unknown' {
  try {
    return path === undefined ? 'unknown' : lstatSync(path, { throwIfNoEntry: false })?.ino
  } catch {
    return 'unknown'
  }
}

/** The path of a place that is a Unix socket. */
export function pathOf(place: ListenPlace): string | undefined {
  return place.startsWith('unix:') ? place.slice('unix:'.length) : undefined
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog, exclusive: true }, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
}

/** Why a bind failed, in words. */
export function bindProblem(error: NodeJS.ErrnoException): string {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return error.path === undefined ? 'the port is taken' : 'somebody listens there already'
    case 'EADDRNOTAVAIL':
      return 'this machine does not have that address'
    case 'EACCES':
      return error.path === undefined
        ? 'this user may not bind that (a port below 1024 needs root or CAP_NET_BIND_SERVICE)'
        : 'this user may not create a socket in its folder'
    case 'ENOENT':
      return 'its folder does not exist'
    default:
      return errorText(error)
  }
}
