/** What is answered when a request gets no answer of an order. */

import type { OrderAnswer, OrderErrorCode } from '../orders/order.ts'
import type { Reply } from '../web/reply.ts'

/** Codes of refusals that come before any order; like those of orders they are stable. */
export type DoorErrorCode =
  /** The `Host` is none, or a name by which this server is not called. */
  | 'unknown-host'
  /** A page of somebody else's asks. */
  | 'foreign-origin'
  | 'no-key'
  | 'wrong-key'
  | 'expired-key'
  /** A session changes something and does not show its CSRF token. */
  | 'no-csrf-token'
  | 'too-many-requests'
  | 'too-large'
  | 'wrong-content-type'
  | 'wrong-method'
  | 'not-found'

export interface DoorError {
  readonly code: DoorErrorCode
  readonly message: string
  readonly next: string | null
}

const doorStatus: Readonly<Record<DoorErrorCode, number>> = {
  'unknown-host': 421,
  'foreign-origin': 403,
  'no-key': 401,
  'wrong-key': 401,
  'expired-key': 401,
  'no-csrf-token': 403,
  'too-many-requests': 429,
  'too-large': 413,
  'wrong-content-type': 415,
  'wrong-method': 405,
  'not-found': 404,
}

const orderStatus: Readonly<Partial<Record<OrderErrorCode, number>>> = {
  'unknown-order': 404,
  'unknown-unit': 404,
  'unknown-channel': 404,
  'unknown-configuration': 404,
  'invalid-input': 400,
  'not-permitted': 403,
  'change-denied': 403,
  'not-ready': 503,
  internal: 500,
  'records-unusable': 500,
}

/** An order that was carried out is 200; one that failed, for all or some units, is 409 with the whole answer, or what its code says. */
export function statusOf(answer: OrderAnswer): number {
  if ('error' in answer) return orderStatus[answer.error.code] ?? 409
  return answer.done ? 200 : 409
}

/** A refusal, in the form in which orders answer. */
export function doorReply(error: DoorError, headers: Reply['headers'] = {}): Reply {
  return {
    status: doorStatus[error.code],
    headers: { ...jsonHeaders, ...headers },
    body: `${JSON.stringify({ done: false, error })}\n`,
  }
}

export const jsonHeaders = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const
