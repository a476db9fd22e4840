/** What to do next, as an error tells it: words, or an order, which each road names as those who use it give it. */

/** An order that is the next step: a row of the table, and the units that it is about. */
export interface NextOrder {
  readonly order: string
  readonly units: readonly string[]
}

/** The same with the command that a person types. */
export interface TypedOrder extends NextOrder {
  readonly typed: string
}

export type NextStep = string | TypedOrder | null

/** @param typed the command where it is not `proxy-ctl ORDER UNIT`. */
export function nextOrder(order: string, unit?: string, typed?: string): TypedOrder {
  const units = unit === undefined ? [] : [unit]
  return { order, units, typed: typed ?? ['proxy-ctl', order, ...units].join(' ') }
}

/** Its status, for a person the page of one unit. */
export function nextStatus(unit: string): TypedOrder {
  return nextOrder('status', unit, `proxy-status ${unit}`)
}

/** Why it does not run: for a person its history. */
export function nextWhy(unit: string): TypedOrder {
  return nextOrder('status', unit, `proxy-log --why ${unit}`)
}

/** The same for an error: `next` as a person types it. */
export function fieldsOf(next: NextStep): { readonly next: string | null; readonly nextOrder?: NextOrder } {
  if (next === null || typeof next === 'string') return { next }
  const { order, units, typed } = next
  return { next: typed, nextOrder: { order, units } }
}
