/** The two ends of this room at Node's HTTP server: a body in, an answer out. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Reply } from './reply.ts'

/** Sends an answer, and closes the connection where the status is an error: an unread body may be on its way. */
export function sendReply(response: ServerResponse, { status, headers, body }: Reply): void {
  const closing = status >= 400 ? { connection: 'close' } : {}
  response.writeHead(status, { ...headers, ...closing, 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

/** How much of a body is read, and for how long. */
export interface BodyLimits {
  readonly bytes: number
  readonly ms: number
}

/** @returns undefined when the body is too long or too slow, or its sender is gone. */
export function readBody(request: IncomingMessage, limits: BodyLimits): Promise<string | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const deadline = setTimeout(() => finish(undefined), limits.ms)
    const finish = (body: string | undefined) => {
      clearTimeout(deadline)
      request.removeAllListeners('data').pause()
      resolve(body)
    }
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > limits.bytes) finish(undefined)
      else chunks.push(chunk)
    })
    request.once('end', () => finish(Buffer.concat(chunks).toString('utf8')))
    request.once('close', () => finish(undefined))
  })
}
