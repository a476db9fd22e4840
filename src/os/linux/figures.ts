import { readdirSync, readFileSync } from 'node:fs'
import type { ProcessFigures } from '../backend.ts'

/** Threads and open descriptors of a process. Those of another user's process are not told. */
export function figuresOf(pid: number): ProcessFigures {
  return { threads: threadsOf(pid), descriptors: descriptorsOf(pid) }
}

function threadsOf(pid: number): number | undefined {
  try {
    const found = /^Threads:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return found === undefined ? undefined : Number(found)
  } catch {
    return undefined
  }
}

function descriptorsOf(pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return undefined
  }
}
