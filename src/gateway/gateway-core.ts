import { randomUUID } from 'node:crypto'
import type { ConnectorConfiguration } from '../config/connector-configuration.ts'
import type { Log } from '../log/index.ts'
import { ClientRoster } from './client-roster.ts'
import { changeNotifications, Directory } from './directory.ts'
import { Figures } from './figures.ts'
import { ParkedCalls } from './parked-calls.ts'
import type { Principal } from './principal.ts'
import type { Message } from './protocol/message.ts'
import { logLevels } from './protocol/revisions.ts'
import { RequestLog } from './request-log.ts'
import { Session, type SessionSurroundings } from './session.ts'
import type { ClientAnswer } from './upstream/call.ts'
import { sharedSession, Upstream } from './upstream/index.ts'
import type { ListKind } from './upstream/offering.ts'
import { StartSlots } from './upstream/start-slots.ts'

export interface GatewayCoreOptions {
  /** Those that are served, in the order of the configuration. */
  readonly connectors: readonly ConnectorConfiguration[]
  readonly log: Log
  /** ms that the start of one server may take. */
  readonly startTimeoutMs: number
  /** Servers are started when it is settled; missing = at once. */
  readonly cleared?: Promise<void>
}

/** ms after a change in which further changes are gathered into the same notification. */
const tellAfterMs = 100

/** The servers, what they offer, and the clients: everything that the faces share. */
export class GatewayCore implements SessionSurroundings {
  readonly upstreams: readonly Upstream[]
  readonly sessions = new Set<Session>()
  readonly roster = new ClientRoster()
  readonly figures = new Figures()
  readonly parked = new ParkedCalls()
  readonly log: Log
  readonly requests: RequestLog
  readonly #directories = new Map<string, Directory>()
  readonly #changed = new Map<Upstream, Set<ListKind>>()
  #telling: NodeJS.Timeout | undefined
  #inFlight = 0
  #quiet: (() => void) | undefined

  constructor({ connectors, log, startTimeoutMs, cleared = Promise.resolve() }: GatewayCoreOptions) {
    this.log = log
    this.requests = new RequestLog(log)
    const slots = new StartSlots()
    this.upstreams = connectors.map(
      (connector) =>
        new Upstream(connector, {
          log,
          slots,
          startTimeoutMs,
          cleared,
          changed: (upstream, kinds) => this.#hasChanged(upstream, kinds),
          notified: (upstream, message, session) => this.#notified(upstream, message, session),
          asked: (upstream, session, method, params, signal) =>
            this.#asked(upstream, session, method, params, signal),
        }),
    )
  }

  /** Starts the servers that are to run from the beginning. @param told of each that is ready or has failed. */
  async start(told: (upstream: Upstream) => void): Promise<void> {
    const started = this.upstreams.filter(({ connector }) => connector.enabled && connector.start === 'boot')
    await Promise.all(
      started.map(async (upstream) => {
        await upstream.settled()
        told(upstream)
      }),
    )
  }

  /** What a principal sees of all connectors, or of one, whose names then have no prefix. Undefined = he may see nothing of it. */
  directoryFor({ connectors }: Principal, only?: string): Directory | undefined {
    const seen = this.upstreams.filter(({ id }) => {
      return (connectors === null || connectors.includes(id)) && (only === undefined || id === only)
    })
    if (seen.length === 0) return undefined
    const key = `${only === undefined ? 'all' : 'one'} ${seen.map(({ id }) => id).join(' ')}`
    const known = this.#directories.get(key)
    if (known !== undefined) return known
    const directory = new Directory(seen, only === undefined)
    this.#directories.set(key, directory)
    return directory
  }

  /** @param unsolicited takes messages that belong to no request; false = there is no way to the client now. */
  newSession(principal: Principal, directory: Directory, unsolicited: (text: string) => boolean): Session {
    return new Session(this, { id: randomUUID(), directory, principal, unsolicited })
  }

  begun(): void {
    this.#inFlight++
  }

  ended(): void {
    this.#inFlight--
    if (this.#inFlight === 0) this.#quiet?.()
  }

  get inFlight(): number {
    return this.#inFlight
  }

  #hasChanged(upstream: Upstream, kinds: readonly ListKind[]): void {
    for (const directory of this.#directories.values()) {
      if (directory.upstreams.includes(upstream)) directory.forget()
    }
    if (kinds.length === 0) return
    const all = this.#changed.get(upstream) ?? new Set()
    for (const kind of kinds) all.add(kind)
    this.#changed.set(upstream, all)
    this.#telling ??= setTimeout(() => this.#tell(), tellAfterMs)
  }

  #tell(): void {
    this.#telling = undefined
    const changed = new Map(this.#changed)
    this.#changed.clear()
    for (const [method, kinds] of changeNotifications) {
      const of = [...changed]
        .filter(([, all]) => kinds.some((kind) => all.has(kind)))
        .map(([upstream]) => upstream)
      if (of.length === 0) continue
      for (const session of this.sessions) {
        if (of.some((upstream) => session.directory.upstreams.includes(upstream))) session.listChanged(method)
      }
    }
  }

  #notified(upstream: Upstream, message: Message, key: string): void {
    for (const session of this.#sessionsOf(upstream, key)) session.serverNotified(message)
  }

  #sessionsOf(upstream: Upstream, key: string): readonly Session[] {
    return [...this.sessions].filter(
      ({ id, directory }) => (key === sharedSession || id === key) && directory.upstreams.includes(upstream),
    )
  }

  /** A request that belongs to no call is for the only client there is. */
  #asked(
    upstream: Upstream,
    key: string,
    method: string,
    params: string | undefined,
    signal: AbortSignal,
  ): Promise<ClientAnswer> | undefined {
    const [only, ...others] = this.#sessionsOf(upstream, key).filter(({ isOpen }) => isOpen)
    return only === undefined || others.length > 0 ? undefined : only.askUnsolicited(method, params, signal)
  }

  /** Passes a notification of a client on to a server that runs. */
  tell(upstream: Upstream, session: string, method: string): void {
    upstream.tell(session, method)
  }

  /** A client wants log messages: each server sends what the one wants that wants most. */
  levelWanted(upstreams: readonly Upstream[], session: string): void {
    for (const upstream of upstreams) {
      const levels = [...this.sessions]
        .filter(({ directory, level }) => level >= 0 && directory.upstreams.includes(upstream))
        .map(({ level }) => level)
      const level = logLevels[Math.min(...levels)]
      if (level !== undefined) upstream.setLevel(session, level)
    }
  }

  /**
   * Ends it: calls that are under way may finish within the time, then servers and sessions end.
   * @param withinMs for both.
   */
  async close(withinMs: number): Promise<void> {
    clearTimeout(this.#telling)
    this.parked.close()
    if (this.#inFlight > 0) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, withinMs)
      })
      const quiet = new Promise<void>((resolve) => {
        this.#quiet = resolve
      })
      await Promise.race([late, quiet])
      clearTimeout(timer)
    }
    for (const session of [...this.sessions]) session.close('the gateway ends')
    await Promise.all(this.upstreams.map((upstream) => upstream.close()))
  }
}
