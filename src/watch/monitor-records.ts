import { existsSync } from 'node:fs'
import path from 'node:path'

import { type Renaming, renamings } from '../config/compare.ts'
import type { ForwardConfiguration } from '../config/configuration.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { duration } from '../os/duration.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { ownIdentity } from '../os/process-identity.ts'
import { isMeant } from '../os/service-manager.ts'
import { version } from '../os/version.ts'
import { writeFileAtomically } from '../record/atomic-file.ts'
import { DesiredState } from '../record/desired-state.ts'
import { Journal, type JournalEvent } from '../record/journal.ts'
import { KeptFile } from '../record/kept-file.ts'
import { defaultLogLimits, LineLog } from '../record/line-log.ts'
import { formatForPeople, type LogLevel } from '../record/log-entry.ts'
import { RingLog } from '../record/ring-log.ts'
import {
  type RuntimeState,
  type StateReading,
  stateSchemaVersion,
  takeOverRuntimeState,
  writeRuntimeState,
} from '../record/runtime-state.ts'
import { demandOwnDirectory, fileNames, prepareStateDirectory } from '../record/state-directory.ts'
import { explainStanding } from './explain.ts'
import { forwardRecord, memoryOf } from './forward-record.ts'
import type { ForwardWatcher, WatcherMemory } from './forward-watcher.ts'

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

/** What the records show of a monitor, as it is now. */
export interface MonitorFacts {
  readonly watchers: readonly ForwardWatcher[]
  /** ms between two rounds. */
  readonly intervalMs: number
  /** Monotonic ms of the last finished round; undefined before the first. */
  readonly lastRoundAt: number | undefined
  readonly lastRound: RuntimeState['lastRound']
}

/** What the monitor before has left. */
export interface PreviousMonitor {
  readonly memoryOf: (forward: ForwardConfiguration) => WatcherMemory | undefined
  /** Forwards that it knew by another name. */
  readonly renamed: readonly Renaming[]
}

/** ms between two heartbeats after which nobody watched in between. */
const longestGapMs = 30_000

/**
 * What a monitor writes: its log, journal, runtime state, counters of failures, and what orders want. Watching goes on when none of it can be
 * written, and what somebody removes is written again.
 */
export class MonitorRecords {
  readonly journal: Journal
  readonly #options: RecordsOptions
  readonly #facts: () => MonitorFacts
  readonly #startedAtMonotonicMs = monotonicMs()
  readonly #log: LineLog
  readonly #ring: RingLog
  readonly #desired: DesiredState
  readonly #kept: readonly { readonly name: string; readonly file: KeptFile }[]
  #configurationProblem: RuntimeState['configurationProblem'] = null
  #problem: RuntimeState['recordsProblem'] = null
  #stopped: RuntimeState['stopped'] = null
  #sequence = 0
  #writePlanned = false
  #lastBeat = { wall: wallTime(), monotonic: monotonicMs() }

  constructor(options: RecordsOptions, facts: () => MonitorFacts) {
    this.#options = options
    this.#facts = facts
    this.#log = new LineLog(this.#file(fileNames.monitorLog), {
      ...defaultLogLimits,
      isPrivate: true,
      remembered: 1000,
    })
    this.#ring = new RingLog(this.#file(fileNames.logRing))
    this.journal = new Journal(options.stateDirectory)
    this.#desired = new DesiredState(options.stateDirectory)
    this.#kept = [fileNames.gateToken, fileNames.gateKey].map((name) => {
      return { name, file: new KeptFile(this.#file(name), true) }
    })
  }

  /** Writes a line to log, ring and standard output. @param source the name of a forward, or `monitor`. */
  say(level: LogLevel, message: string, good = false, source = 'monitor'): void {
    const entry = { time: wallTime(), level, source, message, good }
    const line = formatForPeople(entry)
    this.#log.write(line)
    this.#ring.write(entry)
    process.stdout.write(`${line}\n`)
  }

  /**
   * Reads what the monitor before left, so that neither failures nor back-off begin anew because it was replaced, and journals the start.
   * @throws Failure (78) when a newer version has written it.
   */
  takeOver(configured: readonly ForwardConfiguration[]): PreviousMonitor {
    const { reading, quarantined, problem } = takeOverRuntimeState(this.#file(fileNames.runtimeState))
    if (problem !== undefined) {
      const kept = quarantined === undefined ? '' : `; it is kept as ${quarantined}`
      const from = reading.kind === 'read' ? 'continuing from the previous one' : 'beginning a new one'
      this.say('warn', `The state file could not be used: ${problem}${kept}; ${from}`)
    }
    if (reading.kind === 'newer') {
      throw new Failure(
        `${this.#file(fileNames.runtimeState)} was written by a newer version (schema ${reading.schemaVersion}); ` +
          'run that version, or choose another --state-dir',
        exitCode.configuration,
      )
    }
    const renamed = this.#journalStart(reading, configured)
    if (reading.kind !== 'read') return { memoryOf: () => undefined, renamed }
    this.#sequence = reading.state.sequence
    const sameBoot = reading.state.writer.identity.bootId === bootId()
    const { forwards } = reading.state
    const ports = new Set(configured.map(({ options }) => options.listenPort))
    return {
      memoryOf: ({ name, options: { listenPort } }) => {
        // Whatever it is called now; one that has moved to another port keeps its name.
        const record =
          forwards.find(({ port }) => port === listenPort) ??
          forwards.find((one) => one.name === name && !ports.has(one.port))
        return record && memoryOf(record, sameBoot)
      },
      renamed,
    }
  }

  #journalStart(reading: StateReading, configured: readonly ForwardConfiguration[]): readonly Renaming[] {
    const previous = reading.kind === 'read' ? reading.state : undefined
    const forwards = configured.map(({ name, options }) => ({ name, port: options.listenPort }))
    const renamed = renamings(previous?.forwards ?? [], forwards)
    this.rename(renamed)
    this.journal.write({
      event: 'monitor-started',
      pid: process.pid,
      version,
      previousSeenAt: previous?.stopped?.at ?? previous?.writtenAt ?? null,
      previousEnded: previous?.stopped != null,
      forwards,
      renamed,
    })
    return renamed
  }

  /** Forwards have other names from now on: what is wanted of them stays. */
  rename(renamed: readonly Renaming[]): void {
    this.#attempt('the names of forwards', () => this.#desired.rename(renamed))
  }

  /** Remembers what an order wants of a forward, for the next monitor. */
  want(name: string, wanted: 'up' | 'down', why: string): void {
    this.#attempt(`what is wanted of ${name}`, () => this.#desired.want(name, wanted, why))
  }

  /** Who wants a forward down, and since when; undefined = nobody. */
  wantedDown(name: string): ReturnType<DesiredState['wantedDown']> {
    return this.#desired.wantedDown(name)
  }

  #attempt(what: string, write: () => void): void {
    try {
      write()
    } catch (error) {
      this.say('error', `Cannot save ${what}: ${errorText(error)}`)
    }
  }

  /** The configuration file cannot be used for this reason; null = it can. */
  configurationFails(reason: string | null): void {
    this.#configurationProblem = reason === null ? null : { since: wallTime(), reason }
    this.write(true)
  }

  /** The last record of all. */
  stopped(reason: string): void {
    this.journal.write({ event: 'monitor-stopped', reason })
    this.#stopped = { at: wallTime(), reason }
    this.write(true)
  }

  /** Says that the monitor watches. At least every 30 s, or the time in between counts as unwatched. */
  heartbeat(): void {
    this.#noteGap()
    this.journal.recover(() => this.#standing())
    this.write(false)
  }

  /** Time in which nothing was watched is written down as such: it must not count as time in which all was well. */
  #noteGap(): void {
    const now = { wall: wallTime(), monotonic: monotonicMs() }
    const { wall, monotonic } = this.#lastBeat
    this.#lastBeat = now
    const passed = Date.parse(now.wall) - Date.parse(wall)
    if (passed < -longestGapMs)
      this.say('warn', `The clock was set back by ${duration(-passed)}; this has no effect`)
    if (passed <= longestGapMs) return
    const reason =
      now.monotonic - monotonic > longestGapMs
        ? 'the monitor did not run'
        : 'the machine slept, or its clock was set'
    this.journal.write({ event: 'monitor-gap', from: wall, reason })
    this.say('warn', `Nothing was monitored for ${duration(passed)}: ${reason}`)
  }

  #standing(): JournalEvent[] {
    return this.#facts().watchers.map(({ configuration: { name, options }, state }) => ({
      event: 'forward',
      forward: name,
      ...explainStanding(state, options.listenPort),
    }))
  }

  /** A forward's state has changed. All changes of one turn of the event loop are written once. */
  changed(watcher: ForwardWatcher): void {
    this.#writeFailureCount(watcher)
    if (this.#writePlanned) return
    this.#writePlanned = true
    setImmediate(() => {
      this.#writePlanned = false
      this.write(true)
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
    this.say('info', 'The state can be written again', true)
    return this.write(durable)
  }

  /** The records cannot be written, for a reason that is known before the next try. */
  fail(reason: string): void {
    if (this.#problem !== null) return
    this.#problem = { since: wallTime(), reason }
    // What took the state may have taken the logs: a line to a file that is gone would be read by nobody.
    this.#log.look()
    this.#ring.look()
    this.say('error', `The state cannot be written: ${reason}; monitoring continues`)
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
  reopen(): void {
    this.#log.reopen()
    this.#ring.reopen()
    this.journal.reopen()
  }

  /** Writes again what somebody has removed or renamed, and lets go of what was. Never fails. */
  keep(): void {
    const gone: string[] = []
    if (this.#log.look()) gone.push(fileNames.monitorLog)
    if (this.#ring.look()) gone.push(fileNames.logRing)
    if (this.journal.look()) gone.push(fileNames.journal)
    this.journal.recover(() => this.#standing())
    gone.push(...this.#keepFiles())
    for (const watcher of this.#facts().watchers) this.#keepFailureCount(watcher)
    if (!existsSync(this.#file(fileNames.runtimeState)) && this.write(true)) gone.push(fileNames.runtimeState)
    if (gone.length > 0) this.say('warn', `Restored missing files: ${gone.join(', ')}`)
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
  prepareDirectory(): void {
    prepareStateDirectory(this.#options.stateDirectory)
    this.#keepFiles()
  }

  /** The runtime state as it is now. */
  runtimeState(): RuntimeState {
    const { watchers, intervalMs, lastRoundAt, lastRound } = this.#facts()
    return {
      schemaVersion: stateSchemaVersion,
      writer: {
        identity: ownIdentity(),
        version,
        startedAt: this.#options.startedAt,
        startedAtMonotonicMs: this.#startedAtMonotonicMs,
        configuration: this.#options.configurationFile ?? null,
        gate: this.#options.gate,
        serviceManager: isService() ? 'systemd' : null,
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
      forwards: watchers.map(forwardRecord),
    }
  }

  #file(name: string): string {
    return path.join(this.#options.stateDirectory, name)
  }
}

function isService(): boolean {
  return process.env.INVOCATION_ID !== undefined && isMeant(process.env, process.pid)
}
