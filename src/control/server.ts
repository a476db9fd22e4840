import { closeSync, linkSync, lstatSync, openSync, renameSync, statSync, unlinkSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { removeQuietly } from '../os/atomic-file.ts'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { connectControl, holderAfter } from './client.ts'
import { type HeldSocket, isNameOf, listenUnderOwnName, release } from './named-socket.ts'
import { type ControlAnswer, ControlRefusal, lineSplitter, parseRequest, refusedAnswer } from './protocol.ts'

/** Answers one command. What it returns is the result; it throws a ControlRefusal, whose code the client gets, or any other error. */
export type CommandHandler = (args: Readonly<Record<string, unknown>>, caller: Caller) => unknown

/** Who has given a command. */
export interface Caller {
  /** Aborted when its connection has ended. */
  readonly gone: AbortSignal
  /** Sends it an event before the answer. One who does not read them misses those that do not fit into a bounded queue. */
  readonly emit: (event: unknown) => void
}

export type CommandHandlers = Readonly<Record<string, CommandHandler>>

export interface ControlServer {
  /** Stops listening, removes the socket's name, ends its connections. */
  close(): void
  /**
   * Ends the connections that are open, once what was answered is sent. A successor does this process's work now: whoever keeps a
   * connection learns of it at once and finds the successor under the same name.
   */
  endConnections(): void
  /** False when the socket's name is gone or another process's: nobody finds this process there any more. */
  isHeld(): boolean
  /**
   * Takes the name again after it was removed. Connections that are open go on. A name that another living process has is left to it.
   * @throws ControlSocketHeld when another process has it; the system's error when the directory cannot be used.
   */
  holdAgain(): Promise<void>
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
  let isClosed = false
  let held = await take(path, handlers, connections, isHeir)
  return {
    isHeld: () => isNameOf(held, path),
    holdAgain: async () => {
      const again = await take(path, handlers, connections, () => false)
      if (isClosed) return release(again, path)
      held.server.close()
      held = again
    },
    close: () => {
      isClosed = true
      release(held, path)
      endAll(connections)
    },
    endConnections: () => endAll(connections),
  }
}

async function take(
  path: string,
  handlers: CommandHandlers,
  connections: Set<Socket>,
  isHeir: () => boolean,
): Promise<HeldSocket> {
  // A client that has sent its question and its FIN still gets its answers.
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, handlers, connections))
  const ownName = await listenUnderOwnName(server, path)
  try {
    while (!tryLink(ownName, path)) {
      if (isHeir()) {
        renameSync(ownName, path)
        break
      }
      await refuseIfHeld(path)
      await removeDeadSocket(path)
    }
    const { ino, dev } = statSync(path)
    server.unref()
    return { server, inode: ino, device: dev }
  } catch (error) {
    server.close()
    throw error
  } finally {
    removeQuietly(ownName)
  }
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

/** Throws ControlSocketHeld unless a connect shows that no process listens there any more, or that the one which does is leaving. */
async function refuseIfHeld(path: string): Promise<void> {
  let client: Awaited<ReturnType<typeof connectControl>>
  try {
    client = await connectControl(path)
  } catch (error) {
    if (holderAfter(error) === 'absent') return
    throw new ControlSocketHeld(path, undefined)
  }
  try {
    const holder = await client.request('identify').catch(() => undefined)
    if (!isLeaving(holder)) throw new ControlSocketHeld(path, holder)
  } finally {
    client.close()
  }
}

/** A forwarder that drains after a signal leaves its name to the next one, and does not take it again. */
function isLeaving(holder: unknown): boolean {
  return (holder as { readonly endedBySignal?: unknown } | undefined)?.endedBySignal === true
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

function endAll(connections: ReadonlySet<Socket>): void {
  for (const socket of connections) socket.destroySoon()
}

/** ms that an answer may still take when its client has sent its FIN. */
const lastAnswersMs = 60_000

/** Bytes of events that may wait for somebody who does not read. */
const mostWaitingBytes = 1024 * 1024

function serve(socket: Socket, handlers: CommandHandlers, connections: Set<Socket>): void {
  let unanswered = 0
  let hasEnded = false
  connections.add(socket)
  socket.unref()
  socket.on('error', () => {})
  const left = new AbortController()
  socket.on('close', () => {
    connections.delete(socket)
    left.abort()
  })
  let missed = 0
  const emitFor = (id: number) => (event: unknown) => {
    if (socket.destroyed) return
    if (socket.writableLength > mostWaitingBytes) {
      missed++
      return
    }
    if (missed > 0) socket.write(`${JSON.stringify({ id, event: { event: 'missed', count: missed } })}\n`)
    missed = 0
    socket.write(`${JSON.stringify({ id, event })}\n`)
  }
  const feed = lineSplitter((line) => {
    unanswered++
    void answer(line, handlers, (id) => ({ gone: left.signal, emit: emitFor(id) })).then((reply) => {
      unanswered--
      if (socket.destroyed) return
      // Whoever does not read its answers is not heard until it does; else they would pile up here.
      if (!socket.write(`${JSON.stringify(reply)}\n`)) socket.pause()
      if (hasEnded && unanswered === 0) socket.end()
    })
  })
  socket.on('drain', () => socket.resume())
  socket.on('data', (chunk) => {
    if (!feed(chunk)) socket.destroy()
  })
  socket.on('end', () => {
    hasEnded = true
    if (unanswered === 0) socket.end()
    // A client that is gone altogether looks the same until something is written.
    socket.setTimeout(lastAnswersMs, () => socket.destroy())
  })
}

async function answer(
  line: string,
  handlers: CommandHandlers,
  callerOf: (id: number) => Caller,
): Promise<ControlAnswer> {
  const request = parseRequest(line)
  if (request instanceof ControlRefusal) return refusedAnswer(0, request)
  const { id, command, ...args } = request
  const handler = Object.hasOwn(handlers, command) ? handlers[command] : undefined
  try {
    if (handler === undefined) throw unknownCommand(command, handlers)
    return { id, ok: true, result: await handler(args, callerOf(id)) }
  } catch (error) {
    return refusedAnswer(id, error)
  }
}

function unknownCommand(command: string, handlers: CommandHandlers): ControlRefusal {
  const known = Object.keys(handlers).join(', ')
  return new ControlRefusal('unknown-command', `unknown command ${command}; known are ${known}`)
}
