import type { Linked } from '../../control/link.ts'
import { isExiting, judgeProcess, signalProcess } from '../../process/identity.ts'
import { judgePidFile, readPidFile } from '../../record/pid-file.ts'
import { forwarderIdentity } from '../../record/shapes/control.ts'
import { OwnProcessLink } from '../../watch/own-handover.ts'

/** ms that a forwarder may take to hold its control socket again, and between two looks. */
const nameTakesMs = 1000
const nameLookMs = 20

/** Where a forwarder's control socket and PID file are. */
export interface LinkFiles {
  readonly socket: () => string
  readonly pidFile: () => string
}

/** The connection to a forward's forwarder. It ends at a handover, too: a forwarder that has handed over ends it itself. */
export class ForwarderLink extends OwnProcessLink {
  /** @param ended called when the connection has ended by itself. */
  constructor(files: LinkFiles, ended: () => void) {
    const denied = '; run the monitor as the user of its forwarders'
    super({ ...files, ended, read: (answer) => forwarderIdentity.read(answer), denied })
  }

  /** As `connect`; a living forwarder that has lost the name of its control socket takes it again at SIGHUP, at once. */
  async connectOrWake(): Promise<Linked> {
    const connection = await this.connect()
    const named = readPidFile(this.pidFile())
    if (connection !== 'absent' || named.kind !== 'identified' || isExiting(named.identity)) return connection
    if (judgePidFile(named) !== 'alive' || !signalProcess(named.identity, 'SIGHUP')) return connection
    for (let waited = 0; waited < nameTakesMs; waited += nameLookMs) {
      await new Promise((resolve) => setTimeout(resolve, nameLookMs))
      const again = await this.connect()
      if (again !== 'absent' || judgeProcess(named.identity) !== 'alive') return again
    }
    return 'absent'
  }
}
