import type { z as Zod } from 'zod'
import * as z from '../config/zod.ts'
import { orderErrorShape, unitState } from './unit-state.ts'

/** What became of an order about one unit. */
export const unitResult = z.object({
  /** `already`: nothing had to be done. `ordered`: nobody waited for it. */
  outcome: z.enum(['done', 'already', 'ordered', 'failed']),
  error: orderErrorShape.nullable(),
  /** False = the next monitor will not know of this order: it could not be saved. */
  remembered: z.boolean(),
  state: unitState,
})

export type UnitResult = Zod.infer<typeof unitResult>
