/**
 * monitor/: the watchdog's process. It stands above all units, so that `watch/` need not know what they are.
 *
 *   configuration -> a unit each (wanted-units.ts) -> a `UnitWatcher` each (watch/) -> `MonitorRecords` (state, journal, logs), alert/
 *
 * in-force.ts is the configuration that holds, ordering.ts what orders see, monitor-words.ts what it says of its units.
 * monitor-process.ts is the process around it: control socket, files, signals; stop-monitor.ts ends another one. A new kind of unit is
 * made in wanted-units.ts, from its part of the configuration.
 */
import { Alerts } from '../alert/alerts.ts'
import { alertSecrets } from '../alert/transport.ts'
import type { Configuration } from '../config/configuration.ts'
import { type ConfigurationEvents, ConfigurationFile } from '../config/configuration-file.ts'
import type { HttpOptions } from '../config/http-options.ts'
import type { OrderedMonitor } from '../orders/monitor.ts'
import { monotonicMs } from '../os/clock.ts'
import { errorText } from '../os/failure.ts'
import { notifyServiceManager, watchdogPingsExpected } from '../os/service-manager.ts'
import { socketsByPort, takeInheritance } from '../process/inheritance.ts'
import { heartbeatIntervalMs } from '../record/runtime-state.ts'
import type { RuntimeState } from '../record/shapes/runtime-state.ts'
import { incidentFacts, subjectConditions } from '../watch/narrate/incidents.ts'
import { unitLog } from '../watch/narrate/log-lines.ts'
import type { UnitWatcher, WatcherSurroundings } from '../watch/unit-watcher.ts'
import { type WantedUnit, WatchedUnits } from '../watch/watched-units.ts'
import { HttpFace } from './http-face.ts'
import { type ConfigurationChange, type FirstConfiguration, InForce } from './in-force.ts'
import { MonitorRecords } from './monitor-records.ts'
import {
  heldInWords,
  isUnmeasured,
  statusLine,
  unmeasured,
  unusedSockets,
  whatKeepsRunning,
} from './monitor-words.ts'
import { Ordering } from './ordering.ts'
import { ProgramForwards } from './program-forwards.ts'
import { programsOf } from './record-shapes.ts'
import { loadKinds, type OtherKinds, wantedUnits, watchedInWords } from './wanted-units.ts'

export interface MonitorOptions {
  readonly stateDirectory: string
  /** What a person should hear about the choice of that directory. */
  readonly directoryNote: string | undefined
  /** A configuration file; undefined = the three forwards of the MCP Inspector. */
  readonly configurationFile: string | undefined
  /** The login in front of these three; empty = none, or there is a file, which says it for each forward. */
  readonly gate: string
  /** The HTTP API, instead of what the file says of it; undefined = as the file says. */
  readonly http?: HttpOptions | undefined
  /** End the forwarders too when the monitor is told to end. */
  readonly stopForwards: boolean
}

/**
 * The watchdog's loop: rounds, heartbeats, changes of the configuration, and the end. Every unit has a `UnitWatcher` of its own, and
 * `MonitorRecords` writes what is written.
 */
export class Monitor {
  readonly #options: MonitorOptions
  #kinds: OtherKinds
  readonly #inForce: InForce
  readonly #records: MonitorRecords
  readonly #configurationFile: ConfigurationFile | undefined
  readonly #alerts: Alerts
  readonly #units: WatchedUnits
  readonly #programForwards = new ProgramForwards(() => this.#units?.all ?? [])
  readonly #ordering: Ordering
  readonly #http: HttpFace
  #tick: NodeJS.Timeout | undefined
  /** Held for the forwards by their ports, as a service manager passed them on. */
  readonly #sockets = socketsByPort(takeInheritance(process.env, process.pid))
  #lastRoundAt: number | undefined
  #lastRound: RuntimeState['lastRound'] = null
  #round: Promise<void> | undefined
  /** Whose addresses were said. */
  readonly #told = new WeakSet<UnitWatcher>()
  #ending = false
  #stopForwards: boolean
  #order: (reason: string) => void = () => {}
  readonly #ordered = new Promise<string>((resolve) => {
    this.#order = resolve
  })

  /** @throws Failure (78) when a newer version has written the records. */
  constructor(options: MonitorOptions, first: FirstConfiguration, kinds: OtherKinds, startedAt: string) {
    this.#options = options
    this.#kinds = kinds
    this.#stopForwards = options.stopForwards
    this.#records = new MonitorRecords({ ...options, startedAt }, () => ({
      watchers: this.#units.all,
      intervalMs: this.#inForce.current.intervalMs,
      lastRoundAt: this.#lastRoundAt,
      lastRound: this.#lastRound,
    }))
    this.#inForce = new InForce(first, {
      records: this.#records,
      isEnding: () => this.#ending,
      takeEffect: (change) => this.#takeEffect(change),
      reread: () => Promise.all(this.#units.all.map(({ unit }) => unit.reread?.())),
      warn: (message) => this.warn(message),
    })
    const configuration = this.#inForce.current
    this.#records.hide(alertSecrets(configuration.alerts))
    const memoryOf = this.#records.takeOver(configuration)
    this.#inForce.begin(first)
    this.#alerts = new Alerts(configuration.alerts, {
      stateDirectory: options.stateDirectory,
      log: this.#records.log.child({ component: 'alerts' }),
      changed: (change) => this.#records.told(change),
    })
    this.#units = new WatchedUnits(this.#wanted(configuration), {
      memoryOf,
      around: (watcher) => this.#around(watcher),
      held: (waiting, by) => this.warn(heldInWords(waiting, by)),
    })
    this.#configurationFile = this.#follow(options.configurationFile)
    this.#ordering = new Ordering({
      stateDirectory: options.stateDirectory,
      units: () => this.#units,
      records: this.#records,
      configurationFile: () => this.#configurationFile,
      inForce: this.#inForce,
      isEnding: () => this.#ending,
      end: (stopForwards, by) => this.end(stopForwards, by),
    })
    this.#http = new HttpFace({
      stateDirectory: options.stateDirectory,
      monitor: () => this.#ordering,
      log: this.#records.log.child({ component: 'http' }),
    })
  }

  /** What orders see of it. */
  get ordered(): OrderedMonitor {
    return this.#ordering
  }

  /** Watches until SIGTERM, SIGINT or an order to end. */
  async run(): Promise<void> {
    // Before anything is said: whoever reads that it started may send a signal at once, and its default would end it on the spot.
    const ending = Promise.race([endingSignal(), this.#ordered])
    // nohup, or a terminal that closes, sends it too: without a file there is nothing to read again, and the watch goes on.
    process.on('SIGHUP', () => this.#hangUp())
    // Its default would end the monitor: sent to all processes of this package, it means the forwarders.
    process.on('SIGUSR2', () => {})
    this.#records.log.info(
      { good: true },
      `Monitor started (PID: ${process.pid}), watching ${watchedInWords(this.#inForce.current)}`,
    )
    if (this.#options.directoryNote !== undefined) this.warn(this.#options.directoryNote)
    for (const line of unusedSockets(this.#sockets.keys(), this.#inForce.current)) this.warn(line)
    if (isUnmeasured(this.#units)) this.warn(unmeasured)
    for (const watcher of this.#units.all) this.#keepWantedDown(watcher)
    await Promise.race([this.#startRound(), ending])
    notifyServiceManager('READY=1', statusLine(this.#units))
    this.#configurationFile?.follow()
    void this.#serveHttp()
    this.#planTick(monotonicMs() + this.#inForce.current.intervalMs)
    const reason = await ending
    clearTimeout(this.#tick)
    this.#configurationFile?.close()
    await this.#end(reason)
  }

  /** An order to end, from another process. @param stopForwards end the forwarders, too. */
  end(stopForwards: boolean, by: string): void {
    this.#stopForwards ||= stopForwards
    this.#order(by)
  }

  /** Another monitor watches now. Two would fight. */
  giveWay(why: string): void {
    this.#records.log.error(`This monitor ends: ${why}`)
    process.kill(process.pid, 'SIGTERM')
  }

  /** A fault in this program ends the process. Synchronous: the line is in the log when it ends. */
  crashed(error: Error): void {
    this.#records.log.fatal({ err: error }, `The monitor crashed: ${errorText(error)}`)
  }

  /** Says something that a person should hear. */
  warn(message: string): void {
    this.#records.log.warn(message)
  }

  /** The records as they are now. */
  runtimeState(): RuntimeState {
    return this.#records.runtimeState()
  }

  /** The records cannot be written, for a reason that is known before the next try. */
  recordsFail(reason: string): void {
    this.#records.fail(reason)
  }

  /** Writes again what somebody has removed or renamed. Never fails. */
  keepRecords(): void {
    this.#records.keep()
    this.#alerts.keepFiles()
  }

  /** The whole state directory was removed, and is there again: what is in memory is written down. */
  recordsWereRemoved(): void {
    this.keepRecords()
    this.warn('The state directory was removed while the monitor was running: new records were begun')
    this.#records.write(true)
  }

  /** A heartbeat every 5 s at most, a round every interval, which ends with one; a round that still runs is waited for, never doubled. */
  #planTick(nextRoundAt: number): void {
    const { intervalMs } = this.#inForce.current
    this.#tick = setTimeout(
      () => {
        const isDue = monotonicMs() >= nextRoundAt - 1 && this.#round === undefined
        if (isDue) void this.#startRound()
        else this.#records.heartbeat()
        this.#planTick(isDue ? monotonicMs() + intervalMs : nextRoundAt)
      },
      Math.min(heartbeatIntervalMs, intervalMs),
    )
  }

  #startRound(): Promise<void> {
    const began = monotonicMs()
    const units = this.#units.all.length
    this.#round = this.#units.check().then(() => {
      this.#round = undefined
      this.#lastRoundAt = monotonicMs()
      this.#lastRound = { ms: Math.round(this.#lastRoundAt - began), forwards: units }
      this.#alerts.roundDone(this.#units.all.flatMap((one) => subjectConditions(one, monotonicMs())))
      this.#records.heartbeat()
      if (watchdogPingsExpected()) notifyServiceManager('WATCHDOG=1', statusLine(this.#units))
    })
    return this.#round
  }

  #serveHttp(): Promise<void> {
    return this.#http.serve(this.#options.http ?? this.#inForce.current.http)
  }

  #follow(file: string | undefined): ConfigurationFile | undefined {
    if (file === undefined) return undefined
    const events: ConfigurationEvents = {
      changed: (found) => this.#inForce.take(found),
      refused: (problem) => {
        this.#records.log.error(`Configuration file rejected, still using the previous one: ${problem}`)
        this.#records.configurationFails(problem)
      },
      settled: () => {
        this.#records.log.info({ good: true }, 'The configuration file is valid again')
        this.#records.configurationFails(null)
      },
    }
    return new ConfigurationFile(file, events, (source) => this.#records.changes.beside(source))
  }

  async #takeEffect({ configuration, reason, renamed, hasOtherAlerts }: ConfigurationChange): Promise<void> {
    this.#records.log.info({ good: true }, `Configuration changed: ${reason}`)
    void this.#serveHttp()
    // Not waited for: a delivery that hangs in an old channel delays no forward.
    if (hasOtherAlerts) void this.#alerts.reconfigure(configuration.alerts)
    const forwards = configuration.forwards.map(({ name, options }) => ({ name, port: options.listenPort }))
    this.#records.journal.write({
      event: 'configuration-changed',
      reason,
      forwards,
      ...programsOf(configuration),
      renamed,
    })
    this.#records.rename(renamed)
    this.#kinds = await loadKinds(configuration, this.#kinds)
    await this.#units.reconfigure(this.#wanted(configuration), (watcher) => this.#keepWantedDown(watcher))
    this.#programForwards.changed()
    this.#records.write(true)
  }

  /** Every unit that a configuration asks for. */
  #wanted(configuration: Configuration): readonly WantedUnit[] {
    return wantedUnits(configuration, this.#kinds, {
      stateDirectory: this.#options.stateDirectory,
      file: this.#options.configurationFile,
      prepareDirectory: () => this.#records.prepareDirectory(),
      sockets: this.#sockets,
      warn: (message) => this.warn(message),
      forwards: this.#programForwards,
    })
  }

  #around(watcher: () => UnitWatcher): WatcherSurroundings {
    return {
      intervalMs: () => this.#inForce.current.intervalMs,
      log: this.#records.log,
      alert: (event, subject, message) =>
        this.#alerts.report(event, incidentFacts(watcher(), subject, message, monotonicMs())),
      changed: (isNews) => {
        this.#introduce(watcher())
        this.#records.changed(watcher(), isNews)
        this.#programForwards.changed()
        this.#ordering.changed()
        this.#units.followChange()
      },
      journal: (explanation) => this.#records.decided(watcher().unit, explanation),
    }
  }

  async #end(reason: string): Promise<void> {
    this.#ending = true
    notifyServiceManager('STOPPING=1')
    const why = `the monitor was ended by ${reason}`
    await (this.#stopForwards ? this.#units.stop(why) : this.#units.stopDependants(why))
    await this.#http.serve(undefined)
    this.#units.close()
    await this.#alerts.close()
    this.#records.log.info(
      `Monitor ended by ${reason}${this.#stopForwards ? '' : whatKeepsRunning(this.#units, this.#options.stateDirectory)}`,
    )
    this.#records.stopped(reason)
  }

  #hangUp(): void {
    this.#records.reopen()
    this.#records.log.info('SIGHUP: logs were reopened')
    this.#tryAgainNow()
    if (this.#configurationFile === undefined)
      this.#records.log.info('SIGHUP: there is no configuration file to read again')
    else void this.#configurationFile.reload(true)
  }

  /** What waits for its next try need not wait any longer. */
  #tryAgainNow(): void {
    const { waiting } = this.#units
    if (waiting.length === 0) return
    const names = waiting.map(({ unit, state }) => `${unit.name} (${state.phase.id})`)
    this.#records.log.info(`SIGHUP: trying again now: ${names.join(', ')}`)
    for (const watcher of waiting) watcher.observe({ kind: 'order', order: 'retry', why: 'SIGHUP' })
  }

  /** Once a unit: where a person can reach it, or what is missing. */
  #introduce(watcher: UnitWatcher): void {
    const { unit, state, health } = watcher
    if (health === undefined || this.#told.has(watcher)) return
    const lines = unit.introduction(health)
    if (lines === undefined) return
    this.#told.add(watcher)
    const log = unitLog(this.#records.log, unit, state)
    for (const { level, message, good } of lines) log[level]({ good }, message)
  }

  /**
   * What somebody ordered down stays down when the monitor is replaced, or when its forward moves to another port. What does not start by
   * itself waits for an order.
   */
  #keepWantedDown(watcher: UnitWatcher): void {
    const wanted = this.#records.wantedDown(watcher.unit.name)
    if (wanted === undefined) {
      if (watcher.unit.startsByItself === false && watcher.unit.runsAlready !== true)
        watcher.observe({
          kind: 'order',
          order: 'stop',
          why: 'it does not start by itself (autostart: false)',
        })
      return
    }
    const { why, since, drainMs } = wanted
    watcher.observe({ kind: 'order', order: 'stop', why: `${why} at ${since}`, drainMs })
  }
}

function endingSignal(): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
}
