// Streams that fill the common buffer: the large buffers they read into, and the turns they take, so that everybody else's few bytes wait
// for a millisecond and not for all of theirs.
import { BufferPool } from './buffer-pool.ts'

/** One way of a stream that is, or was a moment ago, fast. */
export interface FastReader {
  /** Changes whenever a byte moved. */
  readonly progress: number
  /** Its turn has come: it may read again. */
  goOn(): void
  /** No byte has moved for a while: it gives its large buffer back, unless the kernel still takes bytes from it. */
  reclaimLarge(): void
}

/** Lent to one reader at a time. */
export interface LargeBuffer {
  readonly whole: Buffer
  /** Its beginning: what may be read in one turn beside other fast streams. */
  readonly part: Buffer
}

/**
 * As large as what the kernel sends at the most by itself (tcp(7), tcp_wmem): the fewer times sender, forwarder and receiver wake each
 * other, the faster. Only what reads fill takes memory.
 */
export const LARGE_BYTES = 4 * 1024 * 1024

/** What all fast streams together read in one turn of the event loop when there are several, in bytes: about half a millisecond. */
export const TURN_BYTES = 1024 * 1024

/**
 * Limited, or many stalled receivers would hold one each. The one that was given back last is lent first: it is still in the processor's
 * caches.
 */
const largeBuffers = new BufferPool<LargeBuffer>({
  make: () => {
    const whole = Buffer.allocUnsafeSlow(LARGE_BYTES)
    return { whole, part: whole.subarray(0, TURN_BYTES) }
  },
  keep: 2,
  limit: 16,
})

/** Who is fast, whether it has a large buffer just now or waits for its turn, and its progress when that was last looked at. */
const fastReaders = new Map<FastReader, number>()

/** @returns undefined when all are lent; the reader counts as fast nevertheless. */
export function lendLarge(reader: FastReader): LargeBuffer | undefined {
  if (!fastReaders.has(reader)) {
    fastReaders.set(reader, reader.progress)
    reclaimTimer ??= setInterval(reclaimSilent, RECLAIM_INTERVAL_MS).unref()
  }
  return largeBuffers.lend()
}

export function giveBackLarge(large: LargeBuffer): void {
  largeBuffers.giveBack(large)
}

/** The reader reads little now, or is over. */
export function isFastNoMore(reader: FastReader): void {
  fastReaders.delete(reader)
}

/** Whether no other reader is fast; for one that is. */
export function isOnlyFastReader(): boolean {
  return fastReaders.size <= 1
}

/** The part of its buffer that the next read may fill. */
export function allowance({ whole, part }: LargeBuffer): Buffer {
  return isOnlyFastReader() ? whole : part
}

/**
 * Readers that have paused until it is their turn again, and how many bytes each may read then. libuv itself reads up to 32 times in a row
 * from whoever fills the buffer each time.
 */
const waiting: { readonly reader: Pick<FastReader, 'goOn'>; readonly bytes: number }[] = []

/**
 * Calls back in the next turn of the event loop, or, when others wait for theirs, in a later one.
 * @param bytes of {@link TURN_BYTES} that its turn takes; all of them = it has the turn alone.
 */
export function waitForTurn(reader: Pick<FastReader, 'goOn'>, bytes: number): void {
  if (waiting.push({ reader, bytes }) === 1) setImmediate(nextTurn)
}

function nextTurn(): void {
  let left = TURN_BYTES
  while (left > 0) {
    const next = waiting.shift()
    if (next === undefined) return
    left -= next.bytes
    next.reader.goOn()
  }
  if (waiting.length > 0) setImmediate(nextTurn)
}

/**
 * A stream that stops exactly when the common buffer was full leaves its source waiting with a large one, and no read
 * to notice it by. Those are taken back after a while, and it no longer counts as fast.
 */
const RECLAIM_INTERVAL_MS = 1000
let reclaimTimer: NodeJS.Timeout | undefined

function reclaimSilent(): void {
  if (fastReaders.size === 0) {
    clearInterval(reclaimTimer)
    reclaimTimer = undefined
  }
  for (const [reader, progress] of fastReaders) {
    if (reader.progress === progress) {
      fastReaders.delete(reader)
      reader.reclaimLarge()
    } else fastReaders.set(reader, reader.progress)
  }
}
