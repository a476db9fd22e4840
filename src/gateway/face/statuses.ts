import { rpcCode } from '../protocol/errors.ts'
import { readMessage } from '../protocol/message.ts'
import type { Visit } from './visit.ts'

/** The HTTP status of an error, by its JSON-RPC code. An error with another code is answered with 200. */
export type Statuses = Readonly<Partial<Record<number, number>>>

/** Revision 2026-07-28 demands these. */
export const modernStatuses: Statuses = {
  [rpcCode.insufficientScope]: 403,
  [rpcCode.methodNotFound]: 404,
  [rpcCode.unsupportedVersion]: 400,
  [rpcCode.headerMismatch]: 400,
  [rpcCode.missingCapability]: 400,
}

/** A client of the protocol asks for another token then. */
export const legacyStatuses: Statuses = { [rpcCode.insufficientScope]: 403 }

/** For a program that sends a question alone, as curl does: it looks at the status. Clients of the protocol would not read the error then. */
export const bareStatuses: Statuses = {
  [rpcCode.insufficientScope]: 403,
  [rpcCode.toolHeld]: 403,
  [rpcCode.internalError]: 500,
  [rpcCode.connectorLost]: 502,
  [rpcCode.connectorDown]: 503,
  [rpcCode.connectorTimeout]: 504,
}

/** The status that goes with an answer, and what else stands in the head. */
export function statusOf(
  answer: string | undefined,
  statuses: Statuses,
  { challenge }: Pick<Visit, 'challenge'>,
): { readonly status: number; readonly headers: Readonly<Record<string, string>> } {
  const fine = { status: 200, headers: {} }
  if (answer === undefined || !answer.includes('"error"')) return fine
  const { text, error } = readMessage(answer)
  if (error === undefined) return fine
  const { code, data } = JSON.parse(text.slice(error.start, error.end)) as {
    readonly code?: number
    readonly data?: { readonly retryAfter?: unknown; readonly scopes?: readonly string[] } | null
  }
  const status = statuses[code ?? 0] ?? 200
  const wait = data?.retryAfter
  if (status === 503 && typeof wait === 'number') return { status, headers: { 'retry-after': String(wait) } }
  // An error of a server may look like one of ours: what stands in the head is checked.
  const scopes = Array.isArray(data?.scopes)
    ? data.scopes.filter((one) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(one))
    : []
  if (status !== 403 || scopes.length === 0) return { status, headers: {} }
  return { status, headers: { 'www-authenticate': challenge({ error: 'insufficient_scope', scopes }) } }
}
