import { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { noticePage, type Page } from './pages.ts'

/** True when a person looks at the answer. */
export function wantsPage({ headers }: IncomingMessage): boolean {
  return headers.accept?.includes('text/html') === true
}

/** Sends a page of the gate's own. */
export function sendPage(
  response: ServerResponse,
  status: number,
  { html, headers }: Page,
  more: OutgoingHttpHeaders = {},
): void {
  sendText(response, status, html, { ...headers, ...more })
}

/** Sends a text, and closes the connection where the status is an error: an unread body may be on its way. */
export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  headers: OutgoingHttpHeaders,
): void {
  const closing = status >= 400 ? { connection: 'close' } : {}
  response.writeHead(status, { ...headers, ...closing, 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

/**
 * Refuses a request for a reason that a login would not mend.
 * @param link where a person may go on.
 */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  why: string,
  link?: { readonly path: string; readonly text: string },
): void {
  if (wantsPage(request))
    return sendPage(response, status, noticePage(STATUS_CODES[status] ?? 'Refused', why, link))
  sendText(response, status, `${why}\n`, plainText)
}

/** Headers of an answer for programs. */
export const plainText: OutgoingHttpHeaders = {
  'content-type': 'text/plain; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
}

/**
 * Refuses an upgrade; there is no response object for one.
 * @param why for the person who looks at it with curl; browsers show a page nothing of it.
 */
export function refuseUpgrade(socket: Duplex, status: number, why = ''): void {
  const challenge = status === 401 ? 'WWW-Authenticate: Bearer realm="port-watchdog"\r\n' : ''
  const body = why === '' ? '' : `${why}\n`
  const type = body === '' ? '' : 'Content-Type: text/plain; charset=utf-8\r\n'
  const framing = `Connection: close\r\nContent-Length: ${Buffer.byteLength(body)}`
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${challenge}${type}${framing}\r\n\r\n`
  socket.end(head + body, () => socket.destroy())
}
