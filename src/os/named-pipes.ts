import { execFileSync } from 'node:child_process'
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { removeQuietly } from './atomic-file.ts'

/**
 * Makes a named pipe (fifo(7)) anew and opens it for a child's stdin. The child can write to it, too, so that its input never ends, whoever else
 * comes and goes.
 * @throws the system's error.
 */
export function beginNamedPipe(file: string): number {
  removeQuietly(file)
  execFileSync('mkfifo', ['-m', '600', file], { stdio: 'ignore' })
  return openSync(file, constants.O_RDWR | constants.O_NOFOLLOW)
}

/**
 * Opens a named pipe to write to it.
 * @returns undefined when there is none, or nobody reads it.
 */
export function openNamedPipe(file: string): Writable | undefined {
  let fd: number | undefined
  try {
    fd = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    if (!fstatSync(fd).isFIFO()) throw new Error(`${file} is no named pipe`)
    return new Socket({ fd, readable: false, writable: true })
  } catch {
    if (fd !== undefined) closeSync(fd)
    return undefined
  }
}
