import type { IncomingMessage } from 'node:http'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import type { Message } from '../protocol/message.ts'
import { longestMessage } from '../upstream/limits.ts'
import { checked } from './lines.ts'
import { refuse, send, type Visit } from './visit.ts'

/** ms for a whole body. */
const bodyMs = 30_000

/** The message in the body; undefined = it was refused. */
export async function messageIn({ request, response }: Visit): Promise<Message | undefined> {
  const refused = (status: number, what: string): undefined => {
    refuse(response, status, new RpcError(rpcCode.invalidRequest, what))
  }
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? ''))
    return refused(415, 'Content-Type must be application/json')
  const body = await textOfBody(request, longestMessage)
  if (body === 413) return refused(413, `a message has at most ${longestMessage / 1024 / 1024} MB`)
  if (body === 408) return refused(408, 'the body did not arrive in time')
  if (body.trimStart().startsWith('['))
    return refused(400, 'the gateway takes no batches over HTTP; send one message')
  const message = checked(body)
  if (!('refusal' in message)) return message
  send(response, 400, message.refusal)
  return undefined
}

/** The body as text, or the status that refuses one of more bytes, or that does not come. What comes after a refusal is thrown away, so that its sender gets to read the refusal. */
export function textOfBody(request: IncomingMessage, longest: number): Promise<string | 413 | 408> {
  return new Promise((resolve) => {
    let chunks: Buffer[] = []
    let bytes = 0
    const late = setTimeout(() => done(408), bodyMs)
    const done = (result: string | 413 | 408) => {
      clearTimeout(late)
      chunks = []
      resolve(result)
    }
    const isTooLong = Number(request.headers['content-length'] ?? 0) > longest
    if (isTooLong) done(413)
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > longest) return done(413)
      if (!isTooLong) chunks.push(chunk)
    })
    request.once('end', () => {
      const [only] = chunks
      done((chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)).toString('utf8'))
    })
    request.once('close', () => done(408))
  })
}
