import { existsSync } from 'node:fs'
import path from 'node:path'
import { type Renaming, renamings } from '../config/compare.ts'
import type { Configuration } from '../config/configuration.ts'
import type { ChangeCause } from '../config/configuration-file.ts'
import { gateTokenVariable } from '../config/forward-options.ts'
import type { ConfigurationSource } from '../config/load.ts'
import type { Log } from '../log/index.ts'
import { defaultLogLimits, LineLog } from '../log/line-log.ts'
import { LineOutput } from '../log/line-output.ts'
import { pinoLog } from '../log/pino-log.ts'
import { redactor } from '../log/redaction.ts'
import { RingLog } from '../log/ring-log.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { duration } from '../os/duration.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { isMeant } from '../os/service-manager.ts'
import { version } from '../os/version.ts'
import { ownIdentity } from '../process/identity.ts'
import { ApiKeys } from '../record/api-keys.ts'
import { AuditLog } from '../record/audit.ts'
import { ConfigurationChanges } from '../record/configuration-changes.ts'
import { ConfigurationHistory } from '../record/configuration-history.ts'
import { DesiredState, type WantedDown, type WantedInstances } from '../record/desired-state.ts'
import { Journal } from '../record/journal.ts'
import { KeptFile } from '../record/kept-file.ts'
import {
  type StateReading,
  takeOverRuntimeState,
  unitRecords,
  writeRuntimeState,
} from '../record/runtime-state.ts'
import type { IncidentChange } from '../record/shapes/alerts.ts'
import type { JournalEvent } from '../record/shapes/journal.ts'
import { forwardId, type RuntimeState, stateSchemaVersion } from '../record/shapes/runtime-state.ts'
import { demandOwnDirectory, fileNames, prepareStateDirectory } from '../record/state-directory.ts'
import { type Explanation, explainStanding } from '../watch/narrate/journal.ts'
import type { Unit } from '../watch/unit.ts'
import { memoryOf } from '../watch/unit-record.ts'
import type { UnitWatcher, WatcherMemory } from '../watch/unit-watcher.ts'
import { FailureCounts } from './failure-counts.ts'
import { eventOf, incidentEvent, programsOf, recordsOf } from './record-shapes.ts'

/** What a monitor is, for its records. */
export interface RecordsOptions {
  readonly stateDirectory: string
  /** The absolute path of the configuration file; undefined = there is none. */
  readonly configurationFile: string | undefined
  /** As in `MonitorOptions`. */
  readonly gate: string
  /** ISO 8601. */
  readonly startedAt: string
}

export interface MonitorFacts {
  readonly watchers: readonly UnitWatcher[]
  /** ms between two rounds. */
  readonly intervalMs: number
  /** Monotonic ms of the last finished round; undefined before the first. */
  readonly lastRoundAt: number | undefined
  readonly lastRound: RuntimeState['lastRound']
}

/** What the monitor before knew of a unit. */
export type MemoryOf = (unit: Unit) => WatcherMemory | undefined

/** Characters of a secret, or of a part of a secret URL, that is taken out of every line: shorter ones may be ordinary words. */
const shortestSecret = 16

/** ms between two heartbeats after which nobody watched in between. */
const longestGapMs = 30_000

/**
 * What a monitor writes: its log, journal, runtime state, counters of failures, and what orders want. Watching goes on when none of it can be
 * written, and what somebody removes is written again.
 */
export class MonitorRecords {
  /** Goes to log, ring and standard output. */
  readonly log: Log
  readonly journal: Journal
  /** Who has asked for what. */
  readonly audit: AuditLog
  readonly keys: ApiKeys
  /** The configurations that were in force. */
  readonly configurations: ConfigurationHistory
  /** What orders have changed of the configuration. */
  readonly changes: ConfigurationChanges
  readonly #options: RecordsOptions
  readonly #facts: () => MonitorFacts
  readonly #startedAtMonotonicMs = monotonicMs()
  readonly #lines: LineLog
  readonly #ring: RingLog
  #redact: (text: string) => string = (text) => text
  readonly #desired: DesiredState
  readonly #kept: readonly { readonly name: string; readonly file: KeptFile }[]
  #configurationProblem: RuntimeState['configurationProblem'] = null
  #problem: RuntimeState['recordsProblem'] = null
  #stopped: RuntimeState['stopped'] = null
  #sequence = 0
  /** Whether the write that is planned is durable; undefined = none is planned. */
  #plannedWrite: boolean | undefined
  readonly #failureCounts: FailureCounts
  #lastBeat = { wall: wallTime(), monotonic: monotonicMs() }

  constructor(options: RecordsOptions, facts: () => MonitorFacts) {
    this.#options = options
    this.#facts = facts
    this.#lines = new LineLog(this.#file(fileNames.monitorLog), {
      ...defaultLogLimits,
      demandDirectory: demandOwnDirectory,
      remembered: 1000,
    })
    this.#ring = new RingLog(this.#file(fileNames.logRing), demandOwnDirectory)
    const printed = new LineOutput(process.stdout)
    this.log = pinoLog({
      lines: this.#lines,
      ring: this.#ring,
      echo: (line) => printed.write(line),
      redact: (text) => this.#kept.reduce((clean, { file }) => file.redact(clean), this.#redact(text)),
    })
    this.journal = new Journal(options.stateDirectory)
    this.audit = new AuditLog(options.stateDirectory)
    this.keys = new ApiKeys(options.stateDirectory)
    this.changes = new ConfigurationChanges(options.stateDirectory)
    this.configurations = new ConfigurationHistory(options.stateDirectory)
    this.#desired = new DesiredState(options.stateDirectory)
    this.#failureCounts = new FailureCounts(options.stateDirectory)
    this.#kept = [fileNames.gateToken, fileNames.gateKey].map((name) => {
      return { name, file: new KeptFile(this.#file(name), true) }
    })
  }

  /** Keeps secrets of the configuration out of the log. Replaces those that were given before. */
  hide(secrets: readonly string[]): void {
    const all = [...secrets, process.env[gateTokenVariable] ?? '']
    const long = all.filter((secret) => secret.length >= shortestSecret)
    this.#redact = redactor(long, shortestSecret)
  }

  /**
   * Reads what the monitor before left, so that neither failures nor back-off begin anew because it was replaced, and journals the start.
   * @throws Failure (78) when a newer version has written it.
   */
  takeOver(configured: Configuration): MemoryOf {
    const { reading, quarantined, problem } = takeOverRuntimeState(this.#file(fileNames.runtimeState))
    if (problem !== undefined) {
      const kept = quarantined === undefined ? '' : `; it is kept as ${quarantined}`
      const from = reading.kind === 'read' ? 'continuing from the previous one' : 'beginning a new one'
      this.log.warn(`The state file could not be used: ${problem}${kept}; ${from}`)
    }
    if (reading.kind === 'newer') {
      throw new Failure(
        `${this.#file(fileNames.runtimeState)} was written by a newer version (schema ${reading.schemaVersion}); ` +
          'run that version, or choose another --state-dir',
        exitCode.configuration,
      )
    }
    this.#journalStart(reading, configured)
    if (reading.kind !== 'read') return () => undefined
    this.#sequence = reading.state.sequence
    const sameBoot = reading.state.writer.identity.bootId === bootId()
    const records = unitRecords(reading.state)
    const kept = new Set(configured.forwards.map(({ options }) => forwardId(options.listenPort)))
    return ({ id, name }) => {
      // Whatever it is called now. A forward that has moved to another port has another id, and its name.
      const moved = () =>
        kept.has(id)
          ? [...records].find(([before, record]) => record.name === name && !kept.has(before))?.[1]
          : undefined
      const record = records.get(id) ?? moved()
      return record && memoryOf(record, sameBoot)
    }
  }

  #journalStart(reading: StateReading, configured: Configuration): void {
    const previous = reading.kind === 'read' ? reading.state : undefined
    const forwards = configured.forwards.map(({ name, options }) => ({ name, port: options.listenPort }))
    const renamed = renamings(previous?.forwards ?? [], forwards)
    this.rename(renamed)
    this.journal.write({
      event: 'monitor-started',
      pid: process.pid,
      version,
      previousSeenAt: previous?.stopped?.at ?? previous?.writtenAt ?? null,
      previousEnded: previous?.stopped != null,
      forwards,
      ...programsOf(configured),
      renamed,
    })
  }

  /** Forwards have other names from now on: what is wanted of them stays. */
  rename(renamed: readonly Renaming[]): void {
    this.#attempt('the names of forwards', () => this.#desired.rename(renamed))
  }

  /** Writes a decision about a unit to the journal. */
  decided(unit: Unit, explanation: Explanation): void {
    this.journal.write(eventOf(unit, explanation))
  }

  /** Writes a change of an incident to the journal, where no decision tells it. */
  told(change: IncidentChange): void {
    const event = incidentEvent(change, this.#facts().watchers)
    if (event !== undefined) this.journal.write(event)
  }

  /** Remembers what an order wants of a forward, for the next monitor. @returns false when it could not be saved. */
  want(name: string, wanted: 'up' | Omit<WantedDown, 'since'>): boolean {
    return this.#attempt(`what is wanted of ${name}`, () => this.#desired.want(name, wanted))
  }

  /** Remembers how many copies of a program an order wants; undefined = as many as the file says. @returns false when it could not be saved. */
  wantInstances(program: string, wanted: Omit<WantedInstances, 'since'> | undefined): boolean {
    return this.#attempt(`how many copies of ${program} are wanted`, () =>
      this.#desired.wantInstances(program, wanted),
    )
  }

  wantedInstances(program: string): WantedInstances | undefined {
    return this.#desired.wantedInstances(program)
  }

  /** Who wants a forward down, and since when; undefined = nobody. */
  wantedDown(name: string): WantedDown | undefined {
    return this.#desired.wantedDown(name)
  }

  /** This configuration is in force from now on. */
  keepConfiguration(source: ConfigurationSource, cause: ChangeCause): void {
    this.#attempt('the history of configurations', () => this.configurations.add(source, cause))
  }

  #attempt(what: string, write: () => void): boolean {
    try {
      write()
      return true
    } catch (error) {
      this.log.error(`Cannot save ${what}: ${errorText(error)}`)
      return false
    }
  }

  /** The configuration file cannot be used for this reason; null = it can. */
  configurationFails(reason: string | null): void {
    this.#configurationProblem = reason === null ? null : { since: wallTime(), reason }
    this.write(true)
  }

  /** The last record of all. */
  stopped(reason: string): void {
    this.keys.save()
    this.journal.write({ event: 'monitor-stopped', reason })
    this.#stopped = { at: wallTime(), reason }
    this.write(true)
  }

  /** Says that the monitor watches. At least every 30 s, or the time in between counts as unwatched. */
  heartbeat(): void {
    this.#noteGap()
    this.journal.recover(() => this.#standing())
    this.#planWrite(false)
  }

  /** Time in which nothing was watched is written down as such: it must not count as time in which all was well. */
  #noteGap(): void {
    const now = { wall: wallTime(), monotonic: monotonicMs() }
    const { wall, monotonic } = this.#lastBeat
    this.#lastBeat = now
    const passed = Date.parse(now.wall) - Date.parse(wall)
    if (passed < -longestGapMs)
      this.log.warn(`The clock was set back by ${duration(-passed)}; this has no effect`)
    if (passed <= longestGapMs) return
    const reason =
      now.monotonic - monotonic > longestGapMs
        ? 'the monitor did not run'
        : 'the machine slept, or its clock was set'
    this.journal.write({ event: 'monitor-gap', from: wall, reason })
    this.log.warn(`Nothing was monitored for ${duration(passed)}: ${reason}`)
  }

  #standing(): JournalEvent[] {
    return this.#facts().watchers.map(({ unit, state }) => eventOf(unit, explainStanding(state)))
  }

  /** A unit was looked at, or its state has changed. @param isNews false: this need not outlive a loss of power. */
  changed(watcher: UnitWatcher, isNews: boolean): void {
    this.#failureCounts.write(watcher)
    this.#planWrite(isNews)
  }

  /** What is to be written in one turn of the event loop is written once. */
  #planWrite(durable: boolean): void {
    const isPlanned = this.#plannedWrite !== undefined
    this.#plannedWrite = durable || this.#plannedWrite === true
    if (isPlanned) return
    setImmediate(() => {
      const durable = this.#plannedWrite === true
      this.#plannedWrite = undefined
      this.write(durable)
    })
  }

  /**
   * A full or read-only disk, or a directory that is gone, does not stop the watching: it is said once, and said again when it is over.
   * @returns true when it is written.
   */
  write(durable: boolean): boolean {
    try {
      demandOwnDirectory(this.#options.stateDirectory)
      writeRuntimeState(this.#file(fileNames.runtimeState), this.runtimeState(), durable)
    } catch (error) {
      this.fail(errorText(error))
      return false
    }
    if (this.#problem === null) return true
    this.#problem = null
    this.log.info({ good: true }, 'The state can be written again')
    return this.write(durable)
  }

  /** The records cannot be written, for a reason that is known before the next try. */
  fail(reason: string): void {
    if (this.#problem !== null) return
    this.#problem = { since: wallTime(), reason }
    // What took the state may have taken the logs: a line to a file that is gone would be read by nobody.
    this.#lines.look()
    this.#ring.look()
    this.log.error(`The state cannot be written: ${reason}; monitoring continues`)
  }

  /** For who has given the logs other names (logrotate). */
  reopen(): void {
    this.#lines.reopen()
    this.#ring.reopen()
    this.journal.reopen()
    this.audit.reopen()
  }

  /** Writes again what somebody has removed or renamed, and lets go of what was. Never fails. */
  keep(): void {
    const gone: string[] = []
    if (this.#lines.look()) gone.push(fileNames.monitorLog)
    if (this.#ring.look()) gone.push(fileNames.logRing)
    if (this.journal.look()) gone.push(fileNames.journal)
    if (this.audit.look()) gone.push(fileNames.audit)
    this.journal.recover(() => this.#standing())
    gone.push(...this.#keepFiles())
    for (const watcher of this.#facts().watchers) this.#failureCounts.keep(watcher)
    if (!existsSync(this.#file(fileNames.runtimeState)) && this.write(true)) gone.push(fileNames.runtimeState)
    if (gone.length > 0) this.log.warn(`Restored missing files: ${gone.join(', ')}`)
  }

  /** What orders want, and what the gates' forwarders would otherwise invent anew when they are started. @returns the names of those written. */
  #keepFiles(): string[] {
    try {
      const kept = this.#kept.filter(({ file }) => file.keep()).map(({ name }) => name)
      if (this.#desired.keep()) kept.push(fileNames.desiredState)
      if (this.configurations.keep()) kept.push(fileNames.configurationHistory)
      return kept
    } catch {
      // Told by the write of the state.
      return []
    }
  }

  /** A forwarder that is started finds its directory, and in it the secrets that others of its login use. */
  prepareDirectory(): void {
    prepareStateDirectory(this.#options.stateDirectory)
    this.#keepFiles()
  }

  /** The runtime state as it is now. */
  runtimeState(): RuntimeState {
    const { watchers, intervalMs, lastRoundAt, lastRound } = this.#facts()
    const isService = process.env.INVOCATION_ID !== undefined && isMeant(process.env, process.pid)
    return {
      schemaVersion: stateSchemaVersion,
      writer: {
        identity: ownIdentity(),
        version,
        startedAt: this.#options.startedAt,
        startedAtMonotonicMs: this.#startedAtMonotonicMs,
        configuration: this.#options.configurationFile ?? null,
        gate: this.#options.gate,
        serviceManager: isService ? 'systemd' : null,
      },
      sequence: ++this.#sequence,
      writtenAt: wallTime(),
      writtenAtMonotonicMs: monotonicMs(),
      intervalMs,
      lastRoundAt: lastRoundAt ?? null,
      lastRound,
      stopped: this.#stopped,
      configurationProblem: this.#configurationProblem,
      recordsProblem: this.#problem,
      ...recordsOf(watchers),
    }
  }

  #file(name: string): string {
    return path.join(this.#options.stateDirectory, name)
  }
}
