import { closeSync, linkSync, lstatSync, openSync, renameSync, statSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { removeQuietly } from '../record/atomic-file.ts'
import { connectControl } from './client.ts'
import { type ControlAnswer, lineSplitter, parseRequest } from './protocol.ts'

/** Answers one command. What it returns is the result; what it throws is the error's text. */
export type CommandHandler = (args: Readonly<Record<string, unknown>>) => unknown

export type CommandHandlers = Readonly<Record<string, CommandHandler>>

export interface ControlServer {
  /** Stops listening, removes the socket's name, ends its connections. */
  close(): void
  /** False when the socket's name is gone or somebody else's: this process cannot be found there any more. */
  isHeld(): boolean
}

/** Somebody else holds the control socket; `identify` is what that process answered to `identify`, if it answered. */
export class ControlSocketHeld extends Error {
  readonly holder: unknown

  constructor(path: string, holder: unknown) {
    super(`${path} is held by a running process`)
    this.holder = holder
  }
}

/**
 * Takes a control socket and answers on it. Holding it is what makes a process the only one of its kind: the kernel lets go
 * of it when the process dies, however it dies.
 *
 * The socket listens under a name of its own first and is then linked to `path`; link(2) fails when the name is there, so
 * of any number that start in the same instant one wins. A name whose process died refuses connections and is removed by
 * whoever holds the claim file beside it.
 * @param isHeir asked when the socket is held, in the instant before it is taken: true = its holder wants this process to have
 *   it. The name then changes hands by rename(2): at no time does it lead to nobody.
 * @throws ControlSocketHeld when a living process has it.
 */
export async function holdControlSocket(
  path: string,
  handlers: CommandHandlers,
  isHeir: () => boolean = () => false,
): Promise<ControlServer> {
  const connections = new Set<Socket>()
  const server = createServer((socket) => serve(socket, handlers, connections))
  const ownName = `${path}.${process.pid}`
  removeQuietly(ownName)
  await listen(server, ownName)
  try {
    while (!tryLink(ownName, path)) {
      if (isHeir()) {
        renameSync(ownName, path)
        break
      }
      await refuseIfHeld(path)
      await removeDeadSocket(path)
    }
  } catch (error) {
    server.close()
    throw error
  } finally {
    removeQuietly(ownName)
  }
  const { ino } = statSync(path)
  server.unref()
  return { close: () => close(server, connections, path, ino), isHeld: () => isInode(path, ino) }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.removeListener('error', reject)
      server.on('error', () => {})
      resolve()
    })
  })
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  }
}

/** Throws ControlSocketHeld unless a connect shows that nobody listens there any more. */
async function refuseIfHeld(path: string): Promise<void> {
  let client: Awaited<ReturnType<typeof connectControl>>
  try {
    client = await connectControl(path)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'ENOTSOCK') return
    throw new ControlSocketHeld(path, undefined)
  }
  try {
    throw new ControlSocketHeld(path, await client.request('identify').catch(() => undefined))
  } finally {
    client.close()
  }
}

/** ms after which a claim was left behind by a process that died while it held it: it is held for microseconds. */
const claimExpiresMs = 5000

/** ms between two looks at somebody else's claim. */
const claimLookMs = 5

async function removeDeadSocket(path: string): Promise<void> {
  const claim = `${path}.claim`
  try {
    closeSync(openSync(claim, 'wx', 0o600))
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
    removeExpiredClaim(claim)
    await new Promise((resolve) => setTimeout(resolve, claimLookMs))
    return
  }
  try {
    // Again under the claim: another process may have removed the dead one and taken the name meanwhile.
    await refuseIfHeld(path)
    removeOrRefuse(path)
  } finally {
    removeQuietly(claim)
  }
}

function removeExpiredClaim(claim: string): void {
  try {
    // One from the future was left behind, too: the clock was set back.
    if (Math.abs(Date.now() - lstatSync(claim).mtimeMs) <= claimExpiresMs) return
  } catch {
    return
  }
  removeOrRefuse(claim)
}

/** What cannot be removed, a directory say, would be tried for ever. */
function removeOrRefuse(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    throw new Failure(
      `${path} is in the way and cannot be removed: ${errorText(error)}; remove it, or choose another --state-dir`,
      exitCode.configuration,
    )
  }
}

function close(server: Server, connections: Set<Socket>, path: string, ino: number): void {
  server.close()
  try {
    if (lstatSync(path).ino === ino) unlinkSync(path)
  } catch {
    // Removed by somebody: nothing left to tidy.
  }
  for (const socket of connections) socket.destroySoon()
}

function serve(socket: Socket, handlers: CommandHandlers, connections: Set<Socket>): void {
  connections.add(socket)
  socket.unref()
  socket.on('error', () => {})
  socket.on('close', () => connections.delete(socket))
  const feed = lineSplitter((line) => {
    void answer(line, handlers).then((reply) => {
      if (socket.destroyed) return
      // Whoever does not read its answers is not heard until it does; else they would pile up here.
      if (!socket.write(`${JSON.stringify(reply)}\n`)) socket.pause()
    })
  })
  socket.on('drain', () => socket.resume())
  socket.on('data', (chunk) => {
    if (!feed(chunk)) socket.destroy()
  })
}

async function answer(line: string, handlers: CommandHandlers): Promise<ControlAnswer> {
  const request = parseRequest(line)
  if (typeof request === 'string') return { id: 0, ok: false, error: request }
  const { id, command, ...args } = request
  const handler = Object.hasOwn(handlers, command) ? handlers[command] : undefined
  if (handler === undefined) {
    return {
      id,
      ok: false,
      error: `unknown command ${command}; known are ${Object.keys(handlers).join(', ')}`,
    }
  }
  try {
    return { id, ok: true, result: await handler(args) }
  } catch (error) {
    return { id, ok: false, error: errorText(error) }
  }
}

function isInode(path: string, ino: number): boolean {
  try {
    return lstatSync(path).ino === ino
  } catch {
    return false
  }
}
