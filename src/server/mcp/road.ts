import type { NextOrder } from '../../orders/next-step.ts'
import type { Order, OrderAnswer, OrderErrorCode } from '../../orders/order.ts'
import type { JournalEntry } from '../../record/shapes/journal.ts'

/** What keeps an order from a monitor; the other codes are those of orders. */
export type RoadErrorCode =
  | OrderErrorCode
  /** None runs there. */
  | 'no-monitor'
  /** It ended while it carried the order out. */
  | 'interrupted'
  /** It cannot be asked. */
  | 'unavailable'

/** Why there is no result, for a person or a model. */
export interface RoadError {
  readonly code: RoadErrorCode
  readonly message: string
  readonly next: string | null
  readonly nextOrder?: NextOrder | undefined
}

export type RoadAnswer = OrderAnswer | { readonly done: false; readonly error: RoadError }

export interface GivenCall {
  /** Aborted when the client waits no longer. */
  readonly signal: AbortSignal
  /** Gets what the order tells before it answers. */
  readonly onEvent?: (event: unknown) => void
}

/** How an MCP server reaches the monitor, with the rights of whoever it serves. */
export interface OrderRoad {
  /** Gives an order. Never rejects: what went wrong is in the answer. */
  give(order: string, input: Readonly<Record<string, unknown>>, call: GivenCall): Promise<RoadAnswer>
  /** Calls back with every event of the monitor; undefined = some may have been missed. @returns what ends that. */
  follow(seen: (entry: JournalEntry | undefined) => void): () => void
  /** Whether whoever it serves may give this order. */
  allows(order: Order): boolean
}
