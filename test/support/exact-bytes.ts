import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net, { type Socket } from 'node:net'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'

/** What one peer does: which pieces it sends, and when it rests. Turns are turns of the event loop. */
export interface Script {
  pieces: { length: number; restTurns: number }[]
  /** It reads this many chunks, then rests for so many turns, and so on. */
  chunksBeforeRest: number
  readRestTurns: number
  /** It ends only once it has received the other's FIN. */
  endsAfterPeer: boolean
}

const lengths = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 5000 }) },
  // Around the sizes at which the relay changes buffers.
  { weight: 2, arbitrary: fc.constantFrom(65535, 65536, 65537, 131072, (1 << 20) + 65536) },
  { weight: 1, arbitrary: fc.integer({ min: 5000, max: 3_000_000 }) },
)

export const scripts: fc.Arbitrary<Script> = fc.record({
  pieces: fc.array(fc.record({ length: lengths, restTurns: fc.nat(3) }), { maxLength: 12 }),
  chunksBeforeRest: fc.integer({ min: 1, max: 20 }),
  readRestTurns: fc.nat(30),
  endsAfterPeer: fc.boolean(),
})

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** What a peer sent and what it received: the length and the checksum of each. */
export interface Played {
  readonly sent: string
  readonly received: string
}

class Sum {
  #length = 0
  #checksum = 0

  update(bytes: Buffer): void {
    this.#length += bytes.length
    this.#checksum = crc32(bytes, this.#checksum)
  }

  toString(): string {
    return `${this.#length} bytes, ${this.#checksum.toString(16)}`
  }
}

/** Pieces begin within so many bytes of the pattern, and are at most three times as long. */
const patternPeriod = 1_000_003
/** Different bytes at every place, so that nothing can be swapped, lost or doubled unseen. Made once: that takes longer than all else. */
const pattern = randomBytes(4 * patternPeriod)

/** Plays a script on a socket that has no other reader. */
export async function play(socket: Socket, script: Script, seed: number): Promise<Played> {
  const sent = new Sum()
  const received = new Sum()
  let chunksLeft = script.chunksBeforeRest
  // A connection that breaks ends a play with what there was, for its digests to differ.
  const ended = new Promise<void>((resolve) => {
    socket.once('end', resolve).once('close', () => resolve())
  })
  socket.on('data', (chunk: Buffer) => {
    received.update(chunk)
    chunksLeft -= 1
    if (chunksLeft > 0) return
    chunksLeft = script.chunksBeforeRest
    socket.pause()
    void turns(script.readRestTurns).then(() => socket.resume())
  })
  socket.resume()
  let place = Math.imul(seed, 0x9e3779b1) >>> 0
  for (const { length, restTurns } of script.pieces) {
    place %= patternPeriod
    const piece = pattern.subarray(place, place + length)
    place += length
    sent.update(piece)
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain'), ended])
    await turns(restTurns)
  }
  if (script.endsAfterPeer) await ended
  socket.end()
  await ended
  return { sent: sent.toString(), received: received.toString() }
}

export function totalOf(script: Script): number {
  return script.pieces.reduce((sum, { length }) => sum + length, 0)
}

/** What the two ends of one connection sent and received. */
export interface Exchanged {
  readonly client: Played
  readonly target: Played
}

/**
 * Plays pairs of scripts, all at once, between clients of a forwarder and the target behind it.
 * @param target where the forwarder dials, listening with `allowHalfOpen` and `pauseOnConnect`.
 */
export async function exchange(
  forwarder: { readonly host: string; readonly port: number },
  target: net.Server,
  pairs: readonly (readonly [Script, Script])[],
): Promise<readonly Exchanged[]> {
  const playing: Promise<Exchanged>[] = []
  for (const [index, [clientScript, targetScript]] of pairs.entries()) {
    // One after the other, so that what connects is what is accepted.
    const client = net.connect({ ...forwarder, allowHalfOpen: true, noDelay: true }).pause()
    const [[accepted]] = (await Promise.all([once(target, 'connection'), once(client, 'connect')])) as [
      [Socket],
      unknown,
    ]
    for (const socket of [client, accepted]) socket.on('error', () => socket.destroy())
    const bothWait = clientScript.endsAfterPeer && targetScript.endsAfterPeer
    const both = Promise.all([
      play(client, clientScript, 2 * index + 1),
      play(accepted, bothWait ? { ...targetScript, endsAfterPeer: false } : targetScript, 2 * index + 2),
    ])
    playing.push(both.then(([atClient, atTarget]) => ({ client: atClient, target: atTarget })))
  }
  return Promise.all(playing)
}
