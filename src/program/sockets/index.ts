/**
 * sockets/: the sockets that the monitor holds for a program (`socket` of its configuration) and passes on at every start, so that connections wait
 * while it is restarted, instead of being refused.
 *
 *   `socket` -> `ProgramSockets.hold` (binds what is wanted, lets go of what is not) -> descriptors 3 and on of the process, told to it as
 *   sd_listen_fds(3) tells it (`socketCommand`)
 *
 * They are bound at a start and closed when the program is down: nobody waits for what does not come.
 */
import type { ListenAddress } from '../../config/program-configuration.ts'
import { errorCode, errorText } from '../../os/failure.ts'
import { type HeldSocket, holdSocket } from '../../os/held-socket.ts'

/** What became of holding them. */
export type Holding =
  | { readonly ok: true; readonly descriptors: readonly number[] }
  /** `isTaken`: somebody else listens there. */
  | { readonly ok: false; readonly address: ListenAddress; readonly isTaken: boolean; readonly why: string }

/** The sockets of one program, over all its starts. */
export class ProgramSockets {
  readonly #held = new Map<string, HeldSocket>()
  /** One after another. */
  #last: Promise<unknown> = Promise.resolve()

  /** Holds these and no others. Never rejects. */
  hold(addresses: readonly ListenAddress[]): Promise<Holding> {
    const next = this.#last.then(() => this.#hold(addresses))
    this.#last = next
    return next
  }

  /** Whether it holds a port, on any address. */
  holds(port: number): boolean {
    return [...this.#held.keys()].some((key) => key.endsWith(`:${port}`))
  }

  /** Lets go of all of them, when what is under way is over. */
  release(): void {
    if (this.#held.size > 0) void this.hold([])
  }

  async #hold(addresses: readonly ListenAddress[]): Promise<Holding> {
    const wanted = new Set(addresses.map(keyOf))
    for (const [key, socket] of this.#held) {
      if (wanted.has(key)) continue
      socket.close()
      this.#held.delete(key)
    }
    const descriptors: number[] = []
    for (const address of addresses) {
      const key = keyOf(address)
      try {
        const socket = this.#held.get(key) ?? (await holdSocket(address.host, address.port))
        this.#held.set(key, socket)
        descriptors.push(socket.descriptor)
      } catch (error) {
        const isTaken = errorCode(error) === 'EADDRINUSE'
        return { ok: false, address, isTaken, why: errorText(error) }
      }
    }
    return { ok: true, descriptors }
  }
}

function keyOf({ host, port }: ListenAddress): string {
  return `${host}:${port}`
}

/**
 * The command with what tells the process which descriptors it has: LISTEN_PID is its own PID, which only it can know, so that a shell that
 * becomes it writes that.
 */
export function socketCommand(command: readonly string[]): readonly [string, ...string[]] {
  return ['/bin/sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...command]
}

/** The other variables of sd_listen_fds(3). */
export function socketVariables(name: string, count: number): NodeJS.ProcessEnv {
  return { LISTEN_PID: '', LISTEN_FDS: String(count), LISTEN_FDNAMES: Array(count).fill(name).join(':') }
}
