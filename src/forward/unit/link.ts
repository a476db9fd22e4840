import { ControlLink, type Linked } from '../../control/link.ts'
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

/** The connection to a forward's forwarder. It ends at a handover, too: a forwarder that has handed over ends it itself. */
export class ForwarderLink extends ControlLink {
  readonly #pidFile: () => string
  /** The last one that said that it takes no more connections after a signal. */
  #leaving: ProcessIdentity | undefined

  /** @param ended called when the connection has ended by itself. */
  constructor({ socket, pidFile }: LinkFiles, ended: () => void) {
    super(socket, ended, '; run the monitor as the user of its forwarders')
    this.#pidFile = pidFile
  }

  /** As `connect`; a living forwarder that has lost the name of its control socket takes it again at SIGHUP, at once. */
  async connectOrWake(): Promise<Linked> {
    const connection = await this.connect()
    const named = readPidFile(this.#pidFile())
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
    const found = readPidFile(this.#pidFile())
    return found.kind === 'identified' && found.identity.pid !== identity.pid
  }
}
