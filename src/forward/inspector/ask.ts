import { request } from 'node:http'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { PreparedOutcome } from '../dial/dialer.ts'

export interface Answer {
  readonly status: number
  readonly body: string
}

/**
 * Why there is no answer: `unreachable` = no connection was made; `closed` = the target ended it without a word, as a TLS server does with
 * plain HTTP; `stranger` = it speaks another protocol, or is silent.
 */
export type NoAnswer = 'unreachable' | 'closed' | 'stranger'

/** One GET request on a connection of its own. */
export type Ask = (path: string, headers?: Readonly<Record<string, string>>) => Promise<Answer | NoAnswer>

export interface Asker {
  readonly plain: Ask
  /** The same over TLS, whatever certificate is shown: nothing secret is sent. */
  readonly secure: Ask
}

/** For the whole answer. An Inspector that has just begun to listen on a busy machine takes seconds. */
const answerMs = 10_000
const mostBytes = 64 * 1024

export function asker(dial: (outcome: PreparedOutcome) => void): Asker {
  const ask = async (path: string, headers: Readonly<Record<string, string>>, isSecure: boolean) => {
    const socket = await new Promise<Socket | undefined>((resolve) => {
      dial((_failure, dialled) => resolve(dialled))
    })
    if (socket === undefined) return 'unreachable'
    try {
      return await answerOf(path, headers, isSecure ? overTls(socket) : socket)
    } catch {
      // Whatever a target does, it must not end the forwarder.
      return 'stranger'
    } finally {
      socket.destroy()
    }
  }
  return {
    plain: (path, headers = {}) => ask(path, headers, false),
    secure: (path, headers = {}) => ask(path, headers, true),
  }
}

function overTls(socket: Socket): Socket {
  return connectTls({ socket, rejectUnauthorized: false }).on('error', () => {})
}

function answerOf(
  path: string,
  headers: Readonly<Record<string, string>>,
  socket: Socket,
): Promise<Answer | NoAnswer> {
  return new Promise((resolve) => {
    const asking = request({
      path,
      headers: { host: 'localhost', 'user-agent': 'port-watchdog', connection: 'close', ...headers },
      createConnection: () => socket,
    })
    const done = (answer: Answer | NoAnswer) => {
      clearTimeout(deadline)
      resolve(answer)
      asking.destroy()
    }
    const deadline = setTimeout(done, answerMs, 'stranger')
    asking.on('error', () => done(socket.bytesRead === 0 ? 'closed' : 'stranger'))
    asking.on('response', (response) => {
      const status = response.statusCode ?? 0
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
        if (body.length > mostBytes) done({ status, body: body.slice(0, mostBytes) })
      })
      response.on('end', () => done({ status, body }))
      response.on('error', () => done('stranger'))
    })
    asking.end()
  })
}
