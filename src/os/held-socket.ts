import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { getSystemErrorName } from 'node:util'

/** A TCP socket that listens, and from which this process accepts nothing: connections wait until a process that it is passed to does. */
export interface HeldSocket {
  readonly descriptor: number
  /** Nobody listens any more, unless another process has it, too. */
  close(): void
}

/** A bound socket as Node has it inside. */
interface Bound {
  readonly fd: number
  getsockname(into: object): number
  close(): void
}

/** Undocumented, but what node:cluster is made of, and the same since Node 0.6: binds, and does not accept, which `listen` always does. */
type Bind = (address: string, port: number, family: 4 | 6, fd: undefined, flags: number) => Bound | number

/** Connections that may wait; the system allows fewer where net.core.somaxconn is lower. */
const backlog = 4096

/** Has a socket listen, which is a property of the socket and not of the process, and ends before it would accept anything. */
const listenOnce = `require('node:net').createServer()
  .on('error', ({ code }) => { process.stderr.write(code); process.exit(1) })
  .listen({ fd: 3, backlog: ${backlog} }, () => process.exit(0))`

/**
 * Listens on an address of this machine.
 * @throws Error with the code of the system (EADDRINUSE, EACCES, EADDRNOTAVAIL), or of a process that cannot be started.
 */
export async function holdSocket(host: string, port: number): Promise<HeldSocket> {
  const bind = (net as unknown as { readonly _createServerHandle?: Bind })._createServerHandle
  if (bind === undefined) throw failure('ENOSYS', 'this version of Node cannot hold sockets')
  const bound = bind(host, port, net.isIPv6(host) ? 6 : 4, undefined, 0)
  if (typeof bound === 'number') throw failure(getSystemErrorName(bound), `listen on ${host}:${port}`)
  // That the address is taken is told late.
  const status = bound.getsockname({})
  const code = status === 0 ? await listen(bound.fd) : getSystemErrorName(status)
  if (code === undefined) return { descriptor: bound.fd, close: () => bound.close() }
  bound.close()
  throw failure(code, `listen on ${host}:${port}`)
}

/** @returns the code of the error; undefined = it listens. */
async function listen(descriptor: number): Promise<string | undefined> {
  const child = spawn(process.execPath, ['-e', listenOnce], {
    stdio: ['ignore', 'ignore', 'pipe', descriptor],
    env: {},
  })
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const [status] = await once(child, 'close')
  if (status === 0) return undefined
  return /^E[A-Z]+$/.test(said) ? said : 'EINVAL'
}

function failure(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}
