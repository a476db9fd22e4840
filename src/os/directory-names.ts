import { readdirSync, statSync } from 'node:fs'

/** ms after which a change of a folder gives it another time for certain. */
const clockTicksMs = 100

let listed:
  | { readonly directory: string; readonly changedAt: number; readonly names: readonly string[] }
  | undefined

/**
 * The names in a folder that is looked at often, in no order. A state directory has thousands where many programs print, and is listed again
 * only when it has changed. For one folder at a time.
 * @throws the system's error.
 */
export function namesIn(directory: string): readonly string[] {
  const changedAt = statSync(directory).mtimeMs
  if (listed?.directory === directory && listed.changedAt === changedAt) return listed.names
  const names = readdirSync(directory)
  const isSettled = Math.abs(Date.now() - changedAt) > clockTicksMs
  listed = isSettled ? { directory, changedAt, names } : undefined
  return names
}
