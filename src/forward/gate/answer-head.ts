/**
 * The head of a target's answer: strictly read (RFC 9112). Whatever two readers could understand in two ways is malformed here, so
 * that the end of an answer is never a matter of opinion and its connection can carry the next request.
 */
import type { IncomingHttpHeaders } from 'node:http'

/** Bytes of an answer's head; that of Node's own client. */
export const longestAnswerHead = 16 * 1024

export interface AnswerHead {
  readonly status: number
  readonly reason: string
  /** The target speaks HTTP/1.0: it knows no chunks and closes after each answer. */
  readonly isOld: boolean
  /** Lower-case names; values of a repeated header are joined as Node's client joins them. */
  readonly headers: IncomingHttpHeaders
}

/** How the end of a body is found. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'until-close' }

/** An answer that breaks the rules of HTTP. The message says which one. */
export class MalformedAnswer extends Error {}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** What no line of a head may contain; a line break among it. */
const forbidden = /[^\t\x20-\x7e\x80-\xff]/

/** Of a repeated one the first counts. */
const single = new Set([
  ...['age', 'content-type', 'etag', 'expires', 'last-modified', 'location', 'retry-after', 'server'],
])

/**
 * @param text without the empty line that ends it, as `latin1`.
 * @throws MalformedAnswer
 */
export function readAnswerHead(text: string): AnswerHead {
  const [first = '', ...lines] = text.split('\r\n')
  const match = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/s.exec(first)
  if (match === null || forbidden.test(first)) throw new MalformedAnswer('its status line is invalid')
  const headers: IncomingHttpHeaders = {}
  for (const line of lines) addHeader(headers, line)
  return { status: Number(match[2]), reason: match[3] ?? '', isOld: match[1] === '0', headers }
}

function addHeader(headers: IncomingHttpHeaders, line: string): void {
  const colon = line.indexOf(':')
  const given = line.slice(0, Math.max(0, colon))
  if (!token.test(given)) throw new MalformedAnswer('a header has an invalid name')
  const value = withoutSpace(line.slice(colon + 1))
  if (forbidden.test(line)) throw new MalformedAnswer('a header has an invalid value')
  const name = given.toLowerCase()
  const before = headers[name]
  if (name === 'set-cookie') {
    if (headers['set-cookie'] === undefined) headers['set-cookie'] = [value]
    else headers['set-cookie'].push(value)
  } else if (before === undefined) headers[name] = value
  else if (name === 'content-length') throw new MalformedAnswer('it has several lengths')
  else if (!single.has(name)) headers[name] = `${before}, ${value}`
}

/** Without the spaces and tabs around it, and with every other character: `trim` would take a byte 0xA0 for a space, too. */
function withoutSpace(text: string): string {
  let begin = 0
  let end = text.length
  while (text[begin] === ' ' || text[begin] === '\t') begin++
  while (end > begin && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--
  return text.slice(begin, end)
}

/**
 * Finds out how an answer's body ends (RFC 9112 section 6.3).
 * @param method of the request.
 * @throws MalformedAnswer when that is ambiguous.
 */
export function framingOf({ status, isOld, headers }: AnswerHead, method: string): Framing {
  const length = headers['content-length']
  const coding = headers['transfer-encoding']
  if (coding !== undefined && (length !== undefined || isOld || !/^([\w-]+ *, *)*chunked$/i.test(coding)))
    throw new MalformedAnswer('the length of its body is ambiguous')
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new MalformedAnswer('its length is invalid')
  if (method === 'HEAD' || status === 204 || status === 304) return { kind: 'none' }
  if (coding !== undefined) return { kind: 'chunked' }
  return length === undefined ? { kind: 'until-close' } : { kind: 'length', bytes: Number(length) }
}

/** For how many ms a connection may wait for its next request; 0 = the answer is the last on it. */
export function reusableMs({ isOld, headers }: AnswerHead, atMost: number): number {
  const words = (headers.connection ?? '').toLowerCase()
  if (isOld || /(^|,)\s*close\s*(,|$)/.test(words)) return 0
  const hint = /(?:^|,)\s*timeout=(\d{1,6})/i.exec(String(headers['keep-alive'] ?? ''))?.[1]
  // A second less: the target must not close while the request is on its way.
  return hint === undefined ? atMost : Math.max(0, Math.min(atMost, Number(hint) * 1000 - 1000))
}
