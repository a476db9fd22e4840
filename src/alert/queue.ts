import { createHash } from 'node:crypto'
import type { AlertMessage, IncidentChange, QueuedMessage } from '../record/shapes/alerts.ts'

/** The message that holds these changes. */
export function messageOf(changes: readonly IncidentChange[]): AlertMessage {
  const hash = createHash('sha256')
  for (const { id } of changes) hash.update(`${id}\n`)
  return { id: `msg_${hash.digest('hex').slice(0, 24)}`, changes }
}

/** How many changes one channel keeps for a receiver that does not take them. */
export const longestQueue = 1000

/** More messages than these become one. */
const separateMessages = 3

/** The most changes that one message is made of. */
const longestMessage = 100

export interface Enqueued {
  readonly queue: readonly QueuedMessage[]
  /** Changes that had to go. */
  readonly dropped: number
}

/**
 * Adds a message. Changes that are queued already are passed over: a monitor that was killed between writing queue and incidents
 * hands them in again. Beyond `limit` changes the oldest messages go, except one that is on its way.
 */
export function enqueue(
  queue: readonly QueuedMessage[],
  message: AlertMessage,
  isSending: boolean,
  limit = longestQueue,
): Enqueued {
  const known = new Set(queue.flatMap(({ changes }) => changes.map(({ id }) => id)))
  const changes = message.changes.filter(({ id }) => !known.has(id))
  if (changes.length === 0) return { queue, dropped: 0 }
  const longer = [...queue, { ...messageOf(changes), attempted: false, dropped: 0 }]
  return withinLimit(longer, isSending ? 1 : 0, limit)
}

function withinLimit(queue: readonly QueuedMessage[], kept: number, limit: number): Enqueued {
  const rest = [...queue]
  let dropped = 0
  // The newest stays, however long it is.
  while (changesIn(rest) > limit && rest.length > kept + 1) {
    const [oldest] = rest.splice(kept, 1)
    dropped += oldest?.changes.length ?? 0
    const next = rest[kept]
    if (next !== undefined)
      rest[kept] = { ...next, dropped: next.dropped + (oldest?.changes.length ?? 0) + (oldest?.dropped ?? 0) }
  }
  return { queue: rest, dropped }
}

export function changesIn(queue: readonly QueuedMessage[]): number {
  return queue.reduce((sum, { changes }) => sum + changes.length, 0)
}

/** When more than three messages wait, those that were not sent yet become one, of 100 changes at most. */
export function coalesce(queue: readonly QueuedMessage[]): readonly QueuedMessage[] {
  if (queue.length <= separateMessages) return queue
  const merged: QueuedMessage[] = []
  for (const message of queue) {
    const last = merged.at(-1)
    const fits = last !== undefined && last.changes.length + message.changes.length <= longestMessage
    if (!fits || last.attempted || message.attempted) {
      merged.push(message)
      continue
    }
    merged[merged.length - 1] = {
      ...messageOf([...last.changes, ...message.changes]),
      attempted: false,
      dropped: last.dropped + message.dropped,
    }
  }
  return merged
}
