import { spawn } from 'node:child_process'
import { ftruncateSync } from 'node:fs'
import { system } from './system.ts'

/**
 * Frees the room of a stretch of a file that others may be appending to: what stands behind it keeps its place, and what it held reads as
 * zeros (fallocate(2), FALLOC_FL_PUNCH_HOLE). Node has no call for that, so that fallocate(1) of util-linux is run.
 * @returns false when it cannot be done: another system, no such command, a file system that knows no holes. Never rejects.
 */
export function punchHole(descriptor: number, from: number, length: number): Promise<boolean> {
  if (system.name !== 'linux') return Promise.resolve(false)
  const words = ['--punch-hole', '--offset', String(from), '--length', String(length), '/proc/self/fd/3']
  return new Promise((resolve) => {
    try {
      const child = spawn('fallocate', words, { stdio: ['ignore', 'ignore', 'ignore', descriptor] })
      child.unref()
      child.once('error', () => resolve(false))
      child.once('close', (code) => resolve(code === 0))
    } catch {
      resolve(false)
    }
  })
}

/** Empties a file. What somebody appends between the caller's last look and this call is lost. @returns false when it cannot be done. */
export function emptyFile(descriptor: number): boolean {
  try {
    ftruncateSync(descriptor, 0)
    return true
  } catch {
    return false
  }
}
