import { connect, type Socket } from 'node:net'
import { errorCode } from '../os/failure.ts'
import { timeLimit } from '../os/time-limit.ts'
import {
  type ControlAnswer,
  type ControlEvent,
  ControlRefusal,
  lineSplitter,
  longestAnswer,
  longestLine,
  parseAnswer,
} from './protocol.ts'
import { socketName } from './socket-path.ts'

/**
 * A connection to a control socket. It may be kept open: its end is the earliest sign that the other process is gone.
 */
export interface ControlClient {
  /**
   * Asks and waits for the answer.
   * @throws ControlRefusal when the other side says no; an error with the code ETIMEDOUT when it has not answered within `timeoutMs`,
   *   with ECONNRESET when it goes away.
   * @param onEvent gets each event that the other side sends before its answer.
   */
  request(
    command: string,
    args?: Readonly<Record<string, unknown>>,
    timeoutMs?: number,
    onEvent?: (event: unknown) => void,
  ): Promise<unknown>
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>
  close(): void
}

/** ms that an answer may take. A healthy event loop answers in well under one. */
const defaultTimeoutMs = 2000

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
  readonly onEvent: (event: unknown) => void
  /** Bytes that the answer may have. */
  readonly longest: number
}

/**
 * Opens a control socket.
 * @throws the system's error: ENOENT nobody was ever there, ECONNREFUSED whoever was there died, or ETIMEDOUT.
 */
export function connectControl(path: string, timeoutMs = defaultTimeoutMs): Promise<ControlClient> {
  return new Promise((resolve, reject) => {
    const name = socketName(path)
    // The system looks the name up within this call.
    const socket = connect(name.path)
    name.close()
    const inTime = timeLimit(timeoutMs, () => {
      socket.destroy(Object.assign(new Error(`no answer from ${path}`), { code: 'ETIMEDOUT' }))
    })
    socket.once('error', (error) => {
      inTime()
      reject(error)
    })
    socket.once('connect', () => {
      inTime()
      socket.removeAllListeners('error')
      resolve(speak(socket))
    })
  })
}

/**
 * What a failed connect to a control socket says about its holder.
 * @returns `absent`: nobody holds it. `silent`: its holder does not accept. `unknown`: the connect failed on this side (EACCES, EMFILE and
 *   the like) and says nothing; so does an error of another kind.
 */
export function holderAfter(error: unknown): 'absent' | 'silent' | 'unknown' {
  switch (errorCode(error)) {
    case 'ECONNREFUSED':
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ENOTSOCK':
      return 'absent'
    case 'ETIMEDOUT':
    // The queue of its listener is full.
    case 'EAGAIN':
      return 'silent'
    default:
      return 'unknown'
  }
}

/** Opens a control socket, asks one thing, closes it. */
export async function askControl(
  path: string,
  command: string,
  args: Readonly<Record<string, unknown>> = {},
  timeoutMs = defaultTimeoutMs,
): Promise<unknown> {
  const client = await connectControl(path, timeoutMs)
  try {
    return await client.request(command, args, timeoutMs)
  } finally {
    client.close()
  }
}

function speak(socket: Socket): ControlClient {
  const waiting = new Map<number, Waiting>()
  let lastId = 0
  socket.on('error', () => {})
  const longest = () => Math.max(longestLine, ...[...waiting.values()].map((asked) => asked.longest))
  const feed = lineSplitter((line) => settle(waiting, parseAnswer(line)), longest)
  socket.on('data', (chunk) => {
    if (!feed(chunk)) socket.destroy()
  })
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      for (const { reject } of waiting.values()) reject(connectionClosed())
      waiting.clear()
      resolve()
    })
  })
  const request: ControlClient['request'] = (
    command,
    args = {},
    timeoutMs = defaultTimeoutMs,
    onEvent = () => {},
  ) =>
    new Promise((resolve, reject) => {
      if (socket.destroyed) return reject(connectionClosed())
      const id = ++lastId
      const finish = timeLimit(timeoutMs, () => {
        waiting.delete(id)
        reject(Object.assign(new Error(`no answer within ${timeoutMs} ms`), { code: 'ETIMEDOUT' }))
      })
      waiting.set(id, {
        longest: longestAnswer(command),
        onEvent,
        resolve: (result) => {
          finish()
          resolve(result)
        },
        reject: (error) => {
          finish()
          reject(error)
        },
      })
      socket.write(`${JSON.stringify({ ...args, id, command })}\n`)
    })
  return { request, closed, close: () => socket.destroy() }
}

function connectionClosed(): Error {
  return Object.assign(new Error('the control connection was closed'), { code: 'ECONNRESET' })
}

function settle(waiting: Map<number, Waiting>, answer: ControlAnswer | ControlEvent | undefined): void {
  const asked = answer === undefined ? undefined : waiting.get(answer.id)
  if (answer === undefined || asked === undefined) return
  if ('event' in answer) return asked.onEvent(answer.event)
  waiting.delete(answer.id)
  if (answer.ok) asked.resolve(answer.result)
  else asked.reject(new ControlRefusal(answer.code, answer.error, answer.next))
}
