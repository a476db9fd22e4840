import { type IncomingHttpHeaders, type OutgoingHttpHeaders, STATUS_CODES } from 'node:http'
import { noticePage, type Page } from './pages.ts'

/** An answer as data. The HTTP server in use sends it: with Node's server, `sendReply` does. */
export interface Reply {
  readonly status: number
  readonly headers: OutgoingHttpHeaders
  readonly body: string
}

/** True when a person looks at the answer. */
export function wantsPage({ accept }: IncomingHttpHeaders): boolean {
  return accept?.includes('text/html') === true
}

export function pageReply(status: number, { html, headers }: Page, more: OutgoingHttpHeaders = {}): Reply {
  return { status, headers: { ...headers, ...more }, body: html }
}

/** An answer for programs. */
export function textReply(status: number, text: string, more: OutgoingHttpHeaders = {}): Reply {
  return { status, headers: { ...plainText, ...more }, body: text }
}

/**
 * The refusal of a request for a reason that a login would not mend: a page for a person, a line for a program.
 * @param headers of the request.
 * @param link where a person may go on.
 */
export function refusal(
  headers: IncomingHttpHeaders,
  status: number,
  why: string,
  link?: { readonly path: string; readonly text: string },
): Reply {
  return wantsPage(headers)
    ? pageReply(status, noticePage(STATUS_CODES[status] ?? 'Refused', why, link))
    : textReply(status, `${why}\n`)
}

const plainText: OutgoingHttpHeaders = {
  'content-type': 'text/plain; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
}
