import { type ControlClient, connectControl, holderAfter } from '../../control/client.ts'
import { errorCode, errorText } from '../../os/failure.ts'
import { ShortageError, shortageOf } from '../../os/shortage.ts'

/** The one connection that is kept to the gateway: its end is the first sign of a death. */
export class GatewayLink {
  readonly #file: string
  readonly #ended: () => void
  #connection: ControlClient | undefined
  #connecting: Promise<ControlClient | 'absent' | 'silent'> | undefined
  #isClosed = false

  /** @param ended called when the connection has ended by itself. */
  constructor(file: string, ended: () => void) {
    this.#file = file
    this.#ended = ended
  }

  /**
   * The open connection, or why there is none: `absent`, nobody holds the socket; `silent`, who holds it does not answer.
   * @throws ShortageError, or Error when this process may not connect: neither says anything about the gateway.
   */
  async connect(): Promise<ControlClient | 'absent' | 'silent'> {
    if (this.#connection !== undefined) return this.#connection
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined
    })
    return await this.#connecting
  }

  async #connect(): Promise<ControlClient | 'absent' | 'silent'> {
    try {
      const connection = await connectControl(this.#file)
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
    } catch (error) {
      const shortage = shortageOf(errorCode(error))
      if (shortage !== undefined) throw new ShortageError(shortage)
      const holder = holderAfter(error)
      if (holder === 'unknown') throw new Error(`its control socket cannot be opened: ${errorText(error)}`)
      return holder
    }
  }

  /** Lets go of the connection: the next is to whoever holds the socket then. Its end is no news. */
  drop(): void {
    const connection = this.#connection
    this.#connection = undefined
    connection?.close()
  }

  close(): void {
    this.#isClosed = true
    this.drop()
  }
}
