import { setTimeout as after } from 'node:timers/promises'
import { askControl } from '../control/client.ts'
import { ControlRefusal } from '../control/protocol.ts'
import {
  type LeftSocket,
  type Replacement,
  replacementOrder,
  startReplacement,
} from '../control/replacement.ts'
import type { Log } from '../log/index.ts'
import { errorText } from '../os/failure.ts'
import { ownIdentity, type ProcessIdentity, signalProcess } from '../process/identity.ts'
import { firstOf, type Inheritance, isHeir, livingPredecessors } from '../process/inheritance.ts'
import type { Reception } from './face/attach.ts'
import type { HttpFace } from './face/http.ts'
import type { GatewayCore } from './gateway-core.ts'
import type { SessionRecord } from './session-record.ts'

/** ms that the gateway before this one may take to tell its sessions, once this one serves. */
const sessionsTakeMs = 10_000

/**
 * A planned restart of the gateway. The one that runs starts its own replacement and leaves it its listening socket:
 *
 *   old: serves ─ starts new ──────────────── takes no more connections ─ passes its sessions on ─ finishes its calls ─ ends
 *   new:           serves on the same socket ─ takes control socket, clients' socket and PID file ─ ready ─ …
 *
 * Each has servers of its own: a server belongs to the process that has started it.
 */
export class Succession {
  readonly #inheritance: Inheritance
  readonly #log: Log
  #replacement: Replacement | undefined
  #successor: ProcessIdentity | undefined
  /** The gateway before this one has told its sessions. */
  allSessionsCame: () => void = () => {}

  constructor(inheritance: Inheritance, log: Log) {
    this.#inheritance = inheritance
    this.#log = log
  }

  /** True while the gateway is there that started this one, to be replaced by it. */
  isHeir(): boolean {
    return isHeir(this.#inheritance)
  }

  /** Settles when the gateway before this one has told its sessions, or will not; undefined = there is none. */
  sessionsOfPredecessor(): Promise<void> | undefined {
    if (!this.isHeir()) return undefined
    return new Promise((resolve) => {
      this.allSessionsCame = resolve
      setTimeout(resolve, sessionsTakeMs).unref()
    })
  }

  /** The process with which the chain of handovers began, and those that still finish their calls. */
  get chain() {
    const predecessors = livingPredecessors(this.#inheritance)
    return { first: firstOf(this.#inheritance), predecessors }
  }

  /** Another gateway has taken over: names and files are that one's. */
  get hasSuccessor(): boolean {
    return this.#successor !== undefined
  }

  /** A replacement has been started, and has yet to say whether it could take over. */
  get isUnderWay(): boolean {
    return this.#replacement !== undefined
  }

  /**
   * The order `hand-over`; `environment` is that of the replacement, which may have other variables for its servers.
   * @returns who took over. @throws ControlRefusal: then nothing has changed.
   */
  async replace(
    order: Readonly<Record<string, unknown>>,
    sockets: readonly LeftSocket[],
  ): Promise<ProcessIdentity> {
    const { run, timeoutMs } = replacementOrder(order)
    if (this.hasSuccessor) throw new ControlRefusal('ending', 'this gateway has handed over')
    if (this.#replacement !== undefined)
      throw new ControlRefusal('replacement-under-way', 'a replacement is being started already')
    const environment = variablesIn(order.environment) ?? process.env
    const inheritance = {
      fixed: false,
      supervisor: null,
      first: firstOf(this.#inheritance),
      predecessors: [...livingPredecessors(this.#inheritance), ownIdentity()],
    }
    try {
      this.#replacement = startReplacement({ run, timeoutMs, environment, sockets, inheritance })
      this.#successor = await this.#replacement.ready
      return this.#successor
    } catch (error) {
      const why = errorText(error)
      this.#log.error(`The replacement could not take over: ${why}; this gateway keeps running`)
      throw error instanceof ControlRefusal ? error : new ControlRefusal('replacement-failed', why)
    } finally {
      this.#replacement = undefined
    }
  }

  /** This gateway ends, with all that belongs to it: a replacement that is not ready, and those that finish their calls. */
  end(): void {
    this.#replacement?.abandon()
    if (this.hasSuccessor) return
    for (const identity of livingPredecessors(this.#inheritance)) signalProcess(identity, 'SIGTERM')
  }
}

function variablesIn(given: unknown): NodeJS.ProcessEnv | undefined {
  if (typeof given !== 'object' || given === null) return undefined
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)]))
}

/** What a gateway is that leaves. */
export interface Leaving {
  readonly core: GatewayCore
  readonly face: HttpFace | undefined
  readonly reception: Reception | undefined
  /** Where the one that has taken over takes orders. */
  readonly controlSocket: string
  readonly log: Log
}

/** ms between two looks at what is left to finish. */
const lookEveryMs = 100

/** Leaves everything to the gateway that has taken over, but for the calls that are under way. Resolves when nothing is left to do here. */
export async function leaveTo({ pid }: ProcessIdentity, leaving: Leaving): Promise<void> {
  const { core, face, reception, controlSocket, log } = leaving
  const { inFlight } = core
  const rest = inFlight > 0 ? `; ${inFlight} ${inFlight === 1 ? 'call finishes' : 'calls finish'} here` : ''
  log.info({ good: true }, `Handed over to PID ${pid}${rest}`)
  if (face !== undefined) {
    face.leave()
    const allPassed = passOn(controlSocket, face.sessions.records, true, log)
    // At once: a connection that is open may begin a session while the others are passed on.
    face.sessions.leave(async (record) => {
      await allPassed
      await passOn(controlSocket, [record], false, log)
    })
    await allPassed
  }
  reception?.leave(true)
  for (const session of core.sessions) session.endStreams()
  while (!(await hasFinished(leaving))) await after(lookEveryMs)
}

async function hasFinished({ core, face, reception }: Leaving): Promise<boolean> {
  const hasNoConnections = (await face?.isLeft()) ?? true
  if (core.inFlight > 0) return false
  // The next one has servers of its own. Who sends something on a connection that was open starts one here again.
  await Promise.all(core.upstreams.map((upstream) => upstream.rest()))
  return hasNoConnections && core.inFlight === 0 && (reception?.count ?? 0) === 0
}

/** Sessions in one order: a line of the control protocol has its limit. */
const sessionsAtOnce = 100

/** ms that the next gateway has to take them. */
const takesMs = 5000

/**
 * Passes sessions on to the gateway that has taken over.
 * @param file its control socket. @param isAll these are all: who names another one is not waited for any more. Never rejects.
 */
async function passOn(
  file: string,
  sessions: readonly SessionRecord[],
  isAll: boolean,
  log: Log,
): Promise<void> {
  try {
    for (let at = 0; at === 0 || at < sessions.length; at += sessionsAtOnce) {
      const some = sessions.slice(at, at + sessionsAtOnce)
      const isLast = isAll && at + sessionsAtOnce >= sessions.length
      await askControl(file, 'take-sessions', { sessions: some, isLast }, takesMs)
    }
  } catch (error) {
    log.warn(`Sessions could not be passed on, and their clients begin new ones: ${errorText(error)}`)
  }
}
