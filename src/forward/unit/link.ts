import { type ControlClient, connectControl, holderAfter } from '../../control/client.ts'
import { errorCode, errorText } from '../../os/failure.ts'
import { ShortageError, shortageOf } from '../../os/shortage.ts'
import {
  isExiting,
  judgeProcess,
  type ProcessIdentity,
  sameProcess,
  signalProcess,
} from '../../process/identity.ts'
import { judgePidFile, readPidFile } from '../../record/pid-file.ts'
import { forwarderIdentity } from '../../record/shapes/control.ts'

/** ms that a forwarder may take to hold its control socket again, and between two looks. */
const nameTakesMs = 1000
const nameLookMs = 20

/** Where a forwarder's control socket and PID file are. */
export interface LinkFiles {
  readonly socket: () => string
  readonly pidFile: () => string
}

/**
 * The one connection that is kept to a forward's forwarder. Its end is the first sign of a death, since the kernel ends the connections of a
 * process that dies, and of a handover, since a forwarder that has handed over ends them itself.
 */
export class ForwarderLink {
  readonly #files: LinkFiles
  readonly #ended: () => void
  #connection: ControlClient | undefined
  /** Under way: a second one would be kept by nobody. */
  #connecting: Promise<ControlClient | 'absent' | 'silent'> | undefined
  #closed = false
  /** The last one that said that it takes no more connections after a signal. */
  #leaving: ProcessIdentity | undefined

  /** @param ended called when the connection has ended by itself. */
  constructor(files: LinkFiles, ended: () => void) {
    this.#files = files
    this.#ended = ended
  }

  /**
   * The open connection, or why there is none: `absent`, nobody holds the socket; `silent`, who holds it does not answer.
   * @throws ShortageError when this process lacks what is needed to connect, Error when it may not (EACCES): neither says anything about the
   *   holder of the socket.
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
      const connection = await connectControl(this.#files.socket())
      // Nobody watches any more; kept open, it would keep this process alive.
      if (this.#closed) {
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
      if (holder === 'unknown')
        throw new Error(`its control socket cannot be opened: ${refusalInWords(error)}`)
      return holder
    }
  }

  /** As `connect`; a living forwarder that has lost the name of its control socket takes it again at SIGHUP, at once. */
  async connectOrWake(): Promise<ControlClient | 'absent' | 'silent'> {
    const connection = await this.connect()
    const named = readPidFile(this.#files.pidFile())
    if (connection !== 'absent' || named.kind !== 'identified' || isExiting(named.identity)) return connection
    if (judgePidFile(named) !== 'alive' || !signalProcess(named.identity, 'SIGHUP')) return connection
    for (let waited = 0; waited < nameTakesMs; waited += nameLookMs) {
      await new Promise((resolve) => setTimeout(resolve, nameLookMs))
      const again = await this.connect()
      if (again !== 'absent' || judgeProcess(named.identity) !== 'alive') return again
    }
    return 'absent'
  }

  /** Who answers as this forward's forwarder, when that is another process than this one. */
  async successorOf(identity: ProcessIdentity): Promise<ProcessIdentity | undefined> {
    const connection = await this.connect().catch(() => 'absent' as const)
    if (typeof connection === 'string') return undefined
    const answer = await connection.request('identify').catch(() => undefined)
    const found = forwarderIdentity.read(answer)
    const holder = found?.identity
    if (found?.endedBySignal === true) this.#leaving = holder
    return holder === undefined || sameProcess(holder, identity) ? undefined : holder
  }

  /** Whether the PID file names another process than this one, or `successorOf` has heard from it that it takes no more connections. */
  hasLeft(identity: ProcessIdentity): boolean {
    if (this.#leaving !== undefined && sameProcess(this.#leaving, identity)) return true
    const found = readPidFile(this.#files.pidFile())
    return found.kind === 'identified' && found.identity.pid !== identity.pid
  }

  /** Lets go of the connection, or of this one only; the next is to whoever holds the socket then. Its end is no news. */
  drop(only = this.#connection): void {
    if (this.#connection !== only) return
    this.#connection = undefined
    only?.close()
  }

  close(): void {
    this.#closed = true
    this.drop()
  }
}

function refusalInWords(error: unknown): string {
  const text = errorText(error)
  return errorCode(error) === 'EACCES' ? `${text}; run the monitor as the user of its forwarders` : text
}
