/** The order log-counts: how many lines of each class programs printed. */
import type { z as Zod } from 'zod'
import { duration } from '../config/schema-parts.ts'
import * as z from '../config/zod.ts'
import { logged, logLine, teller } from './log-orders.ts'
import { type Order, row } from './order.ts'

const minute = 60_000

const classCount = z.object({
  class: z.string(),
  count: z.number(),
  recent: z.number().describe('lines within the window'),
  first: logLine.nullable(),
  last: logLine.nullable(),
})

const countsOutput = z.object({
  units: z.array(
    z.object({
      unit: z.string(),
      since: z.string().nullable().describe('time of the oldest line that is counted'),
      lines: z.number(),
      classes: z.array(classCount).describe('classes of which there was a line'),
      lost: z.object({
        lines: z.number().describe('lines that could not be kept: the disk was full'),
        bytes: z.number(),
        cutBytes: z.number().describe('bytes beyond 8 KiB of a line'),
      }),
      rotated: z.number().describe('lines that made room for newer ones'),
      problem: z.string().nullable().describe('why lines cannot be kept at present'),
    }),
  ),
})

export type CountsOutput = Zod.infer<typeof countsOutput>

export const logCountOrder: Order = row({
  name: 'log-counts',
  summary: 'Count the lines of each class that programs printed, with the first and the last of each.',
  scope: 'read',
  changes: false,
  perUnit: true,
  input: z.strictObject({
    units: z.array(z.string()).default([]).describe('names of programs; none = all'),
    window: duration
      .refine((ms) => ms <= 10 * minute, '10m at most')
      .optional()
      .describe('how far back `recent` reaches: 30s, 5m, 10m at most; default 1m'),
  }),
  output: countsOutput,
  carryOut: async ({ units, window = minute }, { monitor }) => {
    const tell = await teller(false)
    return {
      units: logged(units, monitor).map(({ name, output }) => {
        const { since, classes, ...counts } = output.counts(window)
        return {
          ...counts,
          unit: name,
          since: since === null ? null : new Date(since).toISOString(),
          classes: classes.map(({ first, last, ...count }) => ({
            ...count,
            first: first && tell(name, first),
            last: last && tell(name, last),
          })),
        }
      }),
    }
  },
})
