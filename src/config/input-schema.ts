import type { z as Zod } from 'zod'
import { regexProblem } from './log-patterns.ts'
import type { InputRules } from './program-configuration.ts'
import * as z from './zod.ts'

const lines = z
  .array(
    z.string().superRefine((value, context) => {
      const problem = regexProblem(value)
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
    }),
  )
  .optional()

/** What may be sent to a program's stdin. */
export const input = z.union([
  z.boolean(),
  z.strictObject({
    allow: lines.describe('expressions (RE2 syntax); when there are any, each line must match one'),
    deny: lines.describe(
      'expressions; no line may match one. Without allow they are added to the usual dangers of shells and REPLs',
    ),
  }),
])

/** @returns undefined = nothing may be sent. */
export function inputRules(entry: Zod.output<typeof input> | undefined): InputRules | undefined {
  if (entry === undefined || entry === false) return undefined
  return entry === true ? { allow: [], deny: [] } : { allow: entry.allow ?? [], deny: entry.deny ?? [] }
}
