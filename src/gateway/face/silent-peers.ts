import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { monotonicMs } from '../../os/clock.ts'
import { system } from '../../os/system.ts'

/** Looks within the time that a client may be silent. */
const looks = 4

/**
 * Cuts the streams of clients that have gone without a word: a laptop that sleeps, a network that is away. The kernel takes what is written to
 * them for a quarter of an hour, its own probes rest while it tries to send, and no write ever fails.
 */
export class SilentPeers {
  readonly #answers: () => Iterable<ServerResponse>
  readonly #limitMs: number
  readonly #looking: NodeJS.Timeout
  /** Since when each has acknowledged nothing, monotonic ms. */
  #since = new Map<Socket, number>()

  /** @param answers that are under way. @param limitMs that one may acknowledge nothing. */
  constructor(answers: () => Iterable<ServerResponse>, limitMs: number) {
    this.#answers = answers
    this.#limitMs = limitMs
    this.#looking = setInterval(() => this.#look(), Math.max(50, limitMs / looks))
    this.#looking.unref()
  }

  #look(): void {
    const sockets = [...this.#answers()].flatMap(({ headersSent, socket }) => (headersSent && socket) || [])
    const silent = sockets.length === 0 ? undefined : system.silentPeers()
    const now = monotonicMs()
    const since = new Map<Socket, number>()
    for (const socket of silent === undefined ? [] : sockets) {
      const { localPort, remoteAddress, remotePort } = socket
      if (silent?.has(`${localPort} ${remoteAddress} ${remotePort}`) !== true) continue
      const begun = this.#since.get(socket) ?? now
      if (now - begun < this.#limitMs) since.set(socket, begun)
      else socket.destroy()
    }
    this.#since = since
  }

  close(): void {
    clearInterval(this.#looking)
  }
}
