/**
 * unit/: a program as a unit that the watchdog keeps alive. `ProgramUnit` is what `watch/` sees; `program-process.ts` starts the process,
 * `starts.ts` what a start needs and waits for,
 * `runs.ts` knows which one it is, `wellbeing.ts` whether it is well, and `vocabulary.ts` holds the fault codes and their words. The session
 * is the program: what its process starts in it is signalled and ended with it, also when the process itself is gone.
 */
import { isDeepStrictEqual } from 'node:util'
import { servedPort } from '../../config/instances.ts'
import { type ProgramConfiguration, portOf } from '../../config/program-configuration.ts'
import { monotonicMs } from '../../os/clock.ts'
import { oneLine } from '../../os/printable.ts'
import { judgeProcess, type ProcessIdentity } from '../../process/identity.ts'
import { isOfProgram } from '../../process/program-mark.ts'
import type { ProcessEnd } from '../../process/start.ts'
import type { ProcessSummary } from '../../process/summary.ts'
import type { Instance } from '../../record/shapes/forwarder-health.ts'
import { type ProgramHealth, type ProgramRecord, programId } from '../../record/shapes/runtime-state.ts'
import type {
  Diagnosis,
  Probed,
  ProbeRequest,
  Start,
  StartOutcome,
  Trouble,
  Unit,
  UnitPolicy,
  Vocabulary,
} from '../../watch/unit.ts'
import { ActionRunner } from '../actions/index.ts'
import { ProgramFiles } from '../files/program-files.ts'
import { compileInput, type InputPolicy, ProgramInput } from '../input/index.ts'
import { fingerprintOf } from '../kept/index.ts'
import { compilePatterns, ProgramOutput } from '../output/index.ts'
import { lastWordsOf } from '../output/last-words.ts'
import { ProgramTerminal } from '../terminal/index.ts'
import { failedStart, programEnvironment } from './program-process.ts'
import { type Owner, runAs } from './run-as.ts'
import { type Run, Runs } from './runs.ts'
import { Starts } from './starts.ts'
import { type ProgramFault, programVocabulary } from './vocabulary.ts'
import { Wellbeing } from './wellbeing.ts'

/** What a program needs of the monitor around it. */
export interface ProgramSurroundings {
  readonly stateDirectory: string
  /** Makes the state directory when it is gone. Throws when it cannot be used. */
  readonly prepareDirectory: () => void
  /** Says something that a person should hear. */
  readonly warn: (message: string) => void
  readonly forwards: LeadingForwards
}

/** The forwards that lead to a program, by its name in the configuration. */
export interface LeadingForwards {
  /** ms that their connections have when one of its processes leaves for good; undefined = no forward leads to it. */
  drainMs(program: string): number | undefined
  /** Resolves when none has a connection to this process, and at the latest after so many ms. */
  emptied(program: string, instance: Instance, withinMs: number): Promise<void>
}

/** A program, as the watchdog keeps it alive. */
export class ProgramUnit implements Unit<ProgramHealth> {
  readonly id: string
  readonly kind = 'program'
  readonly name: string
  readonly files = {}
  readonly labels = {}
  readonly output: ProgramOutput
  readonly input: ProgramInput
  readonly actions = new ActionRunner()
  readonly terminal = new ProgramTerminal()
  readonly #around: ProgramSurroundings
  #configuration: ProgramConfiguration
  #vocabulary: Vocabulary
  /** What it runs, on one line. */
  #command: string
  readonly #runs: Runs
  readonly #starts: Starts
  readonly #wellbeing: Wellbeing
  readonly #files: ProgramFiles
  #lost: () => void = () => {}
  #renew: (why: string) => void = () => {}

  constructor(configuration: ProgramConfiguration, around: ProgramSurroundings) {
    const { name } = configuration
    this.id = programId(name)
    this.name = name
    this.#configuration = configuration
    this.#vocabulary = programVocabulary(configuration)
    this.#command = oneLine(configuration.command.join(' '))
    this.#around = around
    this.#files = new ProgramFiles({
      apart: [around.stateDirectory],
      changed: (what) => this.#renew(what),
      uptimeMs: () => {
        const { current } = this.#runs
        return current && monotonicMs() - current.since
      },
      warn: around.warn,
    })
    this.input = new ProgramInput(inputPolicy(configuration))
    this.output = new ProgramOutput({
      directory: around.stateDirectory,
      name,
      ...outputOptions(configuration),
    })
    this.#wellbeing = new Wellbeing(name, this.output, () => this.#lost())
    this.#runs = new Runs({
      ...{ name, output: this.output, input: this.input },
      ...{ stateDirectory: around.stateDirectory, prepareDirectory: around.prepareDirectory },
      adopted: (identity) => this.#watch(identity),
      ended: () => this.#lost(),
    })
    this.#starts = new Starts({
      ...{ output: this.output, input: this.input, terminal: this.terminal, runs: this.#runs },
      recognises: this.recognises,
      configuration: () => this.#configuration,
      environment: () => this.#environment(),
      filesKnown: () => this.#files.known(),
      ready: (identity) => {
        this.#watch(identity)
        this.#runs.isReady(identity)
      },
      ended: () => this.#wellbeing.end(),
      warn: around.warn,
    })
  }

  /** What runs, or else what would be started. */
  get outlivesMonitor(): boolean {
    return this.#configuration.keep && (this.#runs.current?.isKept ?? true)
  }

  get runsAlready(): boolean {
    return this.#runs.runsAlready
  }

  /** Sends a signal to its process, or to its whole session. @returns false when it does not run. */
  signal(signal: NodeJS.Signals, isForSession: boolean): boolean {
    return this.#runs.signal(signal, isForSession)
  }

  get configuration(): ProgramConfiguration {
    return this.#configuration
  }

  get policy(): UnitPolicy {
    const { restart, limits, stop, oneshot, onDetached } = this.#configuration
    return {
      ...{ restart, limits, drainMs: 0, stopSignal: stop.signal, runsOnce: oneshot },
      // Nobody could read what it prints.
      onDetached: this.#runs.isRestRead ? onDetached : 'end',
    }
  }

  /** The program that it is a copy of. */
  get group(): string | undefined {
    return this.#configuration.instanceOf?.program
  }

  /** The port on which its process takes connections, as that was started; undefined = it has none. */
  get port(): number | undefined {
    return this.#starts.port ?? servedPort(this.#configuration)
  }

  get leavesWithinMs(): number | undefined {
    return this.#around.forwards.drainMs(this.#program)
  }

  /** Forwards that lead to it give it no new connections from now on. */
  async drain(withinMs: number): Promise<void> {
    const { name, port } = this
    if (port !== undefined) await this.#around.forwards.emptied(this.#program, { name, port }, withinMs)
  }

  /** What the configuration calls it. */
  get #program(): string {
    return this.group ?? this.name
  }

  get dependsOn(): readonly string[] {
    return this.#configuration.dependsOn
  }

  get startsByItself(): boolean {
    return this.#configuration.autostart
  }

  get vocabulary(): Vocabulary {
    return this.#vocabulary
  }

  /**
   * Takes another configuration for the program of this name.
   * @returns false when it is the one that it has.
   */
  reconfigure(configuration: ProgramConfiguration): boolean {
    if (isDeepStrictEqual(configuration, this.#configuration)) return false
    this.#configuration = configuration
    this.#vocabulary = programVocabulary(configuration)
    this.#command = oneLine(configuration.command.join(' '))
    this.output.reconfigure(outputOptions(configuration))
    const { current } = this.#runs
    if (current !== undefined && judgeProcess(current.identity) === 'alive') this.#watch(current.identity)
    this.input.reconfigure(inputPolicy(configuration))
    this.#files.follow(configuration)
    return true
  }

  /** Its end is an event of its own: it is a child of this process. That it is not healthy is looked at before the next round, too. */
  attach(lost: () => void, renew: (why: string) => void): void {
    this.#lost = lost
    this.#renew = renew
    this.#files.follow(this.#configuration)
  }

  start(): Start {
    return this.#starts.start(this.settled())
  }

  /** What ran before is gone, with its last words kept. */
  async settled(): Promise<void> {
    await Promise.all([this.#runs.settled(), this.#starts.settled()])
  }

  #watch(identity: ProcessIdentity): void {
    const { health, cwd, output } = this.#asItsUser().configuration
    this.#wellbeing.watch(identity, { health, errorRate: output.errorRate }, () => {
      return { cwd, environment: this.#environment(), isOurs: this.recognises }
    })
  }

  /**
   * The variables of all its processes, as they are now.
   * @throws as `programEnvironment`.
   */
  environment(): NodeJS.ProcessEnv {
    const { configuration, owner } = this.#asItsUser()
    return programEnvironment(configuration, owner)
  }

  /**
   * The words that run another command, such as an action, as the user of the program.
   * @throws Error when there is no such user any more, or this process may not.
   */
  wordsAsUser(command: readonly string[]): readonly string[] {
    const as = runAs(this.#configuration)
    if (as.ok) return as.words(command)
    throw new Error(this.#vocabulary.fault(as.fault))
  }

  /** That its user is gone is told at the next start. */
  #asItsUser(): { readonly configuration: ProgramConfiguration; readonly owner?: Owner | undefined } {
    const as = runAs(this.#configuration)
    return as.ok ? as : { configuration: this.#configuration }
  }

  /** A file of variables that is gone by now is told at the next start. */
  #environment(): NodeJS.ProcessEnv {
    try {
      return this.environment()
    } catch {
      const { configuration, owner } = this.#asItsUser()
      return programEnvironment({ ...configuration, envFile: [] }, owner)
    }
  }

  readonly recognises = (_words: readonly string[], pid: number): boolean => isOfProgram(pid, this.name)

  async probe(request: ProbeRequest): Promise<Probed<ProgramHealth>> {
    // One whose start was given up may take a moment to end, and is not well for as long.
    await this.#starts.killed()
    this.#runs.takeOver(this.#configuration.output.maxBytes)
    const run = this.#runs.current
    const holder = request.holder ? this.findHolder() : undefined
    const diagnosis = run === undefined ? this.#runs.diagnoseNamed() : this.#diagnoseOwn(run)
    const isWell = diagnosis.condition === 'healthy'
    if (isWell) this.#runs.keepFiles()
    return {
      diagnosis,
      health: isWell
        ? { identity: diagnosis.process.identity, uptimeMs: diagnosis.process.uptimeMs }
        : undefined,
      optionsMatch: run === undefined || run.fingerprint === fingerprintOf(this.#configuration),
      holder,
    }
  }

  #diagnoseOwn({ identity, since, isReady, isAdopted }: Run): Diagnosis<ProgramFault> {
    switch (judgeProcess(identity)) {
      case 'alive':
      case 'unverifiable': {
        if (isAdopted && !isReady)
          return { condition: 'faulty', fault: { code: 'left-starting', pid: identity.pid }, identity }
        const { fault } = this.#wellbeing
        if (fault !== undefined) return { condition: 'faulty', fault, identity }
        const uptimeMs = Math.max(0, Math.round(monotonicMs() - since))
        return { condition: 'healthy', process: { identity, uptimeMs, supervisor: null } }
      }
      case 'stopped':
        return { condition: 'faulty', fault: { code: 'stopped', pid: identity.pid }, identity }
      case 'zombie':
        return { condition: 'dead', fault: { code: 'not-running' }, identity, isZombie: true }
      case 'gone':
      case 'reused': {
        const isZombie = this.#starts.isUntold(identity.pid)
        return { condition: 'dead', fault: { code: 'not-running' }, identity, isZombie }
      }
    }
  }

  takeRest(gone: ProcessIdentity): StartOutcome {
    const identity = this.#runs.takeRest(gone, this.#configuration)
    return identity === undefined ? failedStart({ code: 'rest-gone', pid: gone.pid }) : { ok: true, identity }
  }

  /** One that was killed has not said why. */
  lastWords(end?: ProcessEnd): string | undefined {
    return lastWordsOf(this.output, end?.kind !== 'killed')
  }

  lacks(): ProgramFault | undefined {
    return this.#starts.lacks()
  }

  /** Who listens where it would; undefined = nobody, or it needs no port. */
  findHolder(): ProcessSummary | undefined {
    return this.#starts.findHolder()
  }

  removeStalePidFile(): void {
    this.#runs.removeStalePidFile()
  }

  troubles(): readonly Trouble[] {
    return this.#wellbeing.troubles
  }

  introduction(): readonly [] {
    return []
  }

  record(
    health: ProgramHealth | undefined,
  ): Pick<
    ProgramRecord,
    'command' | 'readyPort' | 'autostart' | 'keep' | 'ordered' | 'group' | 'unwell' | 'health'
  > {
    const { ready, autostart, keep, ordered, sockets } = this.#configuration
    return {
      command: this.#command,
      readyPort: portOf(ready?.probe) ?? sockets[0]?.port ?? null,
      autostart,
      unwell: this.#wellbeing.unwell,
      ...(keep ? { keep } : {}),
      ...(ordered === undefined ? {} : { ordered }),
      ...(this.group === undefined ? {} : { group: this.group }),
      health: health ?? null,
    }
  }

  /** Nobody waits for what does not come. */
  atRest(): void {
    this.#starts.letGo()
  }

  close(): void {
    this.atRest()
    this.#files.end()
    this.#wellbeing.end()
    this.actions.end()
    this.#runs.close()
    this.output.close()
  }
}

function outputOptions({ output }: ProgramConfiguration) {
  const { maxBytes, maxLines, patterns } = output
  return { maxBytes, maxLines, patterns: compilePatterns(patterns) }
}

function inputPolicy({ input }: ProgramConfiguration): InputPolicy | undefined {
  return input && compileInput(input)
}
