/**
 * unit/: a program as a unit that the watchdog keeps alive. `ProgramUnit` is what `watch/` sees; `program-process.ts` starts the process,
 * `runs.ts` knows which one it is, `wellbeing.ts` whether it is well, and `vocabulary.ts` holds the fault codes and their words. The session
 * is the program: what its process starts in it is signalled and ended with it, also when the process itself is gone.
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { setTimeout as after } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { servedPort } from '../../config/instances.ts'
import { type ProgramConfiguration, portOf } from '../../config/program-configuration.ts'
import { monotonicMs } from '../../os/clock.ts'
import { errorText } from '../../os/failure.ts'
import { oneLine } from '../../os/printable.ts'
import { killProcesses } from '../../process/ending.ts'
import { judgeProcess, type ProcessIdentity } from '../../process/identity.ts'
import { findPortHolder, identifyPortHolder } from '../../process/port-holder.ts'
import { isOfProgram } from '../../process/program-mark.ts'
import type { StartOnTerminal } from '../../process/pseudo-terminal.ts'
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
import { fingerprintOf, KeptOutputError } from '../kept/index.ts'
import { compilePatterns, ProgramOutput } from '../output/index.ts'
import { lastWordsOf } from '../output/last-words.ts'
import { holderOfLoopback, identifyHolderOfLoopback, portsOf } from '../ready/port.ts'
import { type Holding, ProgramSockets } from '../sockets/index.ts'
import { ProgramTerminal } from '../terminal/index.ts'
import { withOpenFilesLimit } from './open-files.ts'
import {
  failedStart,
  isCommandThere,
  type ProgramStart,
  programEnvironment,
  startProgram,
} from './program-process.ts'
import { runAs } from './run-as.ts'
import { type Run, Runs } from './runs.ts'
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

/** ms that a start takes at least of which no process came: with no back-off, nothing else would get its turn between two of them. */
const noProcessTakesMs = 50

/** The outcome of a start that nobody waits for any more. */
const abandoned = failedStart({ code: 'start-given-up' })

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
  readonly #sockets = new ProgramSockets()
  readonly #around: ProgramSurroundings
  #configuration: ProgramConfiguration
  #vocabulary: Vocabulary
  /** What it runs, on one line. */
  #command: string
  readonly #runs: Runs
  /** Where the process that this monitor has started takes connections; undefined = as the configuration says. */
  #startedPort: number | undefined
  #starting: ProgramStart | undefined
  /** The child whose end is yet to be told: its last words are waited for. */
  #untold: number | undefined
  readonly #wellbeing: Wellbeing
  readonly #files: ProgramFiles
  /** That its limit of open files is only watched was told. */
  #saidUnlimited = false
  #lost: () => void = () => {}
  #renew: (why: string) => void = () => {}
  /** Settles when what did not become ready has been killed. */
  #killed: Promise<void> | undefined
  /** Settles when what was started before is gone. */
  #cleared: Promise<void> = Promise.resolve()

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
    return this.#startedPort ?? servedPort(this.#configuration)
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
    let isAbandoned = false
    let isLetGo = false
    const starting = Promise.all([this.settled(), this.#files.known()]).then(async () => {
      if (isAbandoned) return abandoned
      this.output.begin()
      const configuration = this.#configuration
      const held = await this.#sockets.hold(configuration.sockets)
      if (!held.ok) return notHeld(held)
      const terminals = configuration.pty && (await terminalsOrWhy())
      if (isAbandoned) return abandoned
      if (typeof terminals === 'string') return failedStart({ code: 'terminal-missing', why: terminals })
      return this.#start(configuration, held.descriptors, terminals)
    })
    let started: ProgramStart | undefined
    const outcome = starting.then(async (begun): Promise<StartOutcome> => {
      if (begun !== abandoned && !('process' in begun)) await after(noProcessTakesMs)
      if (!('process' in begun))
        return { ...begun, holder: begun.isBlocked ? await this.#identified() : undefined }
      started = begun
      this.#starting = begun
      const became = await begun.outcome
      if (became.ok) {
        this.#watch(became.identity)
        this.#runs.isReady(became.identity)
      }
      // Ended too late to be abandoned, or left something behind: the next start finds nothing of it.
      if (became.ok) return became
      if (!isLetGo) this.#clear(begun)
      return { ...became, holder: became.isBlocked ? await this.#identified() : undefined }
    })
    return {
      get identity() {
        return started?.process?.identity
      },
      outcome,
      exited: starting.then((begun) => ('process' in begun ? begun.ended : undefined)),
      abandon: () => {
        isAbandoned = true
        if (started !== undefined) this.#clear(started)
      },
      letGo: () => {
        isLetGo = true
      },
    }
  }

  /** @returns the start under way, or why there is none. */
  #start(
    configuration: ProgramConfiguration,
    sockets: readonly number[],
    terminals: StartOnTerminal | undefined,
  ): ProgramStart | Extract<StartOutcome, { ok: false }> {
    const port = portOf(configuration.ready?.probe)
    const holder = this.findHolder()
    if (port !== undefined && holder !== undefined)
      return { ...failedStart({ code: 'port-taken', port }), isBlocked: true, holder }
    const { command, cwd, pty } = configuration
    let begun: ProgramStart
    try {
      const as = runAs(configuration)
      if (!as.ok) return { ...failedStart(as.fault), isBlocked: true }
      const limited = withOpenFilesLimit(as.configuration)
      if (limited.isMissing) this.#sayUnlimited()
      // Neither a shell nor a terminal tells, nor what takes on another user or a limit.
      const isWrapped = as.owner !== undefined || limited.configuration !== as.configuration
      if (sockets.length > 0 || pty !== undefined || isWrapped) {
        if (!existsSync(cwd)) return failedStart({ code: 'folder-missing', folder: cwd })
        if (!isCommandThere(configuration, this.#environment().PATH))
          return failedStart({ code: 'command-missing', command: command[0], cwd })
      }
      const { kept: channels } = this.#runs
      if (!configuration.keep) channels.remove()
      const kept = configuration.keep ? channels : undefined
      const run = randomUUID()
      this.#runs.aboutToStart(run)
      begun = startProgram(limited.configuration, this.output, this.input, this.recognises, {
        run,
        kept,
        sockets,
        owner: as.owner,
        terminal: terminals && pty && { start: terminals, shown: this.terminal, size: pty },
      })
    } catch (error) {
      const code = error instanceof KeptOutputError ? 'output-unusable' : 'environment-unreadable'
      return failedStart({ code, why: errorText(error) })
    }
    if (begun.process === undefined) return begun
    const { identity } = begun.process
    const { ended } = begun
    // Its end is told before the next start is.
    this.#startedPort = servedPort(configuration)
    this.#untold = identity.pid
    this.#cleared = ended.then(() => {
      this.#wellbeing.end()
      this.#untold = undefined
    })
    this.#runs.begin(identity, configuration)
    return begun
  }

  #sayUnlimited(): void {
    if (this.#saidUnlimited) return
    this.#saidUnlimited = true
    this.#around.warn(
      `${this.name}: nothing keeps it from opening more files than limits.openFiles allows, because prlimit is not installed; install util-linux. The limit is watched`,
    )
  }

  /** What ran before is gone, with its last words kept. */
  async settled(): Promise<void> {
    await Promise.all([this.#runs.settled(), this.#cleared])
  }

  #watch(identity: ProcessIdentity): void {
    const { health, cwd, output } = this.#asItsUser()
    this.#wellbeing.watch(identity, { health, errorRate: output.errorRate }, () => {
      return { cwd, environment: this.#environment(), isOurs: this.recognises }
    })
  }

  /**
   * The variables of all its processes, as they are now.
   * @throws as `programEnvironment`.
   */
  environment(): NodeJS.ProcessEnv {
    return programEnvironment(this.#asItsUser())
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
  #asItsUser(): ProgramConfiguration {
    const as = runAs(this.#configuration)
    return as.ok ? as.configuration : this.#configuration
  }

  /** A file of variables that is gone by now is told at the next start. */
  #environment(): NodeJS.ProcessEnv {
    try {
      return this.environment()
    } catch {
      return programEnvironment({ ...this.#asItsUser(), envFile: [] })
    }
  }

  /** Kills what was started and did not become ready, with all that it has started; the next start waits for that. */
  #clear({ process, ended }: ProgramStart): void {
    if (process === undefined) return
    const killed = killProcesses(process.identity, this.recognises)
    this.#killed = killed
    this.#cleared = Promise.all([killed, ended]).then(() => {})
  }

  readonly recognises = (_words: readonly string[], pid: number): boolean => isOfProgram(pid, this.name)

  async probe(request: ProbeRequest): Promise<Probed<ProgramHealth>> {
    // One whose start was given up may take a moment to end, and is not well for as long.
    await this.#killed
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
        const isZombie = identity.pid === this.#untold
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
    const probe = this.#configuration.ready?.probe
    const { identity } = this.#runs.current ?? {}
    if (probe === undefined || identity === undefined) return undefined
    const port = portOf(probe)
    if (port !== undefined) {
      const ports = portsOf(identity, this.recognises)
      const isTaken = this.findHolder() !== undefined
      if (!ports.includes(port)) return { code: 'not-on-port', port, ports, isTaken }
    }
    if (probe.kind === 'log') return { code: 'not-printed', pattern: probe.pattern }
    const problem = this.#starting?.problem()
    return problem === undefined ? undefined : { code: 'not-answered', problem }
  }

  /** Who listens where it would; undefined = nobody, or it needs no port. */
  findHolder(): ProcessSummary | undefined {
    const { ready, sockets } = this.#configuration
    for (const { host, port } of sockets) {
      const holder = this.#sockets.holds(port) ? undefined : findPortHolder(port, host)
      if (holder !== undefined) return holder
    }
    const port = portOf(ready?.probe)
    return port === undefined || this.#sockets.holds(port) ? undefined : holderOfLoopback(port)
  }

  /** The same for a person who reads why a start has failed. */
  async #identified(): Promise<ProcessSummary | undefined> {
    const missing = this.#configuration.sockets.find((one) => !this.#sockets.holds(one.port))
    if (missing !== undefined) return await identifyPortHolder(missing.port, missing.host, true)
    const port = portOf(this.#configuration.ready?.probe)
    return port === undefined ? undefined : await identifyHolderOfLoopback(port)
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
    void this.#sockets.hold([])
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

/** @returns why there are none, in words. */
async function terminalsOrWhy(): Promise<StartOnTerminal | string> {
  try {
    const { loadTerminals } = await import('../../process/pseudo-terminal.ts')
    return await loadTerminals()
  } catch (error) {
    return errorText(error)
  }
}

function notHeld({ address, isTaken, why }: Exclude<Holding, { ok: true }>) {
  if (!isTaken) return failedStart({ code: 'socket-refused', why })
  return { ...failedStart({ code: 'port-taken', port: address.port }), isBlocked: true }
}
