import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { oneLine } from '../../os/printable.ts'
import type { Principal } from '../principal.ts'
import { errorText, RpcError, rpcCode } from '../protocol/errors.ts'
import type { Place, View } from '../views.ts'
import type { Challenge } from './challenge.ts'
import type { Full } from './limits.ts'
import { refuse, refuseAdmission } from './visit.ts'

// What requests are refused with before any session sees them, in words.

/** Why somebody sees nothing at a place, in words. */
const refusals = {
  'not-permitted': 'this key may use none of the connectors',
  'auth-type': 'authType does not match: what was shown is of a kind that is not taken here',
  scope: 'the token does not allow this',
} as const

export function refuseView(
  response: ServerResponse,
  view: Exclude<View, { kind: 'seen' }>,
  { kind, scopes }: Principal,
  place: Place,
  challenge: (more: Challenge) => string,
): void {
  if (view.kind === 'unknown') {
    const name = (view.what === 'connector' ? place.connector : place.profile) ?? ''
    const known = view.known.join(', ') || 'none'
    const what = `there is no ${view.what} "${oneLine(name)}"; known ${view.what}s: ${known}`
    return invalid(response, 404, what)
  }
  const message = refusals[view.why]
  if (kind === 'anonymous') {
    return refuseAdmission(response, { ok: false, status: 401, message }, challenge)
  }
  const isScope = view.why === 'scope'
  const needed = [...new Set([...(scopes ?? []), ...view.scopes])]
  const more: Record<string, string> = isScope
    ? { 'www-authenticate': challenge({ error: 'insufficient_scope', description: message, scopes: needed }) }
    : {}
  refuse(response, 403, new RpcError(isScope ? rpcCode.insufficientScope : rpcCode.forbidden, message), more)
}

export function refuseFull(response: ServerResponse, { status, message }: Full): void {
  refuse(response, status, new RpcError(rpcCode.overloaded, message), { 'retry-after': '1' })
}

export function invalid(response: ServerResponse, status: number, message: string): void {
  refuse(response, status, new RpcError(rpcCode.invalidRequest, message))
}

export function forbidden(response: ServerResponse, message: string): void {
  refuse(response, 403, new RpcError(rpcCode.forbidden, message))
}

/** What is no request of HTTP gets an answer of its own, since no `ServerResponse` exists for it. */
export function refuseUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
  const status = unreadable[error.code ?? ''] ?? 400
  const what = STATUS_CODES[status] ?? ''
  const body = errorText('null', new RpcError(rpcCode.invalidRequest, `${what}: this is no valid request`))
  const head = [
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`HTTP/1.1 ${status} ${what}\r\n${head.join('\r\n')}\r\n\r\n${body}`)
}

/** By Node's code; anything else is 400. */
const unreadable: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}
