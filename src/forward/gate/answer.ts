/** Passes a target's answer on to the visitor: streamed as it comes, or, for the few texts that are changed, gathered first. */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Readable, Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { errorText } from '../../os/failure.ts'
import type { AnswerHead } from './answer-head.ts'
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
  /** Called when the answer cannot be passed on, before any of it is sent. */
  readonly fail: (failure: TargetFailure) => void
}

/** True for one of the few answers whose text is changed. */
export function isTranslated({ status, headers }: AnswerHead, treatment: BodyTreatment): boolean {
  const { 'content-type': type, 'content-encoding': coding = 'identity' } = headers
  const isReadable = coding === 'identity' || decoders[coding.toLowerCase()] !== undefined
  return isReadable && isTreatable(treatment, { status, type })
}

/** Targets are asked for no coding; some send one all the same. */
const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
}

/**
 * Gives Node the head, which goes out with the first bytes of the body.
 * @returns false when it cannot be passed on; `fail` was called.
 */
export function sendHead(
  { status, reason }: AnswerHead,
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
  fail: AnswerContext['fail'],
): boolean {
  try {
    response.writeHead(status, reason, headers)
    return true
  } catch (error) {
    response.statusMessage = ''
    fail({ problem: 'malformed', detail: errorText(error) })
    return false
  }
}

/** ms after which a page that is still being written is passed on as far as it has come. */
const gatherMs = 2_000

/**
 * Reads the body, changes it, sends it. Of one that turns out too long, or that its target goes on writing, what has come so far
 * is changed, and the rest passed on as it is.
 */
export function sendTranslated(
  answer: AnswerHead,
  received: Readable,
  response: ServerResponse,
  context: AnswerContext,
): void {
  const { 'content-encoding': coding = 'identity' } = answer.headers
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
  // An answer to HEAD has no body: its head is that of the answer to GET, without a length, which is not known.
  if (response.req.method === 'HEAD') {
    translate(Buffer.alloc(0))
    received.resume()
    if (sendHead(answer, response, answer.headers, context.fail)) response.end()
    return
  }
  const decode = coding === 'identity' ? undefined : decoders[coding.toLowerCase()]
  const body = decode === undefined ? received : received.pipe(decode())
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
    if (!sendHead(answer, response, answer.headers, context.fail)) return
    response.write(translated)
    body.pipe(response)
  }
  const send = () => {
    clearTimeout(deadline)
    const translated = translate(Buffer.concat(chunks))
    const headers = { ...answer.headers, 'content-length': translated.length }
    if (sendHead(answer, response, headers, context.fail)) response.end(translated)
  }
  const deadline = setTimeout(passOn, gatherMs)
  body.on('data', gather).once('end', send)
  received.once('close', () => {
    if (!received.readableEnded) clearTimeout(deadline)
  })
  response.once('close', () => clearTimeout(deadline))
  if (body === received) return
  body.on('error', (error) => {
    clearTimeout(deadline)
    received.destroy()
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

/** Changes the headers, too: the policy lets the gate's script in, and the type names an encoding that the page itself names too late. */
function documentTranslation({ headers }: AnswerHead, { origins }: AnswerContext): Translation {
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
