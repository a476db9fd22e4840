/** How a command of ours gives an order to a monitor on another machine: over its HTTP API, with a key. */
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { isLoopback } from '../os/interfaces.ts'
import { readSecretFile } from '../os/regular-file.ts'
import type { OrderAnswer } from './order.ts'

export interface RemoteMonitor {
  /** Where its API is: `https://box.example:6280`. */
  readonly url: string
  /** A file that holds the key. */
  readonly keyFile: string
}

export interface RemoteOrder {
  readonly order: string
  readonly input: Readonly<Record<string, unknown>>
  /** ms that the answer may take. */
  readonly timeoutMs: number
  /** Gets what the order tells before it answers. */
  readonly onEvent?: (event: unknown) => void
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal
}

/**
 * Gives an order.
 * @throws Failure when the address or the key file is of no use (64, 78), the monitor cannot be reached (69), or it refuses the key (77).
 */
export async function giveRemoteOrder(
  { url, keyFile }: RemoteMonitor,
  { order, input, timeoutMs, onEvent, signal }: RemoteOrder,
): Promise<OrderAnswer> {
  const place = new URL(`/api/${order}`, demandSafe(url))
  const timeout = AbortSignal.timeout(timeoutMs)
  let response: Response
  try {
    response = await fetch(place, {
      method: 'POST',
      // A key is for this server alone.
      redirect: 'error',
      headers: {
        authorization: `Bearer ${readKey(keyFile)}`,
        'content-type': 'application/json',
        ...(onEvent === undefined ? {} : { accept: 'text/event-stream' }),
      },
      body: JSON.stringify(input),
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    })
  } catch (error) {
    if (error instanceof Failure || signal?.aborted === true) throw error
    throw unreachable(url, error)
  }
  if (response.status === 401 || response.status === 421) {
    const { error } = (await response.json()) as { error: { message: string; next: string | null } }
    const next = error.next === null ? '' : `; ${error.next}`
    throw new Failure(`${url} refuses: ${error.message}${next}`, exitCode.noPermission)
  }
  const type = response.headers.get('content-type') ?? ''
  if (type.startsWith('text/event-stream') && response.body !== null && onEvent !== undefined)
    return answerOf(url, response.body, onEvent)
  if (type.startsWith('application/json')) return (await response.json()) as OrderAnswer
  throw new Failure(`${url} is not the API of a monitor: it answers ${response.status}`, exitCode.unavailable)
}

/** Hands on every event until the last one, `answer`. */
async function answerOf(
  url: string,
  body: ReadableStream<Uint8Array>,
  onEvent: (event: unknown) => void,
): Promise<OrderAnswer> {
  let rest = ''
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + text).split('\n\n')
    rest = events.pop() ?? ''
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event)?.[1]
      if (data === undefined) continue
      if (/^event: answer$/m.test(event)) return JSON.parse(data) as OrderAnswer
      onEvent(JSON.parse(data))
    }
  }
  throw new Failure(`${url} has ended the stream; the monitor may have ended`, exitCode.unavailable)
}

/** A key is sent with every request: only over TLS, or within this machine. */
function demandSafe(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    throw new Failure(`--url: "${text}" is not an address such as https://box.example:6280`, exitCode.usage)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (url.protocol === 'https:' || host === 'localhost' || isLoopback(host)) return url
  const cure = `use https, or ssh -L 6280:127.0.0.1:${url.port || 80} ${host} and --url http://127.0.0.1:6280`
  throw new Failure(
    `--url: ${text} would send the key over the network in the clear; ${cure}`,
    exitCode.usage,
  )
}

function readKey(file: string): string {
  try {
    return readSecretFile(file).trim()
  } catch (error) {
    throw new Failure(`--key-file: ${errorText(error)}`, exitCode.configuration)
  }
}

function unreachable(url: string, error: unknown): Failure {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const isUntrusted = /SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/.test(errorCode(cause) ?? '')
  const cure = isUntrusted ? '; to trust its certificate: NODE_EXTRA_CA_CERTS=FILE proxy-ctl …' : ''
  return new Failure(`${url} cannot be asked: ${errorText(cause)}${cure}`, exitCode.unavailable)
}
