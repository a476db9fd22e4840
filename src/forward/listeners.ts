import { createServer, type Server, type Socket } from 'node:net'
import { errorCode, errorText } from '../os/failure.ts'
import { listenOnPath } from './unix-listener.ts'

/** Somewhere to listen: an IP address of the forward's port, or `unix:/path`. */
export type ListenPlace = string

export interface ListenerSet {
  /** Places that are bound now. */
  bound(): readonly ListenPlace[]
  /** Places that should be bound and are not, with the reason. */
  failed(): readonly { readonly place: ListenPlace; readonly error: NodeJS.ErrnoException }[]
  /** Binds what is new, lets go of what is no longer wanted, tries again what failed. Resolves when each has its answer. */
  follow(wanted: readonly ListenPlace[]): Promise<void>
  /** Stops accepting everywhere; accepted connections are not touched. */
  close(): void
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

/** How every client's socket must be made, wherever it is accepted: half-open, and not read from before the relay does. */
export const acceptOptions = {
  allowHalfOpen: true,
  pauseOnConnect: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
} as const

/** Listeners of one port on any number of addresses, and of Unix sockets. */
export function createListeners(
  { port, unixMode }: ListenerOptions,
  onConnection: (socket: Socket, place: ListenPlace) => void,
): ListenerSet {
  const bound = new Map<ListenPlace, Server>()
  const failed = new Map<ListenPlace, NodeJS.ErrnoException>()

  const bind = async (place: ListenPlace): Promise<void> => {
    const server = createServer(acceptOptions, (socket) => onConnection(socket, place))
    try {
      const path = pathOf(place)
      if (path === undefined) await listen(server, place, port)
      else await listenOnPath(server, path, unixMode)
      failed.delete(place)
      bound.set(place, server)
      // An accept that fails concerns one connection, never the listener.
      server.on('error', () => {})
    } catch (error) {
      failed.set(place, error as NodeJS.ErrnoException)
    }
  }

  return {
    bound: () => [...bound.keys()],
    failed: () => [...failed].map(([place, error]) => ({ place, error })),
    follow: async (wanted) => {
      for (const [place, server] of bound) {
        if (wanted.includes(place)) continue
        bound.delete(place)
        server.close()
      }
      for (const place of failed.keys()) if (!wanted.includes(place)) failed.delete(place)
      await Promise.all(wanted.filter((place) => !bound.has(place)).map(bind))
    },
    close: () => {
      for (const server of bound.values()) server.close()
      bound.clear()
    },
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
      return 'this user may not bind that (a port below 1024 needs root or CAP_NET_BIND_SERVICE)'
    case 'ENOENT':
      return 'the folder it would be in is not there'
    default:
      return errorText(error)
  }
}
