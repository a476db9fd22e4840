/** Codes of JSON-RPC and of the Model Context Protocol. */
export const rpcCode = {
  parseError: -32_700,
  invalidRequest: -32_600,
  methodNotFound: -32_601,
  invalidParams: -32_602,
  internalError: -32_603,
  /** The session is unknown, or has ended. */
  sessionNotFound: -32_001,
  /** Revisions up to 2025-11-25. */
  resourceNotFound: -32_002,
  /** Revision 2026-07-28: a header says something else than the body. */
  headerMismatch: -32_020,
  /** A call needs what its client has not declared. */
  missingCapability: -32_021,
  unsupportedVersion: -32_022,
  /** A connector cannot be used now: it could not be started, is not tried again yet, or is disabled. */
  connectorDown: -32_050,
  /** Who asks may not. */
  forbidden: -32_051,
  /** More than this gateway takes at once. */
  overloaded: -32_052,
  /** A connector ended during the call: whether the call had an effect is unknown. */
  connectorLost: -32_053,
  /** A connector took too long. */
  connectorTimeout: -32_054,
  /** A tool needs scopes that the token has not. */
  insufficientScope: -32_055,
  /** A tool whose description has changed is held back until a person accepts it. */
  toolHeld: -32_056,
} as const

const codeNames = new Map<number, string>(
  Object.entries(rpcCode).map(([name, code]) => [
    code,
    name.replaceAll(/[A-Z]/g, (big) => `-${big.toLowerCase()}`),
  ]),
)

/** Why, in one word, for figures: `connector-down`, `overloaded`; `other` = another code. */
export function reasonOf(code: number): string {
  return codeNames.get(code) ?? 'other'
}

/** As JSON text, the data of an error that says: the gateway ends, and nothing of the request was begun. */
export const endingData = '{"ending":true}'

/** An answer that is an error: `code` is for programs, the sentence for people. */
export class RpcError extends Error {
  readonly code: number
  /** JSON. */
  readonly data: unknown

  constructor(code: number, message: string, data?: unknown) {
    super(message)
    this.code = code
    this.data = data
  }
}

/** @param id as JSON text. */
export function errorText(
  id: string,
  { code, message, data }: Pick<RpcError, 'code' | 'message' | 'data'>,
): string {
  return `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify({ code, message, ...(data === undefined ? {} : { data }) })}}`
}

/** A wait in whole seconds, as `Retry-After` has it; at least one. */
export function secondsToWait(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
