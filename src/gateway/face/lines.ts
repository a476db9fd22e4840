import type { Readable, Writable } from 'node:stream'
import { errorText as reasonOf } from '../../os/failure.ts'
import { errorText, RpcError, rpcCode } from '../protocol/errors.ts'
import { elementsOf, textOf } from '../protocol/json-text.ts'
import { type Message, metaOf, onOneLine, paramsOf, readMessage } from '../protocol/message.ts'
import type { Session } from '../session.ts'
import { longestMessage } from '../upstream/limits.ts'
import { LineReader } from '../upstream/line-reader.ts'
import { Waiting } from '../waiting.ts'

/** Bytes that may wait for a client that does not read, before messages that no request waits for are left out. */
const mostWaiting = 1024 * 1024

export interface LineFace {
  /** Makes the client's session. @param unsolicited as `GatewayCore.newSession` wants it. */
  readonly session: (unsolicited: (text: string) => boolean) => Session
  readonly input: Readable
  readonly output: Writable
}

/**
 * A client on one stream each way, a message a line: stdin and stdout, or a Unix socket.
 * @returns resolves when the client has sent its last line and has its last answer, or is gone.
 */
export async function serveLines({ session: newSession, input, output }: LineFace): Promise<void> {
  const write = (text: string) => {
    if (output.writable) output.write(`${onOneLine(text)}\n`)
  }
  const session = newSession((text) => {
    if (!output.writable || output.writableLength > mostWaiting) return false
    write(text)
    return true
  })
  const underWay = new Set<Promise<unknown>>()
  /** Streams of changes, which have no end of their own. */
  const streams = new Set<Waiting>()
  const take = async (text: string): Promise<string | undefined> => {
    const message = checked(text)
    if ('refusal' in message) return message.refusal
    const own = new Waiting()
    if (message.method === 'subscriptions/listen') streams.add(own)
    try {
      return await session.take(message, { send: write }, own)
    } finally {
      streams.delete(own)
    }
  }
  const line = (text: string) => {
    if (text.trim() === '') return
    const taken = takeLine(text, take).then((answer) => {
      if (answer !== undefined) write(answer)
    })
    underWay.add(taken)
    void taken.finally(() => underWay.delete(taken))
  }
  const reader = new LineReader(longestMessage, line)
  await new Promise<void>((resolve) => {
    input.on('data', (chunk: Buffer) => {
      if (reader.feed(chunk)) return
      write(
        errorText(
          'null',
          new RpcError(rpcCode.invalidRequest, `a line is longer than ${longestMessage} bytes`),
        ),
      )
      input.destroy()
    })
    input.once('end', resolve)
    input.once('close', resolve)
    input.once('error', () => resolve())
    output.once('close', resolve)
    output.once('error', () => resolve())
    // The reader of the first line has paused it.
    input.resume()
  })
  for (const own of streams) own.abort(new Error('the client has left'))
  // Who pipes requests in still wants the answers.
  if (output.writable) await Promise.all(underWay)
  session.close()
}

/** One message, or a batch of them as revision 2025-03-26 has it, whose answers come together. */
async function takeLine(
  text: string,
  take: (text: string) => Promise<string | undefined>,
): Promise<string | undefined> {
  if (!text.trimStart().startsWith('[')) return take(text)
  try {
    JSON.parse(text)
  } catch (error) {
    return parseRefusal(error)
  }
  const answers = await Promise.all(elementsOf(text, 0).map((element) => take(textOf(text, element))))
  const given = answers.filter((answer) => answer !== undefined)
  return given.length === 0 ? undefined : `[${given.join(',')}]`
}

/** A message that is sound, or the answer that refuses it. */
export function checked(text: string): Message | { readonly refusal: string } {
  try {
    // What goes to a server that others use, too, must be JSON.
    JSON.parse(text)
  } catch (error) {
    return { refusal: parseRefusal(error) }
  }
  try {
    const message = readMessage(text)
    // What a key that is there twice means, each reader would decide for itself.
    metaOf(text, paramsOf(message))
    const id = message.id && textOf(text, message.id)
    if (message.method === undefined || id === undefined || /^["\d-]/.test(id)) return message
    return {
      refusal: errorText('null', new RpcError(rpcCode.invalidRequest, 'an id is a string or a number')),
    }
  } catch {
    return { refusal: errorText('null', new RpcError(rpcCode.invalidRequest, 'this is no JSON-RPC message')) }
  }
}

function parseRefusal(error: unknown): string {
  return errorText('null', new RpcError(rpcCode.parseError, `this is no JSON: ${reasonOf(error)}`))
}
