import { createServer, type Server, type ServerOpts } from 'node:net'
import { errorCode, errorText, exitCode, Failure } from '../../os/failure.ts'
import { hostAndPort } from '../../os/interfaces.ts'
import type { InheritedSocket } from '../../process/inheritance.ts'
import type { ListenPlace } from './listen-plan.ts'

/** A server on a socket of somebody else's making, and where it listens. */
export interface AdoptedListener {
  readonly server: Server
  readonly place: ListenPlace
}

/**
 * Listens on an inherited socket; connections that wait in its backlog come at once.
 * @param accept told before the first of them.
 * @throws Failure when it is no listening TCP socket of this port.
 */
export async function adoptListener(
  { descriptor, name }: InheritedSocket,
  port: number,
  options: ServerOpts & { readonly backlog: number },
  accept: (server: Server, place: ListenPlace) => void,
): Promise<AdoptedListener> {
  const server = createServer(options)
  let place: ListenPlace | undefined
  const what = `the inherited socket ${descriptor} (${name})`
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new Failure(`${what} ${problemOf(error)}`, exitCode.configuration)),
    )
    // Beside a descriptor, Node takes the backlog only as an argument of its own.
    server.listen({ fd: descriptor }, options.backlog, () => {
      server.removeAllListeners('error')
      place = placeOf(server.address(), port, name)
      if (place !== undefined) accept(server, place)
      resolve()
    })
  })
  if (place !== undefined) return { server, place }
  const bound = server.address()
  server.close()
  const where =
    bound === null || typeof bound === 'string' ? 'nothing' : hostAndPort(bound.address, bound.port)
  throw new Failure(
    `${what} listens on ${where}, and this forward is of port ${port}: give both the same port`,
    exitCode.configuration,
  )
}

/** Undefined when it is not of that port. Node does not tell the path of a Unix socket that was passed on; a forwarder before does. */
function placeOf(bound: ReturnType<Server['address']>, port: number, name: string): ListenPlace | undefined {
  if (bound === null && name.startsWith('unix:')) return name
  if (typeof bound === 'string') return `unix:${bound}`
  return bound?.port === port ? bound.address : undefined
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
