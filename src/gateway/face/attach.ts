import { lstatSync, renameSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { type HeldSocket, listenUnderOwnName, release } from '../../control/named-socket.ts'
import { socketName } from '../../control/socket-path.ts'
import type { GatewayCore } from '../gateway-core.ts'
import { owner } from '../principal.ts'
import { serveLines } from './lines.ts'

/**
 * Clients of this user that come through another process of this package: `mcp-proxy start` without --http finds the gateway that runs and
 * passes lines through, so that all applications share one set of servers. The first line says which connectors are wanted, the answer is
 * one line, too, and then the protocol itself begins.
 */

/**
 * What a gateway that leaves says to its clients, between messages of the protocol. The second: a monitor starts the next one, and no client
 * should.
 */
export const leavingLines: readonly [string, string] = [
  '{"port-watchdog":"leaving"}',
  '{"port-watchdog":"leaving","to":"monitor"}',
]

interface Wish {
  /** Undefined = all that the gateway serves. */
  readonly connectors?: readonly string[]
}

/** `isKept`: a monitor starts the gateway again when it dies. */
type Answer =
  | { readonly ok: true; readonly isKept?: boolean }
  | { readonly ok: false; readonly error: string }

/** Where clients of this user come in. */
export interface Reception {
  /** Makes the socket again after somebody has removed it. */
  openAgain(): Promise<void>
  /** Takes no more clients, and tells those that are there to go to the next gateway when they have their answers. */
  leave(isForMonitor: boolean): void
  close(): void
  /** Clients that are there. */
  readonly count: number
}

/** Takes clients at a socket that only this user can open. */
export async function receiveClients(file: string, core: GatewayCore, isKept: boolean): Promise<Reception> {
  const sockets = new Set<Socket>()
  const served = new Set<Socket>()
  const taken = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => {
      sockets.delete(socket)
      served.delete(socket)
    })
    void receive(socket, core, isKept, () => served.add(socket))
  }
  let held = await listen(file, taken)
  return {
    openAgain: async () => {
      held.server.close()
      held = await listen(file, taken)
    },
    leave: (isForMonitor) => {
      // After a handover the name is another one's.
      release(held, file)
      const line = leavingLines[isForMonitor ? 1 : 0]
      for (const socket of served) socket.write(`${line}\n`)
    },
    close: () => {
      for (const socket of sockets) socket.destroySoon()
    },
    get count() {
      return sockets.size
    },
  }
}

/** Who holds the gateway's control socket is the only one: what lies there is dead, or left to this process. */
async function listen(file: string, taken: (socket: Socket) => void): Promise<HeldSocket> {
  const server = createServer({ allowHalfOpen: true }, taken)
  const own = await listenUnderOwnName(server, file)
  const { ino: inode, dev: device } = lstatSync(own)
  // At no time does the name lead to nobody.
  renameSync(own, file)
  return { server, inode, device }
}

async function receive(socket: Socket, core: GatewayCore, isKept: boolean, taken: () => void): Promise<void> {
  const first = await firstLine(socket)
  if (first === undefined) return void socket.destroy()
  const wish = wishIn(first)
  if (wish === undefined) return void socket.end(`${JSON.stringify(notUnderstood)}\n`)
  const { connectors } = wish
  const known = core.upstreams.map(({ id }) => id)
  const unknown = connectors?.find((id) => !known.includes(id))
  const directory = core.directoryFor(connectors ?? null)
  const answer: Answer =
    unknown !== undefined || directory === undefined
      ? {
          ok: false,
          error: `the gateway that runs does not serve "${unknown ?? ''}"; it serves ${known.join(', ')}`,
        }
      : { ok: true, isKept }
  socket.write(`${JSON.stringify(answer)}\n`)
  if (!answer.ok || directory === undefined) return void socket.end()
  taken()
  const session = (unsolicited: (text: string) => boolean) => core.newSession(owner, directory, unsolicited)
  await serveLines({ session, input: socket, output: socket })
  socket.end()
}

const notUnderstood: Answer = { ok: false, error: 'the first line does not say which connectors are wanted' }

function wishIn(line: string): Wish | undefined {
  try {
    const wish = JSON.parse(line) as { readonly connectors?: unknown } | null
    if (typeof wish !== 'object' || wish === null) return undefined
    const { connectors } = wish
    if (connectors === undefined) return {}
    const isList = Array.isArray(connectors) && connectors.every((id) => typeof id === 'string')
    return isList ? { connectors } : undefined
  } catch {
    return undefined
  }
}

/** The first line, without reading on; undefined when there is none. */
function firstLine(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    let bytes: Buffer = Buffer.alloc(0)
    const take = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      const end = bytes.indexOf(10)
      if (end < 0) return
      socket.removeListener('data', take)
      socket.pause()
      const rest = bytes.subarray(end + 1)
      if (rest.length > 0) socket.unshift(rest)
      resolve(bytes.toString('utf8', 0, end))
    }
    socket.on('data', take)
    socket.once('close', () => resolve(undefined))
  })
}

/**
 * Asks the gateway that runs to take a client.
 * @returns undefined when no gateway answers there; else what it said, and with `ok` the connection, which is paused.
 */
export async function knock(
  file: string,
  wish: Wish,
): Promise<
  | { readonly ok: true; readonly socket: Socket; readonly isKept: boolean }
  | { readonly ok: false; readonly error: string }
  | undefined
> {
  const socket = await connected(file)
  if (socket === undefined) return undefined
  socket.write(`${JSON.stringify(wish)}\n`)
  const line = await firstLine(socket)
  if (line === undefined) return undefined
  const said = JSON.parse(line) as Answer
  if (said.ok) return { ok: true, socket, isKept: said.isKept === true }
  socket.destroy()
  return said
}

function connected(file: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    let name: ReturnType<typeof socketName>
    try {
      name = socketName(file)
    } catch {
      return resolve(undefined)
    }
    // Who has sent its last line still gets its answers.
    const socket = connect({ path: name.path, allowHalfOpen: true })
    name.close()
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      socket.on('error', () => {})
      resolve(socket)
    })
    socket.once('error', () => resolve(undefined))
  })
}
