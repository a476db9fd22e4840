import type { z } from 'zod'
import { problemsOf } from '../config/problems.ts'

/** Keys that people and agents write for others, and the one that is meant where an order has it. */
const meant: Readonly<Record<string, string>> = {
  name: 'units',
  names: 'units',
  program: 'units',
  programs: 'units',
  process: 'units',
  forward: 'units',
  service: 'units',
  lines: 'tail',
  limit: 'tail',
  pattern: 'regex',
  grep: 'regex',
  query: 'words',
  level: 'class',
  args: 'arguments',
  timeout: 'timeoutMs',
}

/** What is wrong with the input of an order, in words that name the right key. @param keys what it takes. */
export function inputProblem(
  issues: readonly z.core.$ZodIssue[],
  input: unknown,
  keys: readonly string[],
): string {
  const meantBy = (key: string) => {
    const name = Object.hasOwn(meant, key) ? meant[key] : undefined
    return name !== undefined && keys.includes(name) ? name : undefined
  }
  const [problem] = problemsOf(issues, input, () => keys, meantBy)
  return problem?.text ?? 'not as it should be'
}
