import { request } from 'node:http'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { PreparedOutcome } from '../dial/dialer.ts'

export interface Answer {
  readonly status: number
  readonly body: string
}

/** One GET request. Undefined = no answer in HTTP, or none in time. */
export type Ask = (path: string, headers?: Readonly<Record<string, string>>) => Promise<Answer | undefined>

export interface Asker {
  readonly plain: Ask
  /** The same over TLS, whatever certificate is shown: nothing secret is sent. */
  readonly secure: Ask
}

/** For the connection and the whole answer. */
const answerMs = 3_000
const mostBytes = 64 * 1024

export function asker(dial: (outcome: PreparedOutcome) => void): Asker {
  const ask = async (path: string, headers: Readonly<Record<string, string>>, isSecure: boolean) => {
    const socket = await new Promise<Socket | undefined>((resolve) => {
      dial((_failure, dialled) => resolve(dialled))
    })
    if (socket === undefined) return undefined
    try {
      return await answerOf(path, headers, isSecure ? overTls(socket) : socket)
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
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const asking = request({
      path,
      headers: { host: 'localhost', 'user-agent': 'port-watchdog', connection: 'close', ...headers },
      createConnection: () => socket,
    })
    const done = (answer?: Answer) => {
      clearTimeout(deadline)
      resolve(answer)
      asking.destroy()
    }
    const deadline = setTimeout(done, answerMs)
    asking.on('error', () => done())
    asking.on('response', (response) => {
      const status = response.statusCode ?? 0
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
        if (body.length > mostBytes) done({ status, body: body.slice(0, mostBytes) })
      })
      response.on('end', () => done({ status, body }))
      response.on('error', () => done())
    })
    asking.end()
  })
}
