import type { IncomingMessage, ServerResponse } from 'node:http'
import type { NotAdmitted } from '../access.ts'
import type { Directory } from '../directory.ts'
import type { Principal } from '../principal.ts'
import { errorText, RpcError, reasonOf, rpcCode, secondsToWait } from '../protocol/errors.ts'
import type { Challenge } from './challenge.ts'

/** One request that has passed the door. */
export interface Visit {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly principal: Principal
  readonly directory: Directory
  /** A client on this machine is understood although it leaves out what the specification demands. */
  readonly isLenient: boolean
  /** What the refusal asks of the client. */
  readonly challenge: (more: Challenge) => string
}

/** An answer that is an error of HTTP: its body is one of JSON-RPC that belongs to no request. */
export function refuse(
  response: ServerResponse,
  status: number,
  error: RpcError,
  more: Readonly<Record<string, string>> = {},
  id = 'null',
): void {
  // The rest of a body that is too long is read and thrown away: its sender would not read the refusal otherwise.
  const closing: Record<string, string> = status === 408 ? { connection: 'close' } : {}
  refusals.set(response, reasonOf(error.code))
  send(response, status, errorText(id, error), { ...closing, ...more })
}

/** Why answers are refusals, for figures. */
const refusals = new WeakMap<ServerResponse, string>()

/** Why this answer is a refusal; `other` = it is an error of the call itself. */
export function refusalOf(response: ServerResponse): string {
  return refusals.get(response) ?? 'other'
}

/** A method of HTTP that means nothing here. @param allow those that do. */
export function refuseMethod(response: ServerResponse, method: string | undefined, allow: string): void {
  const what = `Method Not Allowed: ${method} is not understood here`
  refuse(response, 405, new RpcError(rpcCode.invalidRequest, what), { allow })
}

/** Who has shown nothing that admits him. @param challenge what he is to show. */
export function refuseAdmission(
  response: ServerResponse,
  { status, message, waitMs, isToken = false }: NotAdmitted,
  challenge: (more: Challenge) => string,
): void {
  const more: Record<string, string> =
    status === 401
      ? { 'www-authenticate': challenge(isToken ? { error: 'invalid_token', description: message } : {}) }
      : { 'retry-after': String(secondsToWait(waitMs ?? 0)) }
  refuse(response, status, new RpcError(rpcCode.forbidden, message), more)
}

export function send(
  response: ServerResponse,
  status: number,
  body: string,
  more: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...more,
  })
  response.end(body)
}
