import type { Subject } from '../alert/incident-record.ts'
import type { ForwardConfiguration } from '../config/configuration.ts'
import { monotonicMs } from '../os/clock.ts'
import { hasDescriptorsLeft } from '../os/descriptor-limit.ts'
import { errorText } from '../os/failure.ts'
import { hostAndPort } from '../os/interfaces.ts'
import { isLinux } from '../os/platform.ts'
import { type ProcessIdentity, sameProcess, signalProcess } from '../os/process-identity.ts'
import { noDescriptors, ShortageError } from '../os/shortage.ts'
import type { InheritedSocket } from '../os/socket-activation.ts'
import { timeLimit } from '../os/time-limit.ts'
import type { ForwarderHealth } from '../record/forwarder-health.ts'
import type { LogLevel } from '../record/log-entry.ts'
import type { ResourceUsage } from '../record/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { checkForward } from './check-forward.ts'
import {
  type Context,
  type Effect,
  type ForwardState,
  initialState,
  type Observation,
} from './decide/state.ts'
import { decide } from './decide.ts'
import { diagnose, type ForwardCheck } from './diagnose.ts'
import { type Explanation, explain } from './explain.ts'
import { ForwardPlace } from './forward-place.ts'
import { ForwarderLink } from './forwarder-link.ts'
import { howEnded, type StartedForwarder, startForwarder } from './forwarder-process.ts'
import { orderAdoption, orderReplacement } from './handover-orders.ts'
import { Mailbox } from './mailbox.ts'
import { endProcesses, hasEnded, leftBehind } from './process-ending.ts'
import { findStray, type Stray } from './stray.ts'
import { UsageMeter } from './usage.ts'

/** What a watcher needs of the world around it. */
export interface WatcherSurroundings {
  readonly stateDirectory: string
  /** Makes the state directory when it is gone. Throws when it cannot be used. */
  readonly prepareDirectory: () => void
  /** ms between two rounds, as it is configured now. */
  readonly intervalMs: () => number
  /** Listening sockets of the forward's port that this process holds. */
  readonly sockets: readonly InheritedSocket[]
  readonly log: (level: LogLevel, message: string, good: boolean) => void
  readonly alert: (event: 'opened' | 'resolved' | 'flapping', subject: Subject, message: string) => void
  /** Called after every decision that changed the state. */
  readonly changed: () => void
  /** Called after every decision that is news, once it is carried out: a slow disk delays no restart. */
  readonly journal: (explanation: Explanation, observation: Observation) => void
}

/** What is remembered of a forward over a restart of the monitor. */
export type WatcherMemory = Omit<ForwardState, 'phase'>

/** ms within which a process whose control connection ended must be gone to count as dead; else it is looked at. */
const deathTakesMs = 1000

/**
 * Watches one forward: brings what is seen to `decide`, one observation at a time, and does what comes out. Whatever is seen or
 * ordered goes through here; there is no other road by which this forward's process is started or ended.
 */
export class ForwardWatcher {
  #configuration: ForwardConfiguration
  readonly #around: WatcherSurroundings
  #state: ForwardState
  readonly #place: ForwardPlace
  readonly #link: ForwarderLink
  /** Of a child whose exit is yet to be told. */
  #childPid: number | undefined
  #started: StartedForwarder | undefined
  #health: ForwarderHealth | undefined
  readonly #meter = new UsageMeter()
  #lastCheckAt: number | undefined
  #checking: Promise<void> | undefined
  #turn = 0
  #handovers = 0
  #cancelWake: (() => void) | undefined
  #blindness: string | undefined
  readonly #mailbox: Mailbox<Observation>
  #closed = false
  #onSettled: (() => void)[] = []

  constructor(
    configuration: ForwardConfiguration,
    memory: WatcherMemory | undefined,
    around: WatcherSurroundings,
  ) {
    this.#configuration = configuration
    this.#around = around
    this.#state = { ...initialState, ...memory, phase: { id: 'unknown' } }
    this.#place = new ForwardPlace(around.stateDirectory, () => this.configuration.options)
    this.#mailbox = new Mailbox(
      ({ kind }) => `judging what was seen (${kind})`,
      (observation) => this.#decide(observation),
      (fault) => around.log('error', `${this.configuration.name}: ${fault}`, false),
    )
    const files = {
      socket: () => this.#place.file(fileNames.forwarderSocket),
      pidFile: () => this.#place.file(fileNames.pidFile),
    }
    this.#link = new ForwarderLink(files, () => void this.#connectionEnded())
  }

  get configuration(): ForwardConfiguration {
    return this.#configuration
  }

  get state(): ForwardState {
    return this.#state
  }

  /** The last answer of the forwarder; undefined while there is none running. */
  get health(): ForwarderHealth | undefined {
    return this.#health
  }

  /** The last sample of what its processes use; undefined while none was taken, or nothing is limited. */
  get usage(): ResourceUsage | undefined {
    return this.#meter.last
  }

  /** Monotonic ms of the last finished check. */
  get lastCheckAt(): number | undefined {
    return this.#lastCheckAt
  }

  /** Looks at the forward once. A look that is still under way is joined, never doubled. */
  check(): Promise<void> {
    this.#checking ??= this.#check()
      .then(
        () => this.#seeing(),
        (error) => this.#blinded(errorText(error)),
      )
      .finally(() => {
        this.#checking = undefined
      })
    return this.#checking
  }

  observe(observation: Observation): void {
    if (!this.#closed) this.#mailbox.post(observation)
  }

  /** Takes another configuration for the same port; a forwarder that runs with other options is replaced, any other is left alone. */
  reconfigure(configuration: ForwardConfiguration): void {
    this.#configuration = configuration
    void this.#checkAnew()
  }

  /** Orders the forward down and resolves when it is, or when not even SIGKILL ends it. */
  async stop(why: string): Promise<void> {
    const settled = new Promise<void>((resolve) => this.#onSettled.push(resolve))
    this.observe({ kind: 'order', order: 'stop', why })
    this.#settleIfDown()
    await settled
  }

  /** Stops watching; the forward goes on. */
  close(): void {
    this.#closed = true
    this.#cancelWake?.()
    this.#link.close()
  }

  /** A look that could not be taken says nothing about the forward, and ends nobody's watch. */
  #blinded(why: string): void {
    if (this.#closed) return
    this.observe({ kind: 'unseen', why })
    if (this.#blindness === why) return
    this.#blindness = why
    this.#around.log('error', `${this.configuration.name} cannot be looked at: ${why}`, false)
  }

  #seeing(): void {
    if (this.#blindness === undefined) return
    this.#blindness = undefined
    this.#around.log('info', `${this.configuration.name} can be looked at again`, true)
  }

  async #check(): Promise<void> {
    if (!hasDescriptorsLeft()) throw new ShortageError(noDescriptors)
    const { options } = this.configuration
    const handovers = this.#handovers
    const portHolder = this.#holderMatters() ? this.#place.findHolder() : undefined
    const found = await checkForward({
      options,
      pidFile: this.#place.file(fileNames.pidFile),
      connection: await this.#link.connectOrWake(),
      turn: this.#turn++,
      portHolder,
    })
    // It looked at the one before; another look has been ordered.
    if (handovers !== this.#handovers) return
    if (this.#tellsItself(found)) return
    if (found.health?.draining === true) this.#lookBehind(found.health.identity)
    this.#health = found.health
    const usage = this.#meter.measure(found.health, this.configuration.limits, this.#around.intervalMs())
    this.#lastCheckAt = monotonicMs()
    const diagnosis = diagnose(found)
    const stray = diagnosis.condition === 'dead' ? await this.#findStray() : undefined
    this.observe({
      kind: 'checked',
      diagnosis,
      leftBehind: diagnosis.condition === 'dead' ? this.#place.leftBehind(found, this.#state) : undefined,
      optionsMatch: found.optionsMatch,
      portHolder: found.portHolder,
      usage,
      stray,
    })
  }

  /** Looked for only where it decides what is done: before a start that nobody has seen fail, or that failed for the port. */
  async #findStray(): Promise<Stray | undefined> {
    const { phase, supervisor } = this.#state
    if (supervisor !== undefined || this.#around.sockets.length > 0) return undefined
    if (phase.id !== 'unknown' && phase.id !== 'blocked') return undefined
    return await findStray(this.configuration.options, this.#around.stateDirectory)
  }

  async #adopt(effect: Extract<Effect, { kind: 'adopt' }>): Promise<void> {
    this.#started = undefined
    this.observe(await orderAdoption(this.configuration.options, this.#around.stateDirectory, effect))
  }

  /**
   * A child of ours that has just ended is a zombie until its exit is read, in this very turn: that event says how it ended. Believed
   * once, so that none is waited for in vain.
   */
  #tellsItself({ pidFile }: ForwardCheck): boolean {
    if (pidFile.kind !== 'process' || pidFile.verdict !== 'zombie') return false
    const isNews = pidFile.pid === this.#childPid
    this.#childPid = undefined
    return isNews
  }

  #decide(observation: Observation): void {
    const before = this.#state
    const context = this.#context()
    const decision = decide(before, observation, context)
    const { state, effects } = decision
    this.#state = state
    for (const effect of effects) this.#mailbox.attempt(`doing ${effect.kind}`, () => this.#do(effect))
    this.#mailbox.attempt('writing the journal', () => {
      const explanation = explain({ before, observation, decision, context })
      if (explanation !== undefined) this.#around.journal(explanation, observation)
    })
    if (state !== before) this.#mailbox.attempt('recording the state', () => this.#around.changed())
    this.#settleIfDown()
  }

  #settleIfDown(): void {
    const { id } = this.#state.phase
    if (id !== 'down' && id !== 'blocked') return
    for (const resolve of this.#onSettled.splice(0)) resolve()
  }

  #context(): Context {
    const { name, options, restart, limits } = this.configuration
    return {
      name,
      port: options.listenPort,
      target: hostAndPort(options.targetHost, options.targetPort),
      policy: restart,
      limits,
      drainMs: options.drainMs,
      now: monotonicMs(),
      random: Math.random(),
    }
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case 'start':
        return this.#start(effect.generation)
      case 'replace':
        return void this.#replace(effect)
      case 'adopt':
        return void this.#adopt(effect)
      case 'ask-back':
        return void signalProcess(effect.identity, 'SIGHUP')
      case 'abandon-start':
        return this.#started?.abandon()
      case 'stop':
        return void this.#stop(effect)
      case 'remove-pid-file':
        return this.#place.removeStalePidFile()
      case 'check':
        return void this.#checkAnew()
      case 'wake':
        return this.#wakeAt(effect.at)
      case 'log':
        return this.#around.log(effect.level, effect.message, effect.good)
      case 'alert':
        return this.#around.alert(effect.event, effect.subject, effect.message)
    }
  }

  #start(generation: number): void {
    const { options } = this.configuration
    const { stateDirectory, prepareDirectory, sockets } = this.#around
    const log = this.#place.file(fileNames.forwarderLog)
    const started = startForwarder(options, stateDirectory, log, prepareDirectory, sockets)
    this.#started = started
    void started.outcome.then((outcome) => {
      if (!outcome.ok) return this.observe({ kind: 'start-failed', generation, ...outcome })
      this.#childPid = outcome.identity.pid
      void started.exited.then((how) => this.#childEnded(outcome.identity, how))
      this.observe({ kind: 'started', generation, identity: outcome.identity })
    })
  }

  async #replace(effect: Extract<Effect, { kind: 'replace' }>): Promise<void> {
    const { options } = this.configuration
    const outcome = await orderReplacement(this.#link, options, this.#around.stateDirectory, effect)
    // A look that began before is at the one before.
    if (outcome.kind === 'replaced') this.#handovers++
    this.observe(outcome)
  }

  async #stop({ identity, killAfterMs }: Extract<Effect, { kind: 'stop' }>): Promise<void> {
    const survivors = await endProcesses(identity, killAfterMs)
    if (survivors.length > 0) return this.observe({ kind: 'survived', identity, survivors })
    const successor = await this.#link.successorOf(identity)
    const portHolder = successor === undefined ? this.#holderAfterEnd() : undefined
    this.observe({ kind: 'ended', identity, successor, portHolder })
  }

  /** Sockets that somebody else holds for the forward are held whatever ends. */
  #holderAfterEnd(): string | undefined {
    const isHeldForIt = this.#around.sockets.length > 0 || this.#state.supervisor !== undefined
    return isHeldForIt || !isLinux ? undefined : this.#place.findHolder()
  }

  /** One that has handed over and ended is no death: its successor answers under its name by then. */
  async #childEnded(identity: ProcessIdentity, how: string): Promise<void> {
    if (await this.#isReplaced(identity)) return
    this.#died(identity, how)
  }

  #died(identity: ProcessIdentity, how: string): void {
    this.observe({ kind: 'died', identity, how, leftBehind: leftBehind(identity) })
  }

  /** A look that began before what has just happened says nothing about it: a new one follows. */
  async #checkAnew(): Promise<void> {
    await this.#checking
    await this.check()
  }

  #wakeAt(at: number): void {
    this.#cancelWake?.()
    const woken = () => this.observe({ kind: 'woken' })
    // A start that stood still together with this process has not failed, not even when that was before this line. A wait that is over
    // is over.
    if (this.#state.phase.id === 'starting') {
      this.#cancelWake = timeLimit(this.configuration.restart.startTimeoutMs + 1, woken)
      return
    }
    const timer = setTimeout(woken, Math.max(0, at - monotonicMs()) + 1)
    this.#cancelWake = () => clearTimeout(timer)
  }

  /** Looking it up takes its time, so it is done only where the answer counts. */
  #holderMatters(): boolean {
    const { phase } = this.#state
    return phase.id === 'blocked' || (phase.id === 'awaiting' && monotonicMs() >= phase.until)
  }

  /** The kernel ends the connections of a process that dies, so this is the first sign of it. */
  async #connectionEnded(): Promise<void> {
    const { phase } = this.#state
    if (this.#closed || phase.id !== 'running') return
    if (await this.#isReplaced(phase.identity)) return
    // It lives and only finishes its connections, and the one that took over has died already: nothing is to be waited for.
    if (this.#link.isNamedAnother(phase.identity)) return await this.#checkAnew()
    if (await hasEnded(phase.identity, deathTakesMs)) {
      this.#health = undefined
      return this.#died(phase.identity, await howEnded(this.#started, phase.identity))
    }
    await this.#checkAnew()
  }

  /** A forwarder of an older version goes on answering whoever had connected when it has handed over: its name leads to its successor. */
  #lookBehind(draining: ProcessIdentity): void {
    this.#link.drop()
    // After the look that goes on.
    setImmediate(() => void this.#isReplaced(draining))
  }

  /** Whether another forwarder answers in the place of this one, as after a handover; if so it is looked at. */
  async #isReplaced(identity: ProcessIdentity): Promise<boolean> {
    const { phase } = this.#state
    if (this.#closed || phase.id !== 'running' || !sameProcess(phase.identity, identity)) return false
    if ((await this.#link.successorOf(identity)) === undefined) return false
    await this.#checkAnew()
    return true
  }
}
