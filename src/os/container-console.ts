import { fstatSync, statSync } from 'node:fs'
import { isatty } from 'node:tty'

/**
 * True when standard output is the terminal of the container itself, `docker run -t` for example: what is written there goes to the log of
 * the container, too. The first process of the container writes to the same one; a shell of `docker exec` has a terminal of its own, and
 * on a machine the first process has none.
 */
export function isContainerConsole(): boolean {
  if (!isatty(1)) return false
  if (process.pid === 1) return true
  try {
    return statSync('/proc/1/fd/1').rdev === fstatSync(1).rdev
  } catch {
    // It is another user's, or there is no /proc: a machine then, as far as can be told.
    return false
  }
}
