/** The revisions of the Model Context Protocol, and what tells its two generations apart. */

/**
 * - `legacy`: revisions up to 2025-11-25. A connection begins with `initialize`.
 * - `modern`: from 2026-07-28 on. Each request stands alone and says in `_meta` who asks.
 */
export type Era = 'legacy' | 'modern'

export const modernRevision = '2026-07-28'

/** From the newest to the oldest. */
export const legacyRevisions = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'] as const

export const newestLegacyRevision = legacyRevisions[0]

export const supportedRevisions: readonly string[] = [modernRevision, ...legacyRevisions]

/** The revision in which an `initialize` is answered: the client's when it is known here, else the newest of its generation. */
export function negotiated(asked: unknown): string {
  return legacyRevisions.find((known) => known === asked) ?? newestLegacyRevision
}

const prefix = 'io.modelcontextprotocol/'

/** The extension of the newer generation for tasks. */
export const tasksExtension = `${prefix}tasks`

/** Keys of `_meta` that the protocol itself uses. */
export const metaKey = {
  protocolVersion: `${prefix}protocolVersion`,
  clientInfo: `${prefix}clientInfo`,
  clientCapabilities: `${prefix}clientCapabilities`,
  logLevel: `${prefix}logLevel`,
  subscriptionId: `${prefix}subscriptionId`,
  serverInfo: `${prefix}serverInfo`,
  /** The task that a message belongs to. */
  relatedTask: `${prefix}related-task`,
  /** Ours: which connectors are missing in a list, and why. */
  unavailable: 'io.port-watchdog/unavailable',
} as const

/** Keys of `_meta` by which a request of the newer generation says who asks. */
export const envelopeKeys: readonly string[] = [
  metaKey.protocolVersion,
  metaKey.clientInfo,
  metaKey.clientCapabilities,
  metaKey.logLevel,
]

/** Levels of log messages, from the least to the most severe (RFC 5424). */
export const logLevels = [
  'debug',
  'info',
  'notice',
  'warning',
  'error',
  'critical',
  'alert',
  'emergency',
] as const
