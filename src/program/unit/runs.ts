import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import type { ProgramConfiguration } from '../../config/program-configuration.ts'
import { writeFileAtomically } from '../../os/atomic-file.ts'
import { monotonicMs } from '../../os/clock.ts'
import { readRegularFile } from '../../os/regular-file.ts'
import { ShortageError } from '../../os/shortage.ts'
import { system } from '../../os/system.ts'
import { onDeath } from '../../process/deaths.ts'
import { restOf } from '../../process/ending.ts'
import {
  isElsewhere,
  judgeProcess,
  type ProcessIdentity,
  sameProcess,
  signalProcess,
} from '../../process/identity.ts'
import { isOfProgram, processOfStart } from '../../process/program-mark.ts'
import { processTree } from '../../process/tree.ts'
import { judgePidFile, readPidFile, removeStalePidFile, writePidFile } from '../../record/pid-file.ts'
import { fileNames } from '../../record/state-directory.ts'
import type { Diagnosis } from '../../watch/unit.ts'
import type { ProgramInput } from '../input/index.ts'
import { fingerprintOf, KeptProgram, type KeptRecord, KeptRecordFile } from '../kept/index.ts'
import type { ProgramOutput } from '../output/index.ts'
import type { ProgramFault } from './vocabulary.ts'

/** The process of a program. */
export interface Run extends KeptRecord {
  /** It outlives this monitor. */
  readonly isKept: boolean
  /** It is no child of this monitor: another one has started it, or it is what another process has left behind. */
  readonly isAdopted: boolean
}

export interface RunsOptions {
  readonly name: string
  readonly stateDirectory: string
  /** Makes the state directory when it is gone. Throws when it cannot be used. */
  readonly prepareDirectory: () => void
  readonly output: ProgramOutput
  readonly input: ProgramInput
  /** A process that this monitor has not started is the program's. */
  readonly adopted: (identity: ProcessIdentity) => void
  /** It is gone, and its last words are kept. */
  readonly ended: () => void
}

/**
 * Which process is the program's: the one that this monitor has started, the one that the monitor before has left to go on, or what a process
 * that is gone has left behind. The next monitor is told by the PID file, and by the files of kept/.
 */
export class Runs {
  readonly kept: KeptProgram
  readonly #options: RunsOptions
  readonly #record: KeptRecordFile
  #current: Run | undefined
  /** What another monitor has left was looked for. */
  #hasLooked = false
  #adoptedEnd: Promise<void> | undefined
  #forgetDeath: () => void = () => {}
  /** Settles when what ended while no monitor ran is read. */
  #restRead: Promise<void> = Promise.resolve()

  constructor(options: RunsOptions) {
    const { name, stateDirectory, output } = options
    this.#options = options
    this.kept = new KeptProgram(stateDirectory, name, output)
    this.#record = new KeptRecordFile(stateDirectory, name)
  }

  /** The last one, which may be gone; undefined = there was none. */
  get current(): Run | undefined {
    return this.#current
  }

  /** A monitor before this one has started it, and it was to go on. */
  get runsAlready(): boolean {
    const record = this.#record.read()
    return record !== undefined && !isElsewhere(record.identity) && judgeProcess(record.identity) === 'alive'
  }

  /** Sends a signal to its process, or to its whole session. @returns false when it does not run. */
  signal(signal: NodeJS.Signals, isForSession: boolean): boolean {
    if (this.#current === undefined) return false
    const { identity } = this.#current
    if (!isForSession || identity.session === undefined) return signalProcess(identity, signal, isForSession)
    const { session: _, ...here } = identity
    const members = processTree(identity, system.processTable())
    return members
      .map(({ pid, startTime }) => signalProcess({ ...here, pid, startTime }, signal))
      .some(Boolean)
  }

  /**
   * A process with this word in its environment is about to be started: when this monitor is killed before it has written down which one it
   * is, the next one finds it by the word.
   */
  aboutToStart(run: string): void {
    try {
      this.#options.prepareDirectory()
      writeFileAtomically(this.#startFile, `${run}\n`, false)
    } catch {
      // Told by the write of the state.
    }
  }

  /** This monitor has started it. */
  begin(identity: ProcessIdentity, configuration: ProgramConfiguration): void {
    this.#current = {
      identity,
      fingerprint: fingerprintOf(configuration),
      since: monotonicMs(),
      isReady: false,
      isKept: configuration.keep,
      isAdopted: false,
    }
    if (this.#writeDown()) rmSync(this.#startFile, { force: true })
  }

  isReady(identity: ProcessIdentity): void {
    if (this.#current === undefined || !sameProcess(this.#current.identity, identity)) return
    this.#current = { ...this.#current, isReady: true }
    this.#writeDown()
  }

  /** Somebody may have removed what the next monitor needs. */
  keepFiles(): void {
    if (this.#current?.isKept !== true) return
    try {
      if (!this.#record.isThere || !existsSync(this.#pidFile)) this.#writeDown()
      this.kept.reading?.keep()
    } catch {
      // Told by the write of the state.
    }
  }

  /**
   * Takes what a monitor before this one has started and kept, or reads the last words of what has ended since; once.
   * @param keptBytes as in `KeptProgram.read`.
   * @throws the system's error.
   */
  takeOver(keptBytes: number): void {
    if (this.#hasLooked || this.#current !== undefined) return
    if (!this.kept.isThere) {
      this.#hasLooked = true
      return
    }
    const record = this.#record.read()
    const verdict =
      record === undefined || isElsewhere(record.identity) ? 'gone' : judgeProcess(record.identity)
    if (verdict === 'unverifiable') return
    const isThere = record !== undefined && (verdict === 'alive' || verdict === 'stopped')
    const reading = this.kept.read(keptBytes, isThere ? record.identity.pid : undefined)
    const { output } = this.#options
    this.#hasLooked = true
    if (isThere) {
      output.note(
        `taken over by another monitor (PID ${record.identity.pid}): what it has printed since follows`,
      )
      return this.#adopt({ ...record, isKept: true, isAdopted: true })
    }
    if (record !== undefined)
      output.note(`PID ${record.identity.pid} ended while no monitor ran; its exit code is not known`)
    this.#restRead = reading.read().then(() => reading.end())
  }

  /** Whether somebody reads what is left of a process that is gone. */
  get isRestRead(): boolean {
    return this.#current !== undefined || this.kept.reading !== undefined
  }

  /**
   * What a process that is gone has left behind in its session is the program from now on.
   * @returns the oldest of them, which stands for all; undefined = there is none.
   */
  takeRest(gone: ProcessIdentity, configuration: ProgramConfiguration): ProcessIdentity | undefined {
    const { name, output } = this.#options
    const rest = restOf(gone, (_words, pid) => isOfProgram(pid, name))
    const [oldest] = rest.toSorted((a, b) => system.startOrder(a.startTime) - system.startOrder(b.startTime))
    if (oldest === undefined) return undefined
    const identity = { ...oldest, session: gone.session ?? gone.pid }
    const before = this.#current ?? this.#record.read()
    output.note(`PID ${rest.map(({ pid }) => pid).join(' and ')} taken over: PID ${gone.pid} left it behind`)
    this.#adopt({
      identity,
      fingerprint: before?.fingerprint ?? fingerprintOf(configuration),
      since: before?.since ?? monotonicMs(),
      isReady: true,
      isKept: this.#current?.isKept ?? this.kept.reading !== undefined,
      isAdopted: true,
    })
    this.#writeDown()
    return identity
  }

  /** What ran before is gone, with its last words kept. */
  async settled(): Promise<void> {
    if (this.#current?.isAdopted) await this.#readLastWords()
    await this.#restRead
  }

  /** What a monitor before this one has left, by its PID file or by the word of a start that it could not finish. */
  diagnoseNamed(): Diagnosis<ProgramFault> {
    const named = this.#diagnosePidFile()
    const identity = named.condition === 'dead' ? this.#unnamed() : undefined
    if (identity === undefined) return named
    return { condition: 'faulty', fault: { code: 'left-by-monitor', pid: identity.pid }, identity }
  }

  /** The process of a start whose monitor was killed before it could write the PID file. */
  #unnamed(): ProcessIdentity | undefined {
    let run: string
    try {
      run = readRegularFile(this.#startFile).trim()
    } catch {
      return undefined
    }
    const identity = run === '' ? undefined : processOfStart(run)
    if (identity === undefined) rmSync(this.#startFile, { force: true })
    return identity
  }

  #diagnosePidFile(): Diagnosis<ProgramFault> {
    const file = readPidFile(this.#pidFile)
    const dead = { condition: 'dead', fault: { code: 'not-running' } } as const
    switch (file.kind) {
      case 'missing':
        return dead
      case 'unreadable':
        throw new ShortageError(file.shortage)
      case 'invalid':
        return { ...dead, stale: { code: 'pid-file-invalid', why: file.why } }
      case 'legacy':
        return { ...dead, stale: { code: 'pid-file-invalid', why: 'it holds no identity' } }
      case 'identified': {
        const { identity } = file
        const { pid } = identity
        // A program ends with its container, and its monitor's control socket, which is this one's now, was there.
        if (isElsewhere(identity)) return { ...dead, stale: { code: 'pid-elsewhere', pid } }
        switch (judgeProcess(identity)) {
          case 'alive':
          case 'stopped':
            return { condition: 'faulty', fault: { code: 'left-by-monitor', pid }, identity }
          case 'unverifiable':
            return { condition: 'unverifiable', fault: { code: 'identity-unproven', pid } }
          case 'zombie':
          case 'gone':
            return { ...dead, identity, stale: { code: 'pid-gone', pid } }
          case 'reused':
            return { ...dead, stale: { code: 'pid-reused', pid } }
        }
      }
    }
  }

  removeStalePidFile(): void {
    const found = readPidFile(this.#pidFile)
    const verdict = judgePidFile(found)
    if (found.kind === 'identified' && (verdict === 'alive' || verdict === 'stopped')) return
    if (removeStalePidFile(this.#pidFile, found)) this.#record.remove()
  }

  /** This monitor ends, or the program is no longer configured. What is kept goes on, and is read by the next monitor. */
  close(): void {
    const { input, output } = this.#options
    const { waiting } = input
    this.#forgetDeath()
    if (this.#current?.isKept === true && judgeProcess(this.#current.identity) === 'alive') {
      const lost = waiting === 0 ? '' : `; ${waiting} bytes that waited for its input are lost`
      output.note(`the monitor ends, PID ${this.#current.identity.pid} goes on${lost}`)
    }
    input.close()
    this.kept.close()
  }

  #adopt(run: Run): void {
    const { input, adopted, ended } = this.#options
    this.#current = run
    this.#adoptedEnd = undefined
    const stdin = run.isKept ? this.kept.openInput() : undefined
    if (stdin !== undefined) input.attach(stdin)
    this.#forgetDeath = onDeath(run.identity, () => void this.#readLastWords().then(ended))
    adopted(run.identity)
  }

  /** What it printed last is read before its death is told; once. */
  #readLastWords(): Promise<void> {
    this.#adoptedEnd ??= this.#readToEnd()
    return this.#adoptedEnd
  }

  async #readToEnd(): Promise<void> {
    this.#forgetDeath()
    const { reading } = this.kept
    await reading?.read()
    reading?.end()
    this.#options.output.note('has ended; its exit code is not known, because another monitor started it')
  }

  /** For the monitor that comes after this one. @returns whether it could be written. */
  #writeDown(): boolean {
    if (this.#current === undefined) return false
    const { identity, since, isReady, fingerprint, isKept } = this.#current
    try {
      this.#options.prepareDirectory()
      writePidFile(this.#pidFile, identity)
      if (isKept) this.#record.write({ identity, since, isReady, fingerprint })
      else this.#record.remove()
      return true
    } catch {
      // Told by the write of the state.
      return false
    }
  }

  get #startFile(): string {
    const { stateDirectory, name } = this.#options
    return path.join(stateDirectory, fileNames.programStart(name))
  }

  get #pidFile(): string {
    const { stateDirectory, name } = this.#options
    return path.join(stateDirectory, fileNames.programPidFile(name))
  }
}
