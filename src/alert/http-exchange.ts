import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { errorCode, errorText } from '../os/failure.ts'
import { type HttpAnswer, judgeAnswer, type Outcome } from './outcome.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** ms for all of it: name, connection, TLS, answer. */
  readonly timeoutMs: number
}

/** How much of an answer is read: enough for what a receiver says about a mistake. */
const longestBody = 4096

/**
 * Sends one request and says what came of it. Never rejects. Redirects are not followed, because the URL is a secret. Each request has its
 * own connection: alerts are rare, and one kept open would be closed by the other side just when it is needed.
 */
export async function exchange(wanted: HttpRequest): Promise<Outcome> {
  const signal = AbortSignal.timeout(wanted.timeoutMs)
  try {
    return judgeAnswer(await answerTo(wanted, signal), Date.now())
  } catch (error) {
    const why = signal.aborted ? `no answer within ${wanted.timeoutMs / 1000} s` : connectionTrouble(error)
    return { kind: 'retry', why, afterMs: undefined }
  }
}

function answerTo({ method, url, headers, body }: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const target = new URL(url)
    const request = target.protocol === 'https:' ? requestHttps : requestHttp
    const length = method === 'GET' ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const outgoing = request(target, { method, headers: { ...headers, ...length }, signal, agent: false })
    outgoing.on('error', reject)
    outgoing.on('response', (incoming) => {
      let text = ''
      const done = () => {
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: text.slice(0, longestBody),
        })
        incoming.destroy()
      }
      incoming.setEncoding('utf8')
      incoming.on('error', reject)
      incoming.on('aborted', () => reject(new Error('the connection broke off within the answer')))
      incoming.on('data', (chunk: string) => {
        text += chunk
        if (text.length >= longestBody) done()
      })
      incoming.on('end', done)
    })
    outgoing.end(method === 'GET' ? undefined : body)
  })
}

function connectionTrouble(error: unknown): string {
  switch (errorCode(error)) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `its name cannot be resolved (${errorCode(error)})`
    case 'ECONNREFUSED':
      return 'connection refused'
    case 'ECONNRESET':
    case 'EPIPE':
      return 'the connection broke off'
    default:
      return errorText(error)
  }
}
