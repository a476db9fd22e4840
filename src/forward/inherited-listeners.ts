import { createServer, type Server, type ServerOpts, type Socket } from 'node:net'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { hostAndPort } from '../os/interfaces.ts'
import type { ProcessIdentity } from '../os/process-identity.ts'
import type { ListenPlace } from './listeners.ts'

/** A listening socket that this process was started with. */
export interface InheritedSocket {
  readonly descriptor: number
  /** For messages: what the service manager calls it, or where it listens. */
  readonly name: string
}

/**
 * Listening sockets that were there before this process.
 * - `none`: there are none; every address is bound by this process.
 * - `activation`: a service manager, or whoever holds the port, chose where they listen: they are all that is listened on.
 * - `handover`: the forwarder before this one shares its own; addresses that are wanted besides are bound, unless they are fixed.
 */
export type Inheritance =
  | { readonly kind: 'none' }
  | { readonly kind: 'activation'; readonly sockets: readonly InheritedSocket[] }
  | {
      readonly kind: 'handover'
      /** The sockets came from a service manager once: nothing is bound besides. */
      readonly fixed: boolean
      /** `name` is the address that the socket is bound to. */
      readonly sockets: readonly InheritedSocket[]
      /** Forwarders before this one that still finish their connections. */
      readonly predecessors: readonly ProcessIdentity[]
    }

/** Whether the addresses were chosen by a service manager: then nothing is bound beside them, however often it is handed over. */
export function isFixed(inheritance: Inheritance): boolean {
  return inheritance.kind === 'activation' || (inheritance.kind === 'handover' && inheritance.fixed)
}

/** Where one forwarder leaves for the next what it hands over, as JSON of an `Inheritance`. */
export const inheritanceVariable = 'PORT_WATCHDOG_INHERIT'

/** The first descriptor that a service manager passes: SD_LISTEN_FDS_START of sd_listen_fds(3). */
const firstActivated = 3

/** More than anybody's unit has; a number that is garbage is told as such. */
const mostActivated = 1024

/**
 * Reads what this process inherits, and takes it out of the environment, so that no child takes it for its own.
 * @throws Failure when the variables of sd_listen_fds(3) make no sense.
 */
export function takeInheritance(environment: NodeJS.ProcessEnv, pid: number): Inheritance {
  const { [inheritanceVariable]: ours, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environment
  for (const name of [inheritanceVariable, 'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) {
    delete environment[name]
  }
  if (ours !== undefined) return JSON.parse(ours) as Inheritance
  // Meant for another process, which this one is a child of.
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(pid)) return { kind: 'none' }
  const count = /^\d{1,4}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : Number.NaN
  if (!(count <= mostActivated)) {
    throw new Failure(`LISTEN_FDS is no number of sockets: ${LISTEN_FDS}`, exitCode.configuration)
  }
  if (count === 0) return { kind: 'none' }
  const names = LISTEN_FDNAMES?.split(':') ?? []
  const sockets = Array.from({ length: count }, (_, index) => ({
    descriptor: firstActivated + index,
    // Without FileDescriptorName= every socket has the name of its unit.
    name: names[index] || 'unknown',
  }))
  return { kind: 'activation', sockets }
}

/** A server on a socket of somebody else's making, and where it listens. */
export interface AdoptedListener {
  readonly server: Server
  readonly place: ListenPlace
}

/**
 * Listens on an inherited socket; connections that wait in its backlog come at once.
 * @throws Failure when it is no listening TCP socket of this port.
 */
export async function adoptListener(
  { descriptor, name }: InheritedSocket,
  port: number,
  options: ServerOpts & { readonly backlog: number },
  onConnection: (socket: Socket, place: ListenPlace) => void,
): Promise<AdoptedListener> {
  let place = name
  const server = createServer(options, (socket) => onConnection(socket, place))
  const what = `the inherited socket ${descriptor} (${name})`
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new Failure(`${what} ${problemOf(error)}`, exitCode.configuration)),
    )
    // Beside a descriptor, Node takes the backlog only as an argument of its own.
    server.listen({ fd: descriptor }, options.backlog, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
  const bound = server.address()
  if (typeof bound === 'string') {
    place = `unix:${bound}`
    return { server, place }
  }
  if (bound?.port === port) {
    place = bound.address
    return { server, place }
  }
  server.close()
  const where = bound === null ? 'nothing' : hostAndPort(bound.address, bound.port)
  throw new Failure(
    `${what} listens on ${where}, and this forward is of port ${port}: give both the same port`,
    exitCode.configuration,
  )
}

function problemOf(error: Error): string {
  switch (errorCode(error)) {
    case 'EBADF':
      return 'is not there'
    case 'EINVAL':
    case 'ENOTSOCK':
    case 'EOPNOTSUPP':
    case 'ERR_INVALID_FD_TYPE':
      return 'is no TCP socket that can be listened on; with systemd, Accept= must be no'
    default:
      return `cannot be listened on: ${errorText(error)}`
  }
}
