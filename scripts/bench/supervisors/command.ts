// What the two commands of this folder have in common.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

// Compiled into dist/scripts/bench/supervisors/.
export const ROOT = resolve(import.meta.dirname, '../../../..')

export class UsageError extends Error {}

export function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text))
    throw new UsageError(`--${option} wants a whole number above 0, not "${text}"`)
  return Number(text)
}

export function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`)
}

export function writeJson(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`)
  say(`wrote ${file}`)
}

/** Runs a command to its end; every error becomes a line, and the exit code 1. */
export async function run(usage: string, main: () => Promise<void>): Promise<void> {
  try {
    await main()
  } catch (error) {
    const wrongWords =
      error instanceof UsageError ||
      (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    process.stderr.write(`bench: ${wrongWords ? `${error.message}\n${usage}` : stack}\n`)
    process.exitCode = 1
  }
}
