import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OrderAnswer } from '../orders/order.ts'
import { cut } from '../web/connections.ts'

/** ms between two signs of life: proxies end a connection that is silent for a minute. */
const heartbeatMs = 15_000

/** Bytes that may wait for a client that does not read. It is cut off then, and goes on after the last event that it has. */
const mostWaitingBytes = 1024 * 1024

/** The ms after which a browser connects again. */
const retryMs = 2000

/**
 * Sends events as Server-Sent Events (WHATWG HTML, 9.2) until the client leaves, `isAllowed` says no, or the order ends.
 * @param follow gives the order; what it emits is sent, and its answer as the last event, `answer`.
 * @param isAllowed asked now and then: a key may have been revoked, or have expired.
 */
export async function streamEvents(
  request: IncomingMessage,
  response: ServerResponse,
  follow: (emit: (event: unknown) => void, gone: AbortSignal) => Promise<OrderAnswer>,
  isAllowed: () => boolean,
): Promise<void> {
  const left = new AbortController()
  response.once('close', () => left.abort())
  response.on('error', () => {})
  const write = (text: string) => {
    if (response.destroyed || response.writableEnded) return
    if (response.writableLength > mostWaitingBytes) cut(request.socket)
    else response.write(text)
  }
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    // nginx would keep the events back.
    'x-accel-buffering': 'no',
  })
  write(`retry: ${retryMs}\n\n`)
  const beat = setInterval(() => {
    if (isAllowed()) write(': still here\n\n')
    else left.abort()
  }, heartbeatMs)
  try {
    const answer = await follow((event) => write(eventText(event)), left.signal)
    write(`event: answer\ndata: ${JSON.stringify(answer)}\n\n`)
  } finally {
    clearInterval(beat)
    response.end()
  }
}

/** JSON has no line ends, so that an event is one line of data. */
function eventText(event: unknown): string {
  const { id, event: kind } = event as { readonly id?: string; readonly event?: string }
  const name = id === undefined ? '' : `id: ${id}\n`
  return `${name}event: ${kind ?? 'message'}\ndata: ${JSON.stringify(event)}\n\n`
}
