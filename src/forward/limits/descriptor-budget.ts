import { readdirSync } from 'node:fs'
import { descriptorLimit } from '../../os/descriptor-limit.ts'

/** Descriptors kept for what is no connection: DNS, control socket, logs, new listeners, a refused client's moment. */
const leastReserve = 16
const greatestReserve = 64
/** One in so many is kept, within those bounds. */
const reserveShare = 16

/**
 * How many connections the descriptor limit carries, at two descriptors each. Node does not tell when a process has run out of
 * descriptors (libuv accepts and closes what comes, in silence), so that point must not be reached.
 * @param asked what the user wants. 0 = as many as can be.
 */
export function connectionBudget(asked: number): number {
  const limit = descriptorLimit()
  const affordable = Math.max(1, Math.floor((limit - openDescriptors() - reserveOf(limit)) / 2))
  return asked === 0 ? affordable : Math.min(asked, affordable)
}

function reserveOf(limit: number): number {
  return Math.min(greatestReserve, Math.max(leastReserve, Math.floor(limit / reserveShare)))
}

function openDescriptors(): number {
  try {
    return readdirSync('/dev/fd').length
  } catch {
    return leastReserve
  }
}
