import { ControlLink, type Linked } from '../control/link.ts'
import { type ControlErrorCode, ControlRefusal } from '../control/protocol.ts'
import { errorCode, errorText } from '../os/failure.ts'
import { type ProcessIdentity, sameProcess } from '../process/identity.ts'
import { readPidFile } from '../record/pid-file.ts'
import { handedOver } from '../record/shapes/control.ts'
import type { ReplaceOutcome } from './unit.ts'

// The handover of a process of this package: only it can pass its sockets on, so it starts its replacement itself.

/** ms that the answer to a handover may come later than the time that the replacement has. */
export const answerTakesMs = 2000

type ReplaceFailure = Extract<ReplaceOutcome, { ok: false }>['reason']

/** What a refused handover means, by the code of the refusal. */
const replaceFailures: Partial<Record<ControlErrorCode, ReplaceFailure>> = {
  'unknown-command': 'unsupported',
  'replacement-under-way': 'under-way',
  ending: 'under-way',
}

/** What a process is told that is to hand over. */
export interface HandoverOrder {
  /** The program and the words of its replacement. */
  readonly run: readonly string[]
  /** Variables for it; missing = those that the process has itself. */
  readonly environment?: NodeJS.ProcessEnv
}

/** Orders a handover. @returns what came of it. Never rejects. */
export async function orderReplacement(
  link: ControlLink,
  order: HandoverOrder,
  timeoutMs: number,
): Promise<ReplaceOutcome> {
  const failed = (message: string, reason: ReplaceFailure) => ({ ok: false, message, reason }) as const
  let connection: Linked | undefined
  try {
    const kept = await link.connect()
    connection = await link.connectApart()
    if (typeof connection === 'string') return failed('its control socket does not answer', 'unsupported')
    const answer = await connection.request('hand-over', { ...order, timeoutMs }, timeoutMs + answerTakesMs)
    // The next look is at the one that took over, whose control socket it is now.
    if (typeof kept === 'object') link.drop(kept)
    return { ok: true, identity: whoTookOver(answer) }
  } catch (error) {
    const reason = error instanceof ControlRefusal ? replaceFailures[error.code] : undefined
    return failed(errorText(error), reason ?? 'failed')
  } finally {
    if (typeof connection === 'object') connection.close()
  }
}

/** @throws Error */
export function whoTookOver(answer: unknown): ProcessIdentity {
  const identity = handedOver.read(answer)?.identity
  if (identity === undefined) throw new Error('its answer does not say which process took over')
  return identity
}

/** What such a process says of itself, whichever kind it is. */
interface Answering {
  readonly identity: ProcessIdentity
  readonly endedBySignal?: boolean
}

export interface OwnProcessLinkOptions {
  readonly socket: () => string
  readonly pidFile: () => string
  /** Called when the connection has ended by itself. */
  readonly ended: () => void
  /** Reads what it answers to `identify`. */
  readonly read: (answer: unknown) => Answering | undefined
  /** As `denied` of `ControlLink`. */
  readonly denied?: string
}

/** The connection to a process that hands over. It ends at a handover, too: one that has handed over ends it itself. */
export class OwnProcessLink extends ControlLink {
  readonly pidFile: () => string
  readonly #read: OwnProcessLinkOptions['read']
  /** The last one that said that it takes no more work after a signal. */
  #leaving: ProcessIdentity | undefined

  constructor({ socket, pidFile, ended, read, denied }: OwnProcessLinkOptions) {
    super(socket, ended, denied)
    this.pidFile = pidFile
    this.#read = read
  }

  /** Who answers in the place of this process, when that is another one. */
  async successorOf(identity: ProcessIdentity): Promise<ProcessIdentity | undefined> {
    const found = await this.#whoAnswers()
    const holder = found?.identity
    if (found?.endedBySignal === true) this.#leaving = holder
    return holder === undefined || sameProcess(holder, identity) ? undefined : holder
  }

  /**
   * Who holds the socket now. The monitor may hear of the end of a process before the end of the connection to it. Then the question fails,
   * and is asked once more over a new connection, which leads to the successor.
   */
  async #whoAnswers(isAskedAgain = false): Promise<Answering | undefined> {
    const connection = await this.connect().catch(() => 'absent' as const)
    if (typeof connection === 'string') return undefined
    try {
      return this.#read(await connection.request('identify'))
    } catch (error) {
      if (isAskedAgain || errorCode(error) !== 'ECONNRESET') return undefined
      await connection.closed
      return await this.#whoAnswers(true)
    }
  }

  /** Whether the PID file names another process than this one, or `successorOf` has heard from it that it takes no more work. */
  hasLeft(identity: ProcessIdentity): boolean {
    if (this.#leaving !== undefined && sameProcess(this.#leaving, identity)) return true
    const found = readPidFile(this.pidFile())
    return found.kind === 'identified' && found.identity.pid !== identity.pid
  }
}
