import { randomBytes } from 'node:crypto'

/** A number of bytes at which nothing else repeats itself. */
const period = 2_000_003
const pool = randomBytes(2 * period)
let place = 0

/**
 * Bytes to be sent and compared: random ones, repeated after {@link period}, and others at every call. Megabytes that are random all the way
 * take longer to make than to be sent.
 */
export function someBytes(length: number): Buffer {
  place = (place + 1_234_567) % period
  return Buffer.alloc(length, pool.subarray(place, place + period))
}
