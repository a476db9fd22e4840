import { randomUUID } from 'node:crypto'
import type { ConnectorConfiguration, PinMode } from '../config/connector-configuration.ts'
import type { Log } from '../log/index.ts'
import { within } from '../os/time-limit.ts'
import { conditionInWords, type ToolsCondition } from '../record/shapes/gateway-conditions.ts'
import { ClientRoster } from './client-roster.ts'
import { changeNotifications, Directory, type OfferedPart } from './directory.ts'
import { Figures } from './figures.ts'
import { Logins } from './login/index.ts'
import { ParkedCalls } from './parked-calls.ts'
import { type Pins, pinModeOf } from './pins.ts'
import type { Principal } from './principal.ts'
import { type Message, messageText, readMessage, relatedTaskOf } from './protocol/message.ts'
import { logLevels } from './protocol/revisions.ts'
import type { RememberedOfferings } from './remembered-offerings.ts'
import { RequestLog } from './request-log.ts'
import { Session, type SessionSurroundings } from './session.ts'
import type { Tap } from './tap/index.ts'
import { Tasks } from './tasks.ts'
import type { ClientAnswer } from './upstream/call.ts'
import { Upstream } from './upstream/index.ts'
import { allListKinds, type ListKind } from './upstream/offering.ts'
import { sharedSession } from './upstream/slot.ts'
import { StartSlots } from './upstream/start-slots.ts'

export interface GatewayCoreOptions {
  /** Those that are served, in the order of the configuration. */
  readonly connectors: readonly ConnectorConfiguration[]
  readonly log: Log
  /** Where the gateway keeps its logins at servers. */
  readonly stateDirectory: string
  /** The owner's clients find tools before they call them. */
  readonly isLazy?: boolean
  /** ms that the start of one server may take. */
  readonly startTimeoutMs: number
  /** Servers are started when it is settled; missing = at once. */
  readonly cleared?: Promise<void>
  /** What connectors offered when they ran last; missing = nothing is remembered. */
  readonly remembered?: RememberedOfferings
  /** Missing = nobody can look at the messages. */
  readonly tap?: Tap
  /** How tools were when they were trusted; missing = nothing is held against that. */
  readonly pins?: Pins
  /** Of connectors that say nothing themselves; missing = off. */
  readonly pin?: PinMode
}

/** What a new configuration has changed, by the ids of connectors. */
export interface ConnectorChange {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Another process, or another connection. */
  readonly restarted: readonly string[]
  /** Other rules, and the same process. */
  readonly changed: readonly string[]
}

/** The error of a call that is still under way when the gateway ends. */
const endedDuringCall = 'the gateway ended before the answer came; whether the call had an effect is unknown'

/** ms after a change in which further changes are gathered into the same notification. */
const tellAfterMs = 100

function toolsCondition(connector: string, changed: readonly string[], mode: PinMode): ToolsCondition {
  const condition = changed.length === 0 ? 'well' : 'failing'
  return { about: 'tools', connector, condition, changed, isHeld: mode === 'strict' }
}

/** The servers, what they offer, and the clients: everything that the faces share. */
export class GatewayCore implements SessionSurroundings {
  #upstreams: readonly Upstream[]
  readonly #upstreamOf: (connector: ConnectorConfiguration) => Upstream
  readonly sessions = new Set<Session>()
  readonly roster = new ClientRoster()
  readonly figures = new Figures()
  readonly parked = new ParkedCalls()
  readonly tasks = new Tasks()
  readonly tap: Tap | undefined
  readonly log: Log
  readonly requests: RequestLog
  readonly #isLazy: boolean
  readonly #remembered: RememberedOfferings | undefined
  readonly #pins: Pins | undefined
  #pin: PinMode
  readonly #directories = new Map<string, Directory>()
  /** Lists that clients are yet to be told of, by connector. */
  readonly #changed = new Map<string, Set<ListKind>>()
  /** Those that are no longer served, and finish their calls. */
  readonly #leaving = new Set<Upstream>()
  #telling: NodeJS.Timeout | undefined
  #inFlight = 0
  #quiet: (() => void) | undefined
  /** It takes nothing new. */
  isEnding = false

  constructor({
    connectors,
    log,
    stateDirectory,
    startTimeoutMs,
    isLazy = false,
    cleared = Promise.resolve(),
    remembered,
    tap,
    pins,
    pin = 'off',
  }: GatewayCoreOptions) {
    this.#isLazy = isLazy
    this.#remembered = remembered
    this.#pins = pins
    this.#pin = pin
    this.log = log
    this.tap = tap
    this.requests = new RequestLog(log)
    const slots = new StartSlots()
    const logins = new Logins(stateDirectory)
    this.#upstreamOf = (connector) =>
      new Upstream(connector, {
        log,
        tap,
        slots,
        loginFor: (connector) => logins.of(connector),
        startTimeoutMs,
        cleared,
        remembered: (connector) => remembered?.of(connector),
        changed: (upstream, kinds) => this.#hasChanged(upstream, kinds),
        notified: (upstream, message, session) => this.#notified(upstream, message, session),
        asked: (upstream, session, method, params, signal) =>
          this.#asked(upstream, session, method, params, signal),
      })
    this.#upstreams = connectors.map(this.#upstreamOf)
    // What is remembered of a server that sleeps is offered, too.
    for (const upstream of this.#upstreams) this.#holdAgainstPins(upstream)
  }

  /** In the order of the configuration. */
  get upstreams(): readonly Upstream[] {
    return this.#upstreams
  }

  /**
   * Serves these from now on. It restarts only those that have changed, lets running calls finish where they are, keeps its
   * clients, and tells them which lists have changed.
   * @param pin as in `GatewayCoreOptions`.
   */
  reconfigure(connectors: readonly ConnectorConfiguration[], pin: PinMode): ConnectorChange {
    const heldBefore = new Map(this.#upstreams.map((upstream) => [upstream.id, this.#heldOf(upstream)]))
    const before = new Map(this.#upstreams.map((upstream) => [upstream.id, upstream]))
    const change = {
      added: [] as string[],
      removed: [] as string[],
      restarted: [] as string[],
      changed: [] as string[],
    }
    const next = connectors.map((connector) => {
      const known = before.get(connector.id)
      before.delete(connector.id)
      if (known === undefined) {
        change.added.push(connector.id)
        return this.#upstreamOf(connector)
      }
      const became = known.reconfigure(connector)
      if (became !== 'same') change[became].push(connector.id)
      return known
    })
    this.#upstreams = next
    this.#pin = pin
    for (const upstream of next) {
      this.#holdAgainstPins(upstream)
      const held = heldBefore.get(upstream.id)
      if (held !== undefined && held !== this.#heldOf(upstream)) this.#hasChanged(upstream, ['tools'])
    }
    // Who may see what may have changed, too.
    for (const directory of this.#directories.values()) directory.forget()
    for (const upstream of before.values()) {
      change.removed.push(upstream.id)
      this.#hasChanged(upstream, allListKinds)
      this.#leaving.add(upstream)
      void upstream.leave().then(() => this.#leaving.delete(upstream))
    }
    for (const upstream of next) if (change.added.includes(upstream.id)) upstream.begin()
    return change
  }

  /** Starts the servers that are to run from the beginning. @param told of each that is ready or has failed. */
  async start(told: (upstream: Upstream) => void): Promise<void> {
    const started = this.#upstreams.filter(({ connector }) => connector.enabled && connector.start === 'boot')
    await Promise.all(
      started.map(async (upstream) => {
        await upstream.settled()
        told(upstream)
      }),
    )
  }

  /** What the owner of this process sees: all connectors, or those that he names. Undefined = none of these is served. */
  directoryFor(connectors: readonly string[] | null): Directory | undefined {
    const sees = (id: string) => connectors === null || connectors.includes(id)
    const directory = this.directoryOf(`owner ${connectors?.join(' ') ?? '*'}`, {
      sees,
      isPrefixed: true,
      isLazy: this.#isLazy,
    })
    return directory.upstreams.length === 0 ? undefined : directory
  }

  /** @param key says all that makes a difference: who has the same shares it. */
  directoryOf(key: string, part: OfferedPart): Directory {
    const known = this.#directories.get(key)
    if (known !== undefined) return known
    const directory = new Directory(
      () => this.#upstreams,
      part,
      (connector, tool) => this.#isHeld(connector, tool),
    )
    this.#directories.set(key, directory)
    return directory
  }

  /** By what `directoryOf` knows it; another process with the same configuration has the same. */
  keyOf(directory: Directory): string | undefined {
    for (const [key, known] of this.#directories) if (known === directory) return key
    return undefined
  }

  /**
   * @param unsolicited takes messages that belong to no request; false = there is no way to the client now.
   * @param id of one that another process has begun; missing = a new one.
   */
  newSession(
    principal: Principal,
    directory: Directory,
    unsolicited: (text: string) => boolean,
    id: string = randomUUID(),
  ): Session {
    return new Session(this, { id, directory, principal, unsolicited })
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

  /** How the tools of a connector are pinned; undefined = it is not served. */
  pinModeOf(id: string): PinMode | undefined {
    const connector = this.#upstreams.find((one) => one.id === id)?.connector
    return connector && pinModeOf(connector, this.#pin)
  }

  #isHeld(id: string, tool: string): boolean {
    return this.#pins?.hasChanged(id, tool) === true && this.pinModeOf(id) === 'strict'
  }

  #heldOf({ id, offering }: Upstream): string {
    return offering.tools
      .filter(({ key }) => this.#isHeld(id, key))
      .map(({ key }) => key)
      .join('\n')
  }

  /** Compares what a connector offers with its pins, and reports each difference once. */
  #holdAgainstPins(upstream: Upstream): void {
    const mode = this.pinModeOf(upstream.id)
    if (this.#pins === undefined || mode === undefined || mode === 'off') return
    const changed = this.#pins.look(upstream)
    if (changed.length === 0) return
    const condition = toolsCondition(upstream.id, changed, mode)
    this.log.error({ unit: upstream.id }, conditionInWords(condition))
  }

  /** A person trusts the tools that have changed. @param tool undefined = all of the connector. @returns their names. */
  acceptTools(id: string, tool: string | undefined): readonly string[] {
    const accepted = this.#pins?.accept(id, tool) ?? []
    const upstream = this.#upstreams.find((one) => one.id === id)
    if (upstream !== undefined && accepted.length > 0) this.#hasChanged(upstream, ['tools'])
    return accepted
  }

  /** The tools of each connector that have changed since somebody trusted them. */
  toolsConditions(): readonly ToolsCondition[] {
    return this.#upstreams.flatMap(({ id }) => {
      const mode = this.pinModeOf(id) ?? 'off'
      if (this.#pins === undefined || mode === 'off') return []
      return [toolsCondition(id, this.#pins.changedNames(id), mode)]
    })
  }

  #hasChanged(upstream: Upstream, kinds: readonly ListKind[]): void {
    if (kinds.includes('tools')) this.#holdAgainstPins(upstream)
    for (const directory of this.#directories.values()) {
      if (directory.sees(upstream.id)) directory.forget()
    }
    if (kinds.length === 0) return
    if (this.#upstreams.includes(upstream) && upstream.isKnown) this.#remembered?.keep(upstream)
    const all = this.#changed.get(upstream.id) ?? new Set()
    for (const kind of kinds) all.add(kind)
    this.#changed.set(upstream.id, all)
    this.#telling ??= setTimeout(() => this.#tell(), tellAfterMs)
  }

  #tell(): void {
    this.#telling = undefined
    const changed = new Map(this.#changed)
    this.#changed.clear()
    for (const [method, kinds] of changeNotifications) {
      const of = [...changed]
        .filter(([, all]) => kinds.some((kind) => all.has(kind)))
        .map(([connector]) => connector)
      if (of.length === 0) continue
      for (const session of this.sessions) {
        if (of.some((connector) => session.directory.sees(connector))) session.listChanged(method)
      }
    }
  }

  #notified(upstream: Upstream, message: Message, key: string): void {
    const isOfTask = message.method?.startsWith('notifications/tasks') === true
    const told = isOfTask ? this.#ownersOf(upstream, key, message) : this.#sessionsOf(upstream, key)
    for (const session of told) session.serverNotified(message)
  }

  /** The session that began the task which a message is about, or when that is gone, those of the same principal. */
  #ownersOf(upstream: Upstream, key: string, message: Message): readonly Session[] {
    const task = this.tasks.relatedTo(upstream, message)
    const all = this.#sessionsOf(upstream, key).filter(({ principal }) => principal.id === task?.principal)
    const own = all.filter(({ id }) => id === task?.session)
    return own.length > 0 ? own : all
  }

  #sessionsOf(upstream: Upstream, key: string): readonly Session[] {
    return [...this.sessions].filter(
      ({ id, directory }) => (key === sharedSession || id === key) && directory.upstreams.includes(upstream),
    )
  }

  /** A request that belongs to no call is for who has begun the task that it names, or for the only client there is. */
  #asked(
    upstream: Upstream,
    key: string,
    method: string,
    params: string | undefined,
    signal: AbortSignal,
  ): Promise<ClientAnswer> | undefined {
    const message = readMessage(messageText(undefined, method, params))
    const isOfTask = relatedTaskOf(message) !== undefined
    const all = isOfTask ? this.#ownersOf(upstream, key, message) : this.#sessionsOf(upstream, key)
    const [only, ...others] = all.filter(({ isOpen }) => isOpen)
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
    this.isEnding = true
    clearTimeout(this.#telling)
    this.parked.close()
    if (this.#inFlight > 0) {
      const quiet = new Promise<void>((resolve) => {
        this.#quiet = resolve
      })
      await within(quiet, withinMs)
    }
    for (const session of [...this.sessions]) session.close(endedDuringCall)
    await Promise.all([...this.#upstreams, ...this.#leaving].map((upstream) => upstream.close()))
  }
}
