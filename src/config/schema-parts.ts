import type { z as Zod } from 'zod'
import { type Parsed, parseCpuShare, parseDuration, parseMemory } from './values.ts'
import * as z from './zod.ts'

/** A string that one of the parsers of `values.ts` understands. */
export function text<T>(parse: (text: string) => Parsed<T>) {
  return z.string().transform((value, context): T => {
    const parsed = parse(value)
    if (parsed.ok) return parsed.value
    context.issues.push({ code: 'custom', message: parsed.problem, input: value })
    return z.NEVER
  })
}

export const port = z.number().int().min(1).max(65535)
export const count = z.number().int().min(0)
export const duration = z
  .union([z.string(), z.number()])
  .transform(String)
  .pipe(text(parseDuration))
  .describe('250ms, 5s, 2m, 1h; a bare number counts seconds; 0 = off')
export const memory = z
  .union([z.string(), z.number()])
  .transform(String)
  .pipe(text(parseMemory))
  .describe('512K, 256M, 1G, to the base 1024; 0 = off')
export const cpuShare = z
  .union([z.string(), z.number()])
  .transform(String)
  .pipe(text(parseCpuShare))
  .describe('50% of one core, 200% for two cores; 0 = off')
export const oneOrMore = <T extends Zod.ZodType>(item: T) =>
  z.union([z.array(item), item.transform((value) => [value])])
