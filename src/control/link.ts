import { errorCode, errorText } from '../os/failure.ts'
import { ShortageError, shortageOf } from '../os/shortage.ts'
import { type ControlClient, connectControl, holderAfter } from './client.ts'

/** An open connection, or why there is none: `absent`, nobody holds the socket; `silent`, who holds it does not answer. */
export type Linked = ControlClient | 'absent' | 'silent'

/**
 * The one connection that a monitor keeps to a process that it looks after. Its end is the first sign of a death, since the kernel ends the
 * connections of a process that dies.
 */
export class ControlLink {
  readonly #file: () => string
  readonly #ended: () => void
  readonly #denied: string
  #connection: ControlClient | undefined
  /** Under way: a second one would be kept by nobody. */
  #connecting: Promise<Linked> | undefined
  #isClosed = false

  /**
   * @param file the control socket, as it is now.
   * @param ended called when the connection has ended by itself.
   * @param denied what to do when the system does not allow the connection (EACCES), with what separates it from the reason.
   */
  constructor(file: () => string, ended: () => void, denied = '') {
    this.#file = file
    this.#ended = ended
    this.#denied = denied
  }

  /**
   * @throws ShortageError when this process lacks what is needed to connect, Error when it may not (EACCES): neither says anything about the
   *   holder of the socket.
   */
  async connect(): Promise<Linked> {
    if (this.#connection !== undefined) return this.#connection
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined
    })
    return await this.#connecting
  }

  async #connect(): Promise<Linked> {
    const connection = await this.connectApart()
    if (typeof connection === 'string') return connection
    // Nobody watches any more; kept open, it would keep this process alive.
    if (this.#isClosed) {
      connection.close()
      return 'silent'
    }
    this.#connection = connection
    void connection.closed.then(() => {
      if (this.#connection !== connection) return
      this.#connection = undefined
      this.#ended()
    })
    return connection
  }

  /**
   * A connection beside the one that is kept, for a question whose answer may be the last thing that the other process does; the caller
   * closes it. On the one that is kept, another question may be written after the end of that process: it fails, and Node gives up
   * the connection with the answer unread.
   * @throws as `connect`.
   */
  async connectApart(): Promise<Linked> {
    try {
      return await connectControl(this.#file())
    } catch (error) {
      const code = errorCode(error)
      const shortage = shortageOf(code)
      if (shortage !== undefined) throw new ShortageError(shortage)
      const holder = holderAfter(error)
      if (holder !== 'unknown') return holder
      throw new Error(
        `its control socket cannot be opened: ${errorText(error)}${code === 'EACCES' ? this.#denied : ''}`,
      )
    }
  }

  /** Closes the connection; with an argument, only if it is still that one. The next `connect` opens a new one to the process that then holds the socket. Does not call `ended`. */
  drop(only = this.#connection): void {
    if (this.#connection !== only) return
    this.#connection = undefined
    only?.close()
  }

  close(): void {
    this.#isClosed = true
    this.drop()
  }
}
