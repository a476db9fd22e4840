import path from 'node:path'
import { ControlRefusal, invalidArgument } from '../control/protocol.ts'
import { type ControlServer, ControlSocketHeld } from '../control/server.ts'
import { defaultLogLimits, LineLog } from '../log/line-log.ts'
import { type LeveledLog, pinoLog } from '../log/pino-log.ts'
import { redactor } from '../log/redaction.ts'
import { RingLog } from '../log/ring-log.ts'
import { sweepTemporaries } from '../os/atomic-file.ts'
import { exitCode } from '../os/failure.ts'
import type { ProcessIdentity } from '../process/identity.ts'
import { type Inheritance, isHeir } from '../process/inheritance.ts'
import { sendStartReport } from '../process/start-report.ts'
import { removeOwnPidFile, writePidFile } from '../record/pid-file.ts'
import type { HandedOver } from '../record/shapes/control.ts'
import { demandOwnDirectory, fileNames, keepStateDirectory } from '../record/state-directory.ts'
import { Announcements } from './announcements.ts'
import type { AuthorizationServer } from './authorization-server/index.ts'
import { Conditions } from './conditions.ts'
import { type Reception, receiveClients } from './face/attach.ts'
import { type HttpFace, serveHttp } from './face/http.ts'
import { GatewayCore } from './gateway-core.ts'
import { holdPlace } from './holding.ts'
import { OpenedAccess, type OpenedStore, openedStore } from './opened-access.ts'
import type { GatewayOptions } from './options.ts'
import { Pins } from './pins.ts'
import { RememberedOfferings } from './remembered-offerings.ts'
import { RunningOrders } from './running-orders.ts'
import { SelfReport } from './self-report.ts'
import { sessionRecords } from './session-record.ts'
import { writeGatewayState } from './state-file.ts'
import { leaveTo, Succession } from './succession.ts'
import { Tap } from './tap/index.ts'
import { clearLeftovers } from './upstream/leftovers.ts'

/** ms between two signs of life. */
const heartbeatMs = 5000

/** ms that running calls have to end. The whole end takes 9 s at most: some platforms kill after 10. */
const finishMs = 5000
const endMs = 9000

/** The gateway while this process is it: it holds the control socket, serves clients, and ends at a signal or an order. */
export class GatewayProcess {
  readonly #options: GatewayOptions
  readonly #core: GatewayCore
  readonly #log: LeveledLog
  readonly #logs: { readonly lines: LineLog; readonly ring: RingLog }
  readonly #opened: OpenedAccess | undefined
  readonly #remembered: RememberedOfferings
  readonly #pins: Pins
  readonly #conditions: Conditions
  /** What it tells of itself. */
  readonly report: SelfReport
  /** What it can be told while it runs. */
  readonly orders: RunningOrders
  readonly #inherited: Inheritance
  readonly #succession: Succession
  readonly #announcements: Announcements
  #control: ControlServer | undefined
  #face: HttpFace | undefined
  #issuer: AuthorizationServer | undefined
  #reception: Reception | undefined
  #beating: NodeJS.Timeout | undefined
  #looked: Promise<void> = Promise.resolve()
  #isEnding = false
  #isForMonitor = false
  #ended: Promise<void> | undefined
  #leave: () => void = () => {}
  /** Resolves when another gateway has taken over and nothing is left to do here. */
  readonly left: Promise<void>

  /**
   * Becomes the gateway of a state directory.
   * @param inheritance what the gateway before this one has left to it.
   * @throws Failure when another one is it.
   */
  static async begin(
    options: GatewayOptions,
    inheritance: Inheritance = { kind: 'none' },
  ): Promise<GatewayProcess> {
    let begun: GatewayProcess | undefined
    const heir = () => isHeir(inheritance)
    const hold = () => holdPlace(options, () => begun, heir)
    // An heir takes the name last of all: until it serves, the one before must be found there.
    let control = heir() ? undefined : await hold()
    try {
      begun = new GatewayProcess(options, inheritance, await openedStore(options))
      await begun.#serve()
      control ??= await hold()
      await begun.#begin(control)
      return begun
    } catch (error) {
      control?.close()
      if (begun !== undefined) await begun.#undo()
      throw error
    }
  }

  private constructor(options: GatewayOptions, inheritance: Inheritance, opened: OpenedStore | undefined) {
    const { stateDirectory, startTimeoutMs, wanted } = options
    const { connectors, lazy: isLazy } = wanted
    this.#options = options
    this.#inherited = inheritance
    this.left = new Promise((resolve) => {
      this.#leave = resolve
    })
    sweepTemporaries(stateDirectory)
    this.#logs = openLogs(stateDirectory)
    const key = opened?.first?.key
    this.#log = pinoLog({
      ...this.#logs,
      echo: options.echo,
      level: options.level,
      redact: redactor(key === undefined ? [] : [key]),
    })
    this.#succession = new Succession(inheritance, this.#log)
    this.#announcements = new Announcements(this.#log, options.say)
    this.#remembered = new RememberedOfferings(this.#file(fileNames.gatewayOfferings))
    const tap = new Tap(stateDirectory, demandOwnDirectory)
    tap.configure(wanted.tap)
    this.#pins = new Pins(this.#file(fileNames.gatewayPins))
    if (this.#pins.problem !== undefined)
      this.#log.error(
        `What is known of tools cannot be read, and they are pinned anew: ${this.#pins.problem}`,
      )
    this.#core = new GatewayCore({
      connectors,
      log: this.#log,
      stateDirectory,
      startTimeoutMs,
      isLazy,
      cleared: clearLeftovers(this.#log),
      remembered: this.#remembered,
      tap,
      pins: this.#pins,
      pin: wanted.pin,
    })
    this.#conditions = new Conditions({
      core: this.#core,
      log: this.#log,
      alerts: () => this.orders.wanted.alerts,
      // Without HTTP nothing limits how many are taken.
      requests: () => this.#face?.requests ?? { inFlight: 0, inFlightLimit: 0 },
    })
    const around = { log: this.#log, figures: this.#core.figures, changed: () => this.#beat() }
    this.#opened = opened && new OpenedAccess(opened, options, around)
    this.report = new SelfReport({
      options,
      core: this.#core,
      log: this.#log,
      ring: this.#logs.ring,
      conditions: this.#conditions,
      chain: () => this.#succession.chain,
      opened: this.#opened,
      url: () => (this.#face === undefined ? null : `${this.#face.url}/mcp`),
      isEnding: () => this.#isEnding,
    })
    this.orders = new RunningOrders({
      options,
      core: this.#core,
      log: this.#log,
      pins: this.#pins,
      access: () => this.#access,
      changed: () => this.#beat(),
    })
  }

  /** A monitor starts it again when it dies. */
  get #isKept(): boolean {
    return this.#options.reportDescriptor !== undefined
  }

  get core(): GatewayCore {
    return this.#core
  }

  get #access() {
    return this.#opened?.access
  }

  /** Serves HTTP, where that is wanted. */
  async #serve(): Promise<void> {
    const { stateDirectory, wanted, say } = this.#options
    const { http, strict, access: accessOptions } = wanted
    if (!this.#succession.isHeir()) writePidFile(this.#file(fileNames.gatewayPidFile))
    say('Starting MCP proxy server...')
    const { core } = this
    const news = await this.#opened?.begin()
    if (news !== undefined) this.#announcements.tell(news)
    if (http !== undefined && this.#access !== undefined) {
      if (accessOptions.oauth !== undefined) {
        const { openTokens } = await import('./opened-tokens.ts')
        const around = { stateDirectory, core, access: this.#access, http }
        const opened = await openTokens(accessOptions.oauth, around)
        this.#access.tokens = opened.tokens
        this.#issuer = opened.issuer
        if (opened.news !== undefined) this.#announcements.tell(opened.news)
      }
      const parts = {
        core,
        access: this.#access,
        issuer: this.#issuer,
        accessOptions,
        allowNone: this.#options.allowNone,
        http,
        strict,
        isLazy: wanted.lazy,
        stateDirectory,
        ring: this.#logs.ring,
        inherited: this.#inherited.kind === 'none' ? [] : this.#inherited.sockets,
        isInherited: this.#succession.sessionsOfPredecessor(),
      }
      this.#face = await serveHttp({ ...parts, state: () => this.report.state() })
    }
  }

  async #begin(control: ControlServer): Promise<void> {
    const { core } = this
    this.#control = control
    writePidFile(this.#file(fileNames.gatewayPidFile))
    const { predecessors } = this.#succession.chain
    if (predecessors.length > 0)
      this.#log.info({ good: true }, `Takes over from PID ${predecessors.at(-1)?.pid}`)
    this.#reception = await receiveClients(this.#file(fileNames.gatewayClients), core, this.#isKept)
    this.#beat()
    this.#beating = setInterval(() => void this.#lookAfter(), heartbeatMs)
    sendStartReport(this.#options.reportDescriptor, { ready: true })
    this.#announcements.tellFirstKey(this.#access?.first)
    if (this.#face !== undefined) this.#announcements.tell(`Serving MCP at ${this.#face.url}/mcp`)
    void core
      .start((upstream) => {
        if (!this.#isEnding) this.#announcements.tellStart(upstream)
      })
      .then(() => {
        // Its client has left already: what did not start has not failed.
        if (this.#isEnding) return
        const count = core.upstreams.filter(({ state }) => state === 'ready').length
        this.#announcements.tell(`Proxy started with ${count} connector(s)`)
        this.#beat()
      })
  }

  /** Ends it, and this process within 9 s, whatever hangs. */
  async end(): Promise<void> {
    const late = setTimeout(() => process.exit(exitCode.ok), endMs)
    late.unref()
    await this.#end()
  }

  /**
   * Leaves its place to another process, which a monitor keeps alive; this one goes on as the client of that one.
   * @throws ControlRefusal when it is not this one that should.
   */
  giveWay(): null {
    const { wanted } = this.#options
    if (this.#isKept || wanted.http !== undefined)
      throw new ControlRefusal(
        'failed',
        `a gateway that somebody has started runs as PID ${process.pid}`,
        'end it',
      )
    this.#isForMonitor = true
    void this.#end()
    return null
  }

  get isEnding(): boolean {
    return this.#isEnding
  }

  /**
   * Starts its replacement, which takes over when it serves; this one finishes its calls.
   * @returns who took over. @throws ControlRefusal: then nothing has changed.
   */
  async handOver(order: Readonly<Record<string, unknown>>): Promise<HandedOver> {
    if (this.#isEnding) throw new ControlRefusal('ending', 'the gateway ends')
    if (!this.#isKept)
      throw new ControlRefusal('failed', 'no monitor keeps this gateway', 'end it and start it again')
    // What is known of servers and tools is read from there.
    this.#remembered.flush()
    this.#pins.flush()
    let identity: ProcessIdentity
    try {
      identity = await this.#succession.replace(order, this.#face?.sockets ?? [])
    } catch (refusal) {
      // It may have taken the names of this one before it failed.
      await this.#lookAfter()
      throw refusal
    }
    clearInterval(this.#beating)
    // After the order has been answered.
    setImmediate(() => void this.#goAfter(identity))
    return { identity }
  }

  /** Another gateway has taken over. */
  async #goAfter(successor: ProcessIdentity): Promise<void> {
    this.#control?.endConnections()
    this.#logs.ring.leave()
    await leaveTo(successor, {
      core: this.#core,
      face: this.#face,
      reception: this.#reception,
      controlSocket: this.#file(fileNames.gatewaySocket),
      log: this.#log,
    })
    this.#leave()
  }

  /** Sessions of the gateway before this one. @throws ControlRefusal */
  takeSessions(order: Readonly<Record<string, unknown>>): null {
    const given = sessionRecords.read(order)
    if (given === undefined) throw invalidArgument('take-sessions needs the sessions as "sessions"')
    this.#face?.sessions.inherit(given.sessions)
    if (order.isLast === true) this.#succession.allSessionsCame()
    return null
  }

  /** Calls that are under way may finish; then servers, sessions and this gateway's files end. */
  #end(): Promise<void> {
    this.#ended ??= this.#finish()
    return this.#ended
  }

  async #finish(): Promise<void> {
    // From here on another process may take the names of its sockets.
    this.#isEnding = true
    this.#succession.end()
    this.#reception?.leave(this.#isForMonitor || this.#isKept)
    this.#log.info('The gateway ends')
    await this.#close(finishMs)
    if (this.#control?.isHeld() === true) {
      this.#remembered.flush()
      this.#pins.flush()
      writeGatewayState(this.#options.stateDirectory, this.report.state(true))
    }
    try {
      removeOwnPidFile(this.#file(fileNames.gatewayPidFile))
    } catch {
      // It names nobody any more, which its readers see.
    }
    this.#control?.close()
  }

  /**
   * A start that has failed leaves nothing that keeps this process alive: on a port that it shares with the gateway before it, clients would
   * still reach it.
   */
  async #undo(): Promise<void> {
    this.#isEnding = true
    await this.#close(0)
  }

  /** Closes all that serves. @param callsMs how long calls that are under way may take. */
  async #close(callsMs: number): Promise<void> {
    clearInterval(this.#beating)
    await this.#core.close(callsMs)
    this.#reception?.close()
    await this.#face?.close()
    this.#issuer?.close()
    await this.#opened?.close()
    this.#core.tap?.close()
  }

  /** SIGHUP: the logs may have other names (logrotate), and the configuration may say something else. */
  hangUp(): void {
    this.#logs.lines.reopen()
    this.#logs.ring.reopen()
    this.#log.info('SIGHUP: logs were reopened')
    void this.#lookAfter()
    void this.orders.reload().catch(() => {})
    this.orders.retry(undefined)
  }

  /** Writes that it lives, and makes again what somebody has removed: one look after another. Never rejects. */
  #lookAfter(): Promise<void> {
    this.#looked = this.#looked.then(() => this.#look())
    return this.#looked
  }

  async #look(): Promise<void> {
    const { stateDirectory } = this.#options
    try {
      keepStateDirectory(stateDirectory)
      if (this.#succession.hasSuccessor || this.#control === undefined) return
      if (!this.#control.isHeld()) {
        // The replacement has taken its names, and is about to say that it is ready.
        if (this.#succession.isUnderWay) return
        await this.#control.holdAgain()
        writePidFile(this.#file(fileNames.gatewayPidFile))
        await this.#reception?.openAgain()
      }
    } catch (error) {
      if (!(error instanceof ControlSocketHeld) || this.#succession.isUnderWay) return
      this.#log.error('Another gateway has taken the state directory: this one ends')
      return void process.kill(process.pid, 'SIGTERM')
    }
    this.#beat()
  }

  #beat(): void {
    if (this.#isEnding || this.#succession.hasSuccessor) return
    this.#conditions.look()
    writeGatewayState(this.#options.stateDirectory, this.report.state())
  }

  #file(name: string): string {
    return path.join(this.#options.stateDirectory, name)
  }
}

function openLogs(stateDirectory: string) {
  const demandDirectory = (directory: string) => demandOwnDirectory(directory)
  const lines = new LineLog(path.join(stateDirectory, fileNames.gatewayLog), {
    ...defaultLogLimits,
    demandDirectory,
  })
  return { lines, ring: new RingLog(path.join(stateDirectory, fileNames.gatewayRing), demandDirectory) }
}
