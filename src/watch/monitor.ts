import { isDeepStrictEqual } from 'node:util'
import { Alerts } from '../alert/alerts.ts'
import { changeInWords, compareConfigurations } from '../config/compare.ts'
import type { Configuration, ForwardConfiguration } from '../config/configuration.ts'
import { ConfigurationFile } from '../config/configuration-file.ts'
import { hasLimits } from '../config/resource-limits.ts'
import { monotonicMs } from '../os/clock.ts'
import { machineAddresses } from '../os/interfaces.ts'
import { isLinux } from '../os/platform.ts'
import { notifyServiceManager, watchdogPingsExpected } from '../os/service-manager.ts'
import { socketsByPort, takeInheritance } from '../os/socket-activation.ts'
import { heartbeatIntervalMs, type RuntimeState } from '../record/runtime-state.ts'
import { ownPrograms, shellWord } from '../report/own-programs.ts'
import type { ForwardWatcher, WatcherSurroundings } from './forward-watcher.ts'
import { incidentFacts, subjectConditions } from './incident-facts.ts'
import { MonitorRecords } from './monitor-records.ts'
import { WatchedForwards } from './watched-forwards.ts'
import { whatIsOpen } from './what-is-open.ts'

export interface MonitorOptions {
  readonly stateDirectory: string
  /** What a person should hear about the choice of that directory. */
  readonly directoryNote: string | undefined
  /** A configuration file; undefined = the three forwards of the MCP Inspector. */
  readonly configurationFile: string | undefined
  /** The login in front of these three; empty = none, or there is a file, which says it for each forward. */
  readonly gate: string
  /** End the forwarders too when the monitor is told to end. */
  readonly stopForwards: boolean
}

/**
 * The watchdog's loop: rounds, heartbeats, changes of the configuration, and the end. The forwards are watched one by one
 * (`ForwardWatcher`), and what is written down is `MonitorRecords`'.
 */
export class Monitor {
  readonly #options: MonitorOptions
  #configuration: Configuration
  readonly #records: MonitorRecords
  readonly #configurationFile: ConfigurationFile | undefined
  readonly #alerts: Alerts
  readonly #forwards: WatchedForwards
  /** One change of the configuration after another. */
  #applied: Promise<void> = Promise.resolve()
  #tick: NodeJS.Timeout | undefined
  /** Held for the forwards by their ports, as a service manager passed them on. */
  readonly #sockets = socketsByPort(takeInheritance(process.env, process.pid))
  #lastRoundAt: number | undefined
  #lastRound: RuntimeState['lastRound'] = null
  #round: Promise<void> | undefined
  /** Whose addresses were said. */
  readonly #told = new WeakSet<ForwardWatcher>()
  #ending = false
  #stopForwards: boolean
  #order: (reason: string) => void = () => {}
  readonly #ordered = new Promise<string>((resolve) => {
    this.#order = resolve
  })

  /** @throws Failure (78) when a newer version has written the records. */
  constructor(options: MonitorOptions, configuration: Configuration, startedAt: string) {
    this.#options = options
    this.#stopForwards = options.stopForwards
    this.#configuration = configuration
    this.#records = new MonitorRecords({ ...options, startedAt }, () => ({
      watchers: this.#forwards.all,
      intervalMs: this.#configuration.intervalMs,
      lastRoundAt: this.#lastRoundAt,
      lastRound: this.#lastRound,
    }))
    const previous = this.#records.takeOver(configuration.forwards)
    this.#alerts = new Alerts(configuration.alerts, {
      stateDirectory: options.stateDirectory,
      say: (level, message, good, source) => this.#records.say(level, message, good, source),
    })
    this.#alerts.rename(previous.renamed)
    this.#forwards = new WatchedForwards(configuration.forwards, previous.memoryOf, (watcher, forward) =>
      this.#around(watcher, forward),
    )
    this.#configurationFile = this.#follow(options.configurationFile)
  }

  /** Watches until SIGTERM, SIGINT or an order to end. */
  async run(): Promise<void> {
    // Before anything is said: whoever reads that it started may send a signal at once, and its default would end it on the spot.
    const ending = Promise.race([endingSignal(), this.#ordered])
    // nohup, or a terminal that closes, sends it too: without a file there is nothing to read again, and the watch goes on.
    process.on('SIGHUP', () => this.#hangUp())
    const ports = this.#forwards.all.map(portOf).join(', ')
    this.#records.say('info', `Monitor started (PID: ${process.pid}), watching ${ports || 'no port'}`, true)
    if (this.#options.directoryNote !== undefined) this.warn(this.#options.directoryNote)
    this.#sayUnusedSockets()
    this.#sayUnmeasured()
    this.#keepWantedDown()
    await Promise.race([this.#startRound(), ending])
    notifyServiceManager('READY=1', this.#statusLine())
    this.#configurationFile?.follow()
    this.#planTick(monotonicMs() + this.#configuration.intervalMs)
    const reason = await ending
    clearTimeout(this.#tick)
    this.#configurationFile?.close()
    await this.#end(reason)
  }

  /** An order to end, from another process. @param stopForwards end the forwarders, too. */
  stop(stopForwards: boolean): void {
    this.#stopForwards ||= stopForwards
    this.#order('proxy-monitor --stop')
  }

  /** Another monitor watches now. Two would fight. */
  giveWay(why: string): void {
    this.#records.say('error', `This monitor ends: ${why}`)
    process.kill(process.pid, 'SIGTERM')
  }

  /** Says something that a person should hear. */
  warn(message: string): void {
    this.#records.say('warn', message)
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

  /** A heartbeat every 5 s at most, a round every interval; a round that still runs is waited for, never doubled. */
  #planTick(nextRoundAt: number): void {
    const { intervalMs } = this.#configuration
    this.#tick = setTimeout(
      () => {
        const isDue = monotonicMs() >= nextRoundAt - 1 && this.#round === undefined
        if (isDue) void this.#startRound()
        this.#records.heartbeat()
        this.#planTick(isDue ? monotonicMs() + intervalMs : nextRoundAt)
      },
      Math.min(heartbeatIntervalMs, intervalMs),
    )
  }

  #startRound(): Promise<void> {
    const began = monotonicMs()
    const forwards = this.#forwards.all.length
    this.#round = this.#forwards.check().then(() => {
      this.#round = undefined
      this.#lastRoundAt = monotonicMs()
      this.#lastRound = { ms: Math.round(this.#lastRoundAt - began), forwards }
      this.#alerts.roundDone(this.#forwards.all.flatMap((one) => subjectConditions(one, monotonicMs())))
      this.#records.heartbeat()
      if (watchdogPingsExpected()) notifyServiceManager('WATCHDOG=1', this.#statusLine())
    })
    return this.#round
  }

  #follow(file: string | undefined): ConfigurationFile | undefined {
    if (file === undefined) return undefined
    return new ConfigurationFile(file, {
      changed: (configuration, isAsked) => {
        this.#applied = this.#applied.then(() => this.#apply(configuration, isAsked))
      },
      refused: (problem) => {
        this.#records.say('error', `Configuration file rejected, still using the previous one: ${problem}`)
        this.#records.configurationFails(problem)
      },
      settled: () => {
        this.#records.say('info', 'The configuration file is valid again', true)
        this.#records.configurationFails(null)
      },
    })
  }

  async #apply(configuration: Configuration, isAsked: boolean): Promise<void> {
    if (this.#ending) return
    const change = compareConfigurations(this.#configuration, configuration)
    const hasOtherAlerts = !isDeepStrictEqual(configuration.alerts, this.#configuration.alerts)
    const parts = [
      changeInWords(change),
      hasOtherAlerts ? 'other alerts' : undefined,
      configuration.intervalMs === this.#configuration.intervalMs ? undefined : 'another interval',
    ].filter((part) => part !== undefined)
    this.#configuration = configuration
    if (parts.length === 0) {
      if (isAsked)
        this.#records.say('info', 'SIGHUP: the configuration file was read again; nothing has changed')
      return
    }
    const reason = parts.join('; ')
    this.#records.say('info', `Configuration changed: ${reason}`, true)
    // Not waited for: a delivery that hangs in an old channel delays no forward.
    if (hasOtherAlerts) void this.#alerts.reconfigure(configuration.alerts)
    const forwards = configuration.forwards.map(({ name, options }) => ({ name, port: options.listenPort }))
    this.#records.journal.write({
      event: 'configuration-changed',
      reason,
      forwards,
      renamed: change.renamed,
    })
    this.#alerts.rename(change.renamed)
    this.#records.rename(change.renamed)
    await this.#forwards.reconfigure(configuration)
    this.#records.write(true)
  }

  #around(watcher: () => ForwardWatcher, forward: ForwardConfiguration): WatcherSurroundings {
    return {
      stateDirectory: this.#options.stateDirectory,
      prepareDirectory: () => this.#records.prepareDirectory(),
      intervalMs: () => this.#configuration.intervalMs,
      sockets: this.#sockets.get(forward.options.listenPort) ?? [],
      log: (level, message, good) => this.#records.say(level, message, good, watcher().configuration.name),
      alert: (event, subject, message) =>
        this.#alerts.report(event, incidentFacts(watcher(), subject, message, monotonicMs())),
      changed: () => {
        this.#sayWhatIsOpen(watcher())
        this.#records.changed(watcher())
      },
      journal: (explanation, observation) => {
        const { name } = watcher().configuration
        this.#records.journal.write({ event: 'forward', forward: name, ...explanation })
        // What the monitor itself ends is not what somebody wants down.
        if (observation.kind === 'order' && !this.#ending && !this.#forwards.isDismissed(watcher())) {
          this.#records.want(name, observation.order === 'stop' ? 'down' : 'up', observation.why)
        }
      },
    }
  }

  async #end(reason: string): Promise<void> {
    this.#ending = true
    notifyServiceManager('STOPPING=1')
    if (this.#stopForwards) await this.#forwards.stop(`the monitor was ended by ${reason}`)
    this.#forwards.close()
    await this.#alerts.close()
    this.#records.say('info', `Monitor ended by ${reason}${this.#whatKeepsRunning()}`, false)
    this.#records.stopped(reason)
  }

  #whatKeepsRunning(): string {
    const { running } = this.#forwards
    if (this.#stopForwards || running.length === 0) return ''
    const names = running.map(({ configuration }) => configuration.name).join(', ')
    return `; these forwards keep running: ${names}; to end them: ${ownPrograms().monitor} --stop --stop-forwards --state-dir ${shellWord(this.#options.stateDirectory)}`
  }

  #hangUp(): void {
    this.#records.reopen()
    this.#records.say('info', 'SIGHUP: logs were reopened')
    this.#tryAgainNow()
    if (this.#configurationFile === undefined)
      this.#records.say('info', 'SIGHUP: there is no configuration file to read again')
    else void this.#configurationFile.reload(true)
  }

  /** What waits for its next try need not wait any longer. */
  #tryAgainNow(): void {
    const { waiting } = this.#forwards
    if (waiting.length === 0) return
    const names = waiting.map(({ configuration, state }) => `${configuration.name} (${state.phase.id})`)
    this.#records.say('info', `SIGHUP: trying again now: ${names.join(', ')}`)
    for (const watcher of waiting) watcher.observe({ kind: 'order', order: 'restart', why: 'SIGHUP' })
  }

  /** Once a forward: where a person can reach it, or what is missing. */
  #sayWhatIsOpen(watcher: ForwardWatcher): void {
    const { configuration, health } = watcher
    if (health === undefined || this.#told.has(watcher)) return
    const lines = whatIsOpen(configuration, health, machineAddresses())
    if (lines === undefined) return
    this.#told.add(watcher)
    for (const { level, message, good } of lines) this.#records.say(level, message, good, configuration.name)
  }

  /** A socket that nobody accepts from lets its clients wait for ever. */
  #sayUnusedSockets(): void {
    const watched = new Set(this.#forwards.all.map(portOf))
    for (const port of this.#sockets.keys()) {
      if (watched.has(port)) continue
      this.warn(
        `A socket for port ${port} was passed on, and no forward has that port: its clients wait in vain`,
      )
    }
  }

  #sayUnmeasured(): void {
    if (isLinux || !this.#forwards.all.some(({ configuration }) => hasLimits(configuration.limits))) return
    this.warn('Limits of memory and CPU time are not watched: this system has no /proc to measure them by')
  }

  #statusLine(): string {
    const { running, all } = this.#forwards
    return `STATUS=${running.length} of ${all.length} forwards running`
  }

  /** What somebody ordered down stays down when the monitor is replaced. */
  #keepWantedDown(): void {
    for (const watcher of this.#forwards.all) {
      const wanted = this.#records.wantedDown(watcher.configuration.name)
      if (wanted === undefined) continue
      watcher.observe({ kind: 'order', order: 'stop', why: `${wanted.why} (wanted since ${wanted.since})` })
    }
  }
}

function portOf({ configuration }: ForwardWatcher): number {
  return configuration.options.listenPort
}

function endingSignal(): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
}
