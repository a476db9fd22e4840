import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { someBytes } from './some-bytes.ts'
import { inTime } from './tools.ts'

/** What came of many connections: `exact`, `wrong bytes`, or the code of an error. */
export type Outcomes = Map<string, number>

/** Sends random bytes to an echo and compares what comes back, to the end of the stream. */
function exchange(port: number, size: number): Promise<string> {
  return new Promise((resolve) => {
    const sent = someBytes(size)
    const received: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', autoSelectFamily: false, allowHalfOpen: true })
    socket.on('data', (chunk) => received.push(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.on('end', () => resolve(Buffer.concat(received).equals(sent) ? 'exact' : 'wrong bytes'))
    socket.end(sent)
  })
}

/** Clients that never stop connecting: each begins its next connection a moment after its last one has ended. */
export class RestlessClients {
  readonly outcomes: Outcomes = new Map()
  readonly #running: Promise<unknown>
  #stopped = false
  #waiting: (() => void)[] = []

  /** @param restMs between two connections of a client. Without a rest the clients leave no processor time to the program under test. */
  constructor(port: number, count: number, mostBytes: number, restMs = 1) {
    const run = async () => {
      while (!this.#stopped) {
        const outcome = await exchange(port, 1 + Math.floor(Math.random() * mostBytes))
        this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1)
        for (const resolve of this.#waiting.splice(0)) resolve()
        await new Promise((resolve) => setTimeout(resolve, restMs))
      }
    }
    this.#running = Promise.all(Array.from({ length: count }, run))
  }

  /** Resolves when this many more connections have ended. */
  after(count: number): Promise<void> {
    return inTime(this.#end(count), () => `of ${count} connections; so far: ${inspect(this.outcomes)}`)
  }

  async #end(count: number): Promise<void> {
    for (let ended = 0; ended < count; ended++) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  async stop(): Promise<Outcomes> {
    this.#stopped = true
    await this.#running
    return this.outcomes
  }
}

/** A stream that stays open, over which exchanges are made now and then. */
export class LongStream {
  readonly #socket: Socket
  #received: Buffer[] = []
  #length = 0
  #end: string | undefined
  #changed = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => {
      this.#received.push(chunk)
      this.#length += chunk.length
      this.#changed()
    })
    socket.on('error', (error) => {
      this.#end = error.message
    })
    socket.on('close', () => {
      this.#end ??= 'it was ended'
      this.#changed()
    })
  }

  static async open(port: number): Promise<LongStream> {
    const socket = connect({ port, host: '127.0.0.1', autoSelectFamily: false })
    await once(socket, 'connect')
    return new LongStream(socket)
  }

  /** Sends random bytes to the echo. @throws when something else comes back, or the stream is broken. */
  async exchange(size: number): Promise<void> {
    const sent = someBytes(size)
    this.#received = []
    this.#length = 0
    this.#socket.write(sent)
    await inTime(this.#comes(size), () => `${this.#length} of ${size} bytes have come back`)
    if (this.#end !== undefined) throw new Error(this.#end)
    if (!Buffer.concat(this.#received).equals(sent)) throw new Error('wrong bytes')
  }

  async #comes(size: number): Promise<void> {
    while (this.#length < size && this.#end === undefined) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }

  /** Ends it and waits until the other side has ended it, too. */
  async close(): Promise<void> {
    this.#socket.end()
    if (this.#end === undefined) await once(this.#socket, 'close')
    if (this.#end !== 'it was ended') throw new Error(this.#end)
  }
}
