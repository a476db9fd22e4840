import { closeSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { errorCode, errorText } from '../os/failure.ts'
import { adoptListener, type Inheritance, isFixed } from './inherited-listeners.ts'
import { fileDescriptor } from './socket-internals.ts'

/** How a socket came to listen: bound by this process, or inherited, and how. */
export type ListenerOrigin = 'bound' | 'activation' | 'handover'

export interface ListenerSet {
  /** Addresses that are bound now. */
  bound(): readonly string[]
  /** How the socket of a bound address came to be. */
  originOf(address: string): ListenerOrigin
  /** The sockets themselves, for a process that is to share them. */
  sockets(): readonly { readonly address: string; readonly descriptor: number }[]
  /**
   * Listens on what was inherited, before the first `follow`. Of a predecessor's sockets those not in `wanted` are closed.
   * @throws Failure when one cannot be used.
   */
  adopt(inheritance: Inheritance, wanted: readonly string[]): Promise<void>
  /** Addresses that should be bound and are not, with the reason. */
  failed(): readonly { readonly address: string; readonly error: NodeJS.ErrnoException }[]
  /** Binds what is new, lets go of what is no longer wanted, tries again what failed. Resolves when each has its answer. */
  follow(wanted: readonly string[]): Promise<void>
  /** Stops accepting on every address; accepted connections are not touched. */
  close(): void
}

/**
 * Connections that wait in the kernel to be accepted; the kernel caps it at net.core.somaxconn (listen(2)).
 */
const backlog = 4096

const acceptOptions = {
  allowHalfOpen: true,
  pauseOnConnect: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
}

/** Listeners of one port on any number of addresses. */
export function createListeners(port: number, onConnection: (socket: Socket) => void): ListenerSet {
  const bound = new Map<string, Server>()
  const origins = new Map<string, ListenerOrigin>()
  const failed = new Map<string, NodeJS.ErrnoException>()

  const keep = (address: string, server: Server, origin: ListenerOrigin) => {
    bound.set(address, server)
    origins.set(address, origin)
    // An accept that fails concerns one connection, never the listener.
    server.on('error', () => {})
  }

  const bind = async (address: string): Promise<void> => {
    const server = createServer(acceptOptions, onConnection)
    try {
      await listen(server, address, port)
      failed.delete(address)
      keep(address, server, 'bound')
    } catch (error) {
      failed.set(address, error as NodeJS.ErrnoException)
    }
  }

  return {
    bound: () => [...bound.keys()],
    originOf: (address) => origins.get(address) ?? 'bound',
    sockets: () =>
      [...bound].flatMap(([address, server]) => {
        const descriptor = fileDescriptor(server)
        return descriptor === undefined ? [] : [{ address, descriptor }]
      }),
    adopt: async (inheritance, wanted) => {
      if (inheritance.kind === 'none') return
      for (const socket of inheritance.sockets) {
        if (!isFixed(inheritance) && !wanted.includes(socket.name)) {
          closeSync(socket.descriptor)
          continue
        }
        const { server, address } = await adoptListener(
          socket,
          port,
          { ...acceptOptions, backlog },
          onConnection,
        )
        // The kernel does not tell the zone of a link-local address; the predecessor does.
        keep(inheritance.kind === 'handover' ? socket.name : address, server, inheritance.kind)
      }
    },
    failed: () => [...failed].map(([address, error]) => ({ address, error })),
    follow: async (wanted) => {
      for (const [address, server] of bound) {
        if (wanted.includes(address)) continue
        bound.delete(address)
        server.close()
      }
      for (const address of failed.keys()) if (!wanted.includes(address)) failed.delete(address)
      await Promise.all(wanted.filter((address) => !bound.has(address)).map(bind))
    },
    close: () => {
      for (const server of bound.values()) server.close()
      bound.clear()
    },
  }
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
      return 'the port is taken'
    case 'EADDRNOTAVAIL':
      return 'this machine does not have that address'
    case 'EACCES':
      return 'this user may not bind that port (below 1024 it needs root or CAP_NET_BIND_SERVICE)'
    default:
      return errorText(error)
  }
}
