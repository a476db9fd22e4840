import { existsSync } from 'node:fs'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Alerts } from '../alert/alerts.ts'
import { changeInWords, compareConfigurations, type Renaming, renamings } from '../config/compare.ts'
import type { Configuration, ForwardConfiguration } from '../config/configuration.ts'
import { ConfigurationFile } from '../config/configuration-file.ts'
import { hasLimits } from '../config/resource-limits.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { duration } from '../os/duration.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { machineAddresses } from '../os/interfaces.ts'
import { isLinux } from '../os/platform.ts'
import { ownIdentity } from '../os/process-identity.ts'
import { isMeant, notifyServiceManager, watchdogPingsExpected } from '../os/service-manager.ts'
import { socketsByPort, takeInheritance } from '../os/socket-activation.ts'
import { version } from '../os/version.ts'
import { writeFileAtomically } from '../record/atomic-file.ts'
import { DesiredState } from '../record/desired-state.ts'
import { Journal, type JournalEvent } from '../record/journal.ts'
import { KeptFile } from '../record/kept-file.ts'
import { defaultLogLimits, LineLog } from '../record/line-log.ts'
import { formatForPeople, type LogLevel } from '../record/log-entry.ts'
import { RingLog } from '../record/ring-log.ts'
import {
  heartbeatIntervalMs,
  type RuntimeState,
  type StateReading,
  stateSchemaVersion,
  takeOverRuntimeState,
  writeRuntimeState,
} from '../record/runtime-state.ts'
import { demandOwnDirectory, fileNames, prepareStateDirectory } from '../record/state-directory.ts'
import { explainStanding } from './explain.ts'
import { forwardRecord, memoryOf } from './forward-record.ts'
import { ForwardWatcher, type WatcherMemory } from './forward-watcher.ts'
import { incidentFacts, subjectConditions } from './incident-facts.ts'
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

/** What a forward that waits for its next try, or for its way to be free, is in. */
const waitingPhases: ReadonlySet<string> = new Set(['backoff', 'flapping', 'blocked', 'awaiting'])

/** ms between two heartbeats after which nobody watched in between. */
const longestGapMs = 30_000

/** The watchdog's loop: rounds, heartbeats, what is said and written down. */
export class Monitor {
  readonly #options: MonitorOptions
  #configuration: Configuration
  readonly #startedAt: { readonly wall: string; readonly monotonic: number }
  readonly #log: LineLog
  readonly #ring: RingLog
  readonly #journal: Journal
  readonly #desired: DesiredState
  readonly #kept: readonly { readonly name: string; readonly file: KeptFile }[]
  readonly #configurationFile: ConfigurationFile | undefined
  readonly #alerts: Alerts
  #watchers: readonly ForwardWatcher[]
  /** One change of the configuration after another. */
  #applied: Promise<void> = Promise.resolve()
  #configurationProblem: RuntimeState['configurationProblem'] = null
  #tick: NodeJS.Timeout | undefined
  /** Held for the forwards by their ports, as a service manager passed them on. */
  readonly #sockets = socketsByPort(takeInheritance(process.env, process.pid))
  #sequence = 0
  #lastRoundAt: number | undefined
  #lastRound: RuntimeState['lastRound'] = null
  #round: Promise<void> | undefined
  #stopped: RuntimeState['stopped'] = null
  readonly #told = new WeakSet<ForwardWatcher>()
  #writePlanned = false
  #recordsProblem: RuntimeState['recordsProblem'] = null
  #lastBeat = { wall: wallTime(), monotonic: monotonicMs() }
  #ending = false
  #stopForwards: boolean
  #order: (reason: string) => void = () => {}
  readonly #ordered = new Promise<string>((resolve) => {
    this.#order = resolve
  })
  /** Forwards that the monitor before knew by another name. */
  #renamedAtStart: readonly Renaming[] = []
  /** Those that are no longer configured. */
  readonly #dismissed = new WeakSet<ForwardWatcher>()
  /** Of them, those whose processes still finish their connections; each settles when that is over. */
  readonly #leaving = new Set<Promise<void>>()

  constructor(options: MonitorOptions, configuration: Configuration, startedAt: string) {
    this.#options = options
    this.#stopForwards = options.stopForwards
    this.#configuration = configuration
    this.#startedAt = { wall: startedAt, monotonic: monotonicMs() }
    this.#log = new LineLog(this.#file(fileNames.monitorLog), {
      ...defaultLogLimits,
      isPrivate: true,
      remembered: 1000,
    })
    this.#ring = new RingLog(this.#file(fileNames.logRing))
    this.#journal = new Journal(options.stateDirectory)
    this.#desired = new DesiredState(options.stateDirectory)
    this.#kept = [fileNames.gateToken, fileNames.gateKey].map((name) => {
      return { name, file: new KeptFile(this.#file(name), true) }
    })
    const memories = this.#takeOver()
    this.#alerts = new Alerts(configuration.alerts, {
      stateDirectory: options.stateDirectory,
      say: (level, message, good, source) => this.#say(level, message, good, source),
    })
    this.#alerts.rename(this.#renamedAtStart)
    this.#watchers = configuration.forwards.map((forward) => this.#watcher(forward, memories(forward)))
    this.#configurationFile = this.#follow(options.configurationFile)
  }

  async run(): Promise<void> {
    // Before anything is said: whoever reads that it started may send a signal at once, and its default would end it on the spot.
    const ending = Promise.race([endingSignal(), this.#ordered])
    // nohup, or a terminal that closes, sends it too: without a file there is nothing to read again, and the watch goes on.
    process.on('SIGHUP', () => {
      this.#reopenLogs()
      this.#tryAgainNow()
      if (this.#configurationFile === undefined)
        this.#say('info', 'SIGHUP: there is no configuration file to read again')
      else void this.#configurationFile.reload(true)
    })
    const ports = this.#watchers.map(({ configuration }) => configuration.options.listenPort).join(', ')
    this.#say('info', `Monitor started (PID: ${process.pid}), watching ${ports || 'no port'}`, true)
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

  /** A heartbeat every 5 s at most, a round every interval; a round that still runs is waited for, never doubled. */
  #planTick(nextRoundAt: number): void {
    const { intervalMs } = this.#configuration
    this.#tick = setTimeout(
      () => {
        const isDue = monotonicMs() >= nextRoundAt - 1 && this.#round === undefined
        if (isDue) void this.#startRound()
        this.#heartbeat()
        this.#planTick(isDue ? monotonicMs() + intervalMs : nextRoundAt)
      },
      Math.min(heartbeatIntervalMs, intervalMs),
    )
  }

  #follow(file: string | undefined): ConfigurationFile | undefined {
    if (file === undefined) return undefined
    return new ConfigurationFile(file, {
      changed: (configuration, isAsked) => {
        this.#applied = this.#applied.then(() => this.#apply(configuration, isAsked))
      },
      refused: (problem) => {
        this.#configurationProblem = { since: wallTime(), reason: problem }
        this.#say('error', `Configuration file rejected, still using the previous one: ${problem}`)
        this.#write(true)
      },
      settled: () => {
        this.#configurationProblem = null
        this.#say('info', 'The configuration file is valid again', true)
        this.#write(true)
      },
    })
  }

  /** Only what the change names is touched; every other forward goes on as it is. */
  async #apply(configuration: Configuration, isAsked: boolean): Promise<void> {
    if (this.#ending) return
    const change = compareConfigurations(this.#configuration, configuration)
    const said = changeInWords(change)
    const hasOtherAlerts = !isDeepStrictEqual(configuration.alerts, this.#configuration.alerts)
    const parts = [
      said,
      hasOtherAlerts ? 'other alerts' : undefined,
      configuration.intervalMs === this.#configuration.intervalMs ? undefined : 'another interval',
    ].filter((part) => part !== undefined)
    this.#configuration = configuration
    if (parts.length === 0) {
      if (isAsked) this.#say('info', 'SIGHUP: the configuration file was read again; nothing has changed')
      return
    }
    const reason = parts.join('; ')
    this.#say('info', `Configuration changed: ${reason}`, true)
    // Not waited for: a delivery that hangs in an old channel delays no forward.
    if (hasOtherAlerts) void this.#alerts.reconfigure(configuration.alerts)
    const forwards = configuration.forwards.map(({ name, options }) => ({ name, port: options.listenPort }))
    this.#journal.write({ event: 'configuration-changed', reason, forwards, renamed: change.renamed })
    this.#alerts.rename(change.renamed)
    this.#attemptToRecord('the names of forwards', () => this.#desired.rename(change.renamed))
    const wanted = new Map(configuration.forwards.map((forward) => [forward.options.listenPort, forward]))
    const wantedOf = ({ configuration: { options } }: ForwardWatcher) => wanted.get(options.listenPort)
    const leaving = this.#watchers.filter((watcher) => wantedOf(watcher) === undefined)
    const staying = this.#watchers.filter((watcher) => wantedOf(watcher) !== undefined)
    const arriving = change.added.map((forward) => this.#watcher(forward, undefined))
    this.#watchers = configuration.forwards.flatMap(({ options: { listenPort } }) =>
      [...staying, ...arriving].filter((one) => one.configuration.options.listenPort === listenPort),
    )
    // Connections that finish on one port are no reason for another one to wait.
    for (const watcher of leaving) this.#dismiss(watcher)
    for (const watcher of staying) {
      const now = wantedOf(watcher)
      if (now !== undefined && !isDeepStrictEqual(now, watcher.configuration)) watcher.reconfigure(now)
    }
    await Promise.all(arriving.map((watcher) => watcher.check()))
    this.#write(true)
  }

  #dismiss(watcher: ForwardWatcher): void {
    this.#dismissed.add(watcher)
    const { listenPort } = watcher.configuration.options
    const left = watcher.stop('it is no longer configured').then(() => {
      watcher.close()
      this.#leaving.delete(left)
      // It may have come back meanwhile, and waits for the port.
      void this.#watchers.find((one) => one.configuration.options.listenPort === listenPort)?.check()
    })
    this.#leaving.add(left)
  }

  #watcher(forward: ForwardConfiguration, memory: WatcherMemory | undefined): ForwardWatcher {
    const watcher = new ForwardWatcher(forward, memory, {
      stateDirectory: this.#options.stateDirectory,
      prepareDirectory: () => this.#prepareDirectory(),
      intervalMs: () => this.#configuration.intervalMs,
      sockets: this.#sockets.get(forward.options.listenPort) ?? [],
      log: (level, message, good) => this.#say(level, message, good, watcher.configuration.name),
      alert: (event, subject, message) =>
        this.#alerts.report(event, incidentFacts(watcher, subject, message, monotonicMs())),
      changed: () => {
        this.#writeFailureCount(watcher)
        this.#sayWhatIsOpen(watcher)
        this.#planWrite()
      },
      journal: (explanation, observation) => {
        const { name } = watcher.configuration
        this.#journal.write({ event: 'forward', forward: name, ...explanation })
        // What the monitor itself ends is not what somebody wants down.
        if (observation.kind === 'order' && !this.#ending && !this.#dismissed.has(watcher)) {
          this.#want(name, observation.order === 'stop' ? 'down' : 'up', observation.why)
        }
      },
    })
    return watcher
  }

  /** Checks every forward once, side by side. A forward that hangs delays nobody but itself. */
  #startRound(): Promise<void> {
    const began = monotonicMs()
    const watchers = this.#watchers
    this.#round = Promise.all(watchers.map((watcher) => watcher.check())).then(() => {
      this.#round = undefined
      this.#lastRoundAt = monotonicMs()
      this.#lastRound = { ms: Math.round(this.#lastRoundAt - began), forwards: watchers.length }
      this.#alerts.roundDone(this.#watchers.flatMap((watcher) => subjectConditions(watcher, monotonicMs())))
      this.#heartbeat()
      if (watchdogPingsExpected()) notifyServiceManager('WATCHDOG=1', this.#statusLine())
    })
    return this.#round
  }

  async #end(reason: string): Promise<void> {
    this.#ending = true
    notifyServiceManager('STOPPING=1')
    if (this.#stopForwards) {
      const why = `the monitor was ended by ${reason}`
      await Promise.all([...this.#watchers.map((watcher) => watcher.stop(why)), ...this.#leaving])
    }
    for (const watcher of this.#watchers) watcher.close()
    await this.#alerts.close()
    this.#say('info', `Monitor ended by ${reason}${this.#whatKeepsRunning()}`, false)
    this.#journal.write({ event: 'monitor-stopped', reason })
    this.#stopped = { at: wallTime(), reason }
    this.#write(true)
  }

  #whatKeepsRunning(): string {
    const running = this.#watchers.filter(({ state }) => state.phase.id === 'running')
    if (this.#stopForwards || running.length === 0) return ''
    const names = running.map(({ configuration }) => configuration.name).join(', ')
    return `; these forwards keep running: ${names}; to end them: proxy-monitor --stop --stop-forwards --state-dir ${this.#options.stateDirectory}`
  }

  /** An order to end, from another process. @param stopForwards end the forwarders, too. */
  stop(stopForwards: boolean): void {
    this.#stopForwards ||= stopForwards
    this.#order('proxy-monitor --stop')
  }

  /** What waits for its next try need not wait any longer. */
  #tryAgainNow(): void {
    const waiting = this.#watchers.filter(({ state: { phase } }) => waitingPhases.has(phase.id))
    if (waiting.length === 0) return
    const names = waiting
      .map(({ configuration, state }) => `${configuration.name} (${state.phase.id})`)
      .join(', ')
    this.#say('info', `SIGHUP: trying again now: ${names}`)
    for (const watcher of waiting) watcher.observe({ kind: 'order', order: 'restart', why: 'SIGHUP' })
  }

  #say(level: LogLevel, message: string, good = false, source = 'monitor'): void {
    const entry = { time: wallTime(), level, source, message, good }
    const line = formatForPeople(entry)
    this.#log.write(line)
    this.#ring.write(entry)
    process.stdout.write(`${line}\n`)
  }

  /** Once a forward: where a person can reach it, or what is missing. */
  #sayWhatIsOpen(watcher: ForwardWatcher): void {
    const { configuration, health } = watcher
    if (health === undefined || this.#told.has(watcher)) return
    const lines = whatIsOpen(configuration, health, machineAddresses())
    if (lines === undefined) return
    this.#told.add(watcher)
    for (const { level, message, good } of lines) this.#say(level, message, good, configuration.name)
  }

  /** A socket that nobody accepts from lets its clients wait for ever. */
  #sayUnusedSockets(): void {
    for (const port of this.#sockets.keys()) {
      if (this.#watchers.some(({ configuration }) => configuration.options.listenPort === port)) continue
      this.#say(
        'warn',
        `A socket for port ${port} was passed on, and no forward has that port: its clients wait in vain`,
      )
    }
  }

  #sayUnmeasured(): void {
    if (isLinux || !this.#watchers.some(({ configuration }) => hasLimits(configuration.limits))) return
    this.#say(
      'warn',
      'Limits of memory and CPU time are not watched: this system has no /proc to measure them by',
    )
  }

  #statusLine(): string {
    const running = this.#watchers.filter(({ state }) => state.phase.id === 'running').length
    return `STATUS=${running} of ${this.#watchers.length} forwards running`
  }

  #heartbeat(): void {
    this.#noteGap()
    this.#journal.recover(() => this.#standing())
    this.#write(false)
  }

  /** Time in which nothing was watched is written down as such: nobody may count it as time in which all was well. */
  #noteGap(): void {
    const now = { wall: wallTime(), monotonic: monotonicMs() }
    const { wall, monotonic } = this.#lastBeat
    this.#lastBeat = now
    const passed = Date.parse(now.wall) - Date.parse(wall)
    if (passed < -longestGapMs)
      this.#say('warn', `The clock was set back by ${duration(-passed)}; nothing depends on it`)
    if (passed <= longestGapMs) return
    const reason =
      now.monotonic - monotonic > longestGapMs
        ? 'the monitor did not run'
        : 'the machine slept, or its clock was set'
    this.#journal.write({ event: 'monitor-gap', from: wall, reason })
    this.#say('warn', `Nothing was watched for ${duration(passed)}: ${reason}`)
  }

  #standing(): JournalEvent[] {
    return this.#watchers.map(({ configuration: { name, options }, state }) => ({
      event: 'forward',
      forward: name,
      ...explainStanding(state, options.listenPort),
    }))
  }

  /** What somebody ordered down stays down when the monitor is replaced. */
  #keepWantedDown(): void {
    for (const watcher of this.#watchers) {
      const wanted = this.#desired.wantedDown(watcher.configuration.name)
      if (wanted === undefined) continue
      watcher.observe({ kind: 'order', order: 'stop', why: `${wanted.why} (wanted since ${wanted.since})` })
    }
  }

  #want(name: string, wanted: 'up' | 'down', why: string): void {
    this.#attemptToRecord(`what is wanted of ${name}`, () => this.#desired.want(name, wanted, why))
  }

  #attemptToRecord(what: string, write: () => void): void {
    try {
      write()
    } catch (error) {
      this.#say('error', `Cannot write down ${what}: ${errorText(error)}`)
    }
  }

  /** All changes of one turn of the event loop are written once. */
  #planWrite(): void {
    if (this.#writePlanned) return
    this.#writePlanned = true
    setImmediate(() => {
      this.#writePlanned = false
      this.#write(true)
    })
  }

  /**
   * A full or read-only disk, or a directory that is gone, does not stop the watching: it is said once, and said again when it is over.
   * @returns true when it is written.
   */
  #write(durable: boolean): boolean {
    try {
      demandOwnDirectory(this.#options.stateDirectory)
      writeRuntimeState(this.#file(fileNames.runtimeState), this.runtimeState(), durable)
    } catch (error) {
      this.recordsFail(errorText(error))
      return false
    }
    if (this.#recordsProblem === null) return true
    this.#recordsProblem = null
    this.#say('info', 'The state can be written again', true)
    return this.#write(durable)
  }

  #writeFailureCount({ configuration, state }: ForwardWatcher): void {
    try {
      demandOwnDirectory(this.#options.stateDirectory)
      const file = this.#file(fileNames.failures(configuration.options.listenPort))
      writeFileAtomically(file, `${state.failures}\n`, false)
    } catch {
      // Told by the write of the state, which follows.
    }
  }

  /** For who has given the logs other names (logrotate). */
  #reopenLogs(): void {
    this.#log.reopen()
    this.#ring.reopen()
    this.#journal.reopen()
    this.#say('info', 'SIGHUP: logs are opened anew')
  }

  /** The whole state directory was removed, and is there again: what is in memory is written down. */
  recordsWereRemoved(): void {
    this.keepRecords()
    this.#say('warn', 'The state directory was removed under the running monitor: its records begin anew')
    this.#write(true)
  }

  /** Writes again what somebody has removed or renamed, and lets go of what was. Never fails. */
  keepRecords(): void {
    const gone: string[] = []
    if (this.#log.look()) gone.push(fileNames.monitorLog)
    if (this.#ring.look()) gone.push(fileNames.logRing)
    if (this.#journal.look()) gone.push(fileNames.journal)
    this.#journal.recover(() => this.#standing())
    gone.push(...this.#keepFiles())
    this.#alerts.keepFiles()
    for (const watcher of this.#watchers) this.#keepFailureCount(watcher)
    if (!existsSync(this.#file(fileNames.runtimeState)) && this.#write(true))
      gone.push(fileNames.runtimeState)
    if (gone.length > 0) this.#say('warn', `Written again, because it was gone: ${gone.join(', ')}`)
  }

  /** The records cannot be written, for a reason that is known before the next try. */
  recordsFail(reason: string): void {
    if (this.#recordsProblem !== null) return
    this.#recordsProblem = { since: wallTime(), reason }
    this.#say('error', `The state cannot be written: ${reason}; watching goes on`)
  }

  /** What orders want, and what the gates' forwarders would otherwise invent anew when they are started. @returns the names of those written. */
  #keepFiles(): string[] {
    try {
      const kept = this.#kept.filter(({ file }) => file.keep()).map(({ name }) => name)
      return this.#desired.keep() ? [...kept, fileNames.desiredState] : kept
    } catch {
      // Told by the write of the state.
      return []
    }
  }

  #keepFailureCount(watcher: ForwardWatcher): void {
    const file = this.#file(fileNames.failures(watcher.configuration.options.listenPort))
    if (watcher.state.failures > 0 && !existsSync(file)) this.#writeFailureCount(watcher)
  }

  /** A forwarder that is started finds its directory, and in it the secrets that others of its login use. */
  #prepareDirectory(): void {
    prepareStateDirectory(this.#options.stateDirectory)
    this.#keepFiles()
  }

  /** Says something that a person should hear. */
  warn(message: string): void {
    this.#say('warn', message)
  }

  /** Another monitor watches now. Two would fight. */
  giveWay(why: string): void {
    this.#say('error', `This monitor ends: ${why}`)
    process.kill(process.pid, 'SIGTERM')
  }

  /** The records as they are now. */
  runtimeState(): RuntimeState {
    return {
      schemaVersion: stateSchemaVersion,
      writer: {
        identity: ownIdentity(),
        version,
        startedAt: this.#startedAt.wall,
        startedAtMonotonicMs: this.#startedAt.monotonic,
        configuration: this.#options.configurationFile ?? null,
        gate: this.#options.gate,
        serviceManager: isService() ? 'systemd' : null,
      },
      sequence: ++this.#sequence,
      writtenAt: wallTime(),
      writtenAtMonotonicMs: monotonicMs(),
      intervalMs: this.#configuration.intervalMs,
      lastRoundAt: this.#lastRoundAt ?? null,
      lastRound: this.#lastRound,
      stopped: this.#stopped,
      configurationProblem: this.#configurationProblem,
      recordsProblem: this.#recordsProblem,
      forwards: this.#watchers.map(forwardRecord),
    }
  }

  /** Reads what the monitor before left, so that neither failures nor back-off begin anew because it was replaced. */
  #takeOver(): (forward: ForwardConfiguration) => WatcherMemory | undefined {
    const { reading, quarantined, problem } = takeOverRuntimeState(this.#file(fileNames.runtimeState))
    if (problem !== undefined) {
      const kept = quarantined === undefined ? '' : `; it is kept as ${quarantined}`
      const from = reading.kind === 'read' ? 'going on from the one before' : 'beginning anew'
      this.#say('warn', `The state file could not be used: ${problem}${kept}; ${from}`)
    }
    if (reading.kind === 'newer') {
      throw new Failure(
        `${this.#file(fileNames.runtimeState)} was written by a newer version (schema ${reading.schemaVersion}); ` +
          'run that version, or choose another --state-dir',
        exitCode.configuration,
      )
    }
    this.#journalStart(reading)
    if (reading.kind !== 'read') return () => undefined
    this.#sequence = reading.state.sequence
    const sameBoot = reading.state.writer.identity.bootId === bootId()
    const { forwards } = reading.state
    const ports = new Set(this.#configuration.forwards.map(({ options }) => options.listenPort))
    return ({ name, options: { listenPort } }) => {
      // Whatever it is called now; one that has moved to another port keeps its name.
      const record =
        forwards.find(({ port }) => port === listenPort) ??
        forwards.find((one) => one.name === name && !ports.has(one.port))
      return record && memoryOf(record, sameBoot)
    }
  }

  #journalStart(reading: StateReading): void {
    const previous = reading.kind === 'read' ? reading.state : undefined
    const forwards = this.#configuration.forwards.map(({ name, options }) => ({
      name,
      port: options.listenPort,
    }))
    const renamed = renamings(previous?.forwards ?? [], forwards)
    this.#attemptToRecord('the names of forwards', () => this.#desired.rename(renamed))
    this.#renamedAtStart = renamed
    this.#journal.write({
      event: 'monitor-started',
      pid: process.pid,
      version,
      previousSeenAt: previous?.stopped?.at ?? previous?.writtenAt ?? null,
      previousEnded: previous?.stopped != null,
      forwards,
      renamed,
    })
  }

  #file(name: string): string {
    return path.join(this.#options.stateDirectory, name)
  }
}

function isService(): boolean {
  return process.env.INVOCATION_ID !== undefined && isMeant(process.env, process.pid)
}

function endingSignal(): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
}
