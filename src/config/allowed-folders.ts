import { realpathSync, statSync } from 'node:fs'
import path from 'node:path'

/**
 * Whether a folder is an allowed one, or below it, as both stand now: a link that leads elsewhere does not count, and neither does a folder
 * that is no more.
 * @param folder absolute, without links.
 */
export function isFolderWithin(folder: string, allowed: string): boolean {
  const [real, within] = [realFolder(folder), realFolder(allowed)]
  if (real === undefined || within === undefined || real !== folder) return false
  const way = path.relative(within, real)
  return way === '' || (!path.isAbsolute(way) && way.split(path.sep)[0] !== '..')
}

/** Where a path leads; undefined when that is no folder. */
export function realFolder(folder: string): string | undefined {
  try {
    const real = realpathSync(folder)
    return statSync(real).isDirectory() ? real : undefined
  } catch {
    return undefined
  }
}
