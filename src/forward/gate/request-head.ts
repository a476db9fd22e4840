/** The head of a request as the gate writes it: from headers that were read and judged, never from bytes of the visitor. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

/** How the target finds the end of a request's body. */
export type RequestFraming = 'none' | 'length' | 'chunked'

/** As Node's parser has read it: it refuses a request with both, or with a length that is none. */
export function requestFraming({ headers }: Pick<IncomingMessage, 'headers'>): RequestFraming {
  if (headers['transfer-encoding'] !== undefined) return 'chunked'
  return headers['content-length'] === undefined ? 'none' : 'length'
}

/** Methods that may be asked again when a kept connection turns out to be closed (RFC 9110 section 9.2.2). */
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/** Such a request may go out on a connection that was kept: were it lost, it can be sent again as it was. */
export function isRepeatable(request: Pick<IncomingMessage, 'method' | 'headers'>): boolean {
  return requestFraming(request) === 'none' && idempotent.has(request.method ?? '')
}

/** Methods whose requests servers expect a length of, be it 0. */
const lengthless = new Set(['GET', 'HEAD', 'TRACE'])

/** Written here, or of no meaning behind the gate. */
const own = new Set(['connection', 'transfer-encoding', 'content-length'])

const forbidden = /[^\t\x20-\x7e\x80-\xff]/

/**
 * @param connection what the header of that name says.
 * @returns with the empty line at its end; to be sent as `latin1`.
 * @throws Error when a header would break out of its line, which only a mistake of the gate's could bring about.
 */
export function requestHead(
  method: string,
  path: string,
  headers: IncomingHttpHeaders,
  framing: RequestFraming,
  connection: string,
): string {
  if (/[^\x21-\xff]/.test(path) || path === '') throw new Error('the path of a request is invalid')
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${headers.host ?? ''}\r\n`
  for (const name in headers) {
    const value = headers[name]
    if (value === undefined || name === 'host' || own.has(name)) continue
    if (Array.isArray(value)) for (const each of value) head += line(name, each)
    else head += line(name, value)
  }
  if (framing === 'chunked') head += 'transfer-encoding: chunked\r\n'
  else if (framing === 'length') head += line('content-length', headers['content-length'] ?? '')
  else if (!lengthless.has(method)) head += 'content-length: 0\r\n'
  return `${head}connection: ${connection}\r\n\r\n`
}

function line(name: string, value: string): string {
  if (forbidden.test(value)) throw new Error(`the header ${name} is invalid`)
  return `${name}: ${value}\r\n`
}
