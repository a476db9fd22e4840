/** Passes a target's answer on to the visitor: streamed as it comes, or, for the few texts that are changed, gathered first. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Readable, Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { errorText } from '../../os/failure.ts'
import {
  type BodyTreatment,
  freshNonce,
  isTreatable,
  longestTranslated,
  translateDocument,
  translateOrigins,
} from './document.ts'
import type { OriginMap } from './origins.ts'
import { letScriptIn } from './policy.ts'
import type { TargetFailure } from './target-failure.ts'

export interface AnswerContext {
  readonly origins: OriginMap
  readonly treatment: BodyTreatment
  /** Told when the answer cannot be passed on; nothing of it has been sent then. */
  readonly fail: (failure: TargetFailure) => void
}

/** Sends an answer whose headers are rewritten already. */
export function sendAnswer(answer: IncomingMessage, response: ServerResponse, context: AnswerContext): void {
  const { 'content-type': type, 'content-encoding': coding = 'identity' } = answer.headers
  const decode = coding === 'identity' ? () => answer : decoders[coding.toLowerCase()]
  if (decode === undefined || !isTreatable(context.treatment, { status: answer.statusCode, type })) {
    if (sendHead(answer, response, answer.headers, context)) answer.pipe(response)
  } else sendTranslated(answer, decode, response, context)
}

/** Targets are asked for no coding; some send one all the same. */
const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
}

/** @returns false when the target's answer is none that can be passed on, and that was told. */
function sendHead(
  answer: IncomingMessage,
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
  { fail }: AnswerContext,
): boolean {
  try {
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, headers)
  } catch (error) {
    // Node reads more than it writes: a status of 000, control characters in the reason.
    answer.destroy()
    response.statusMessage = ''
    fail({ problem: 'malformed', detail: errorText(error) })
    return false
  }
  // Else the head would wait for the first byte of the body, and an event stream may have none for hours.
  response.flushHeaders()
  return true
}

/** ms after which a page that is still being written is passed on as far as it has come. */
const gatherMs = 2_000

/**
 * Reads the body, changes it, sends it. Of one that turns out too long, or that its target goes on writing, what has come so far
 * is changed, and the rest passed on as it is.
 */
function sendTranslated(
  answer: IncomingMessage,
  decode: () => Readable,
  response: ServerResponse,
  context: AnswerContext,
): void {
  // What describes the bytes as the target sent them.
  for (const name of [
    'content-length',
    'transfer-encoding',
    'content-encoding',
    'content-md5',
    'digest',
    'etag',
    'last-modified',
  ])
    delete answer.headers[name]
  const translate =
    context.treatment === 'document' ? documentTranslation(answer, context) : originTranslation(context)
  // An answer to HEAD has no body: its head is that of the answer to GET, without a length that nobody knows.
  if (response.req.method === 'HEAD') {
    translate(Buffer.alloc(0))
    if (sendHead(answer, response, answer.headers, context)) response.end()
    return
  }
  const decoder = decode()
  const body = decoder === answer ? answer : answer.pipe(decoder as Transform)
  const chunks: Buffer[] = []
  let bytes = 0
  const gather = (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > longestTranslated) passOn()
  }
  const passOn = () => {
    clearTimeout(deadline)
    body.removeListener('data', gather).removeListener('end', send)
    const translated = translate(Buffer.concat(chunks))
    if (!sendHead(answer, response, answer.headers, context)) return
    response.write(translated)
    body.pipe(response)
  }
  const send = () => {
    clearTimeout(deadline)
    const translated = translate(Buffer.concat(chunks))
    if (sendHead(answer, response, { ...answer.headers, 'content-length': translated.length }, context))
      response.end(translated)
  }
  const deadline = setTimeout(passOn, gatherMs)
  body.on('data', gather).once('end', send)
  answer.once('close', () => {
    if (!answer.complete) clearTimeout(deadline)
  })
  response.once('close', () => clearTimeout(deadline))
  if (body === answer) return
  body.on('error', (error) => {
    clearTimeout(deadline)
    answer.destroy()
    if (response.headersSent) response.destroy()
    else
      context.fail({
        problem: 'malformed',
        detail: `its ${answer.headers['content-type']} body: ${errorText(error)}`,
      })
  })
}

type Translation = (body: Buffer) => Buffer

function originTranslation({ origins }: AnswerContext): Translation {
  return (body) => Buffer.from(translateOrigins(body.toString('latin1'), origins), 'latin1')
}

/** Changes the headers, too: the policy lets the gate's script in, and the type says an encoding that the page told late. */
function documentTranslation({ headers }: IncomingMessage, { origins }: AnswerContext): Translation {
  const nonce = freshNonce()
  let needsNonce = false
  for (const name of ['content-security-policy', 'content-security-policy-report-only']) {
    const value = headers[name]
    if (typeof value !== 'string') continue
    const admitted = letScriptIn(value, nonce)
    headers[name] = admitted.header
    needsNonce ||= admitted.needsNonce
  }
  return (body) => {
    const type = headers['content-type'] ?? 'text/html'
    const page = translateDocument(body.toString('latin1'), type, needsNonce ? nonce : '', origins)
    headers['content-type'] = page.contentType
    return Buffer.from(page.html, 'latin1')
  }
}
