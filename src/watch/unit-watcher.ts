/**
 * The loop around `decide`: a watcher brings what its unit's probe, process and orders say to `decide`, one observation at a time, and
 * carries out what comes back through the unit's own means.
 */
import { setTimeout as passed } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { monotonicMs } from '../os/clock.ts'
import { hasDescriptorsLeft } from '../os/descriptor-limit.ts'
import { errorCode, errorText } from '../os/failure.ts'
import { noDescriptors, ShortageError } from '../os/shortage.ts'
import { callAt, timeLimit } from '../os/time-limit.ts'
import { endProcesses, hasEnded, leftBehind, type Recognition } from '../process/ending.ts'
import { type ProcessIdentity, sameProcess } from '../process/identity.ts'
import { isOwnProgram } from '../process/own-processes.ts'
import type { ProcessEnd } from '../process/start.ts'
import type { ProcessSummary } from '../process/summary.ts'
import type { ResourceUsage } from '../record/shapes/runtime-state.ts'
import type { News } from './decide/cause.ts'
import {
  type Context,
  type Effect,
  initialState,
  type LeftBehind,
  type Observation,
  type UnitState,
} from './decide/state.ts'
import { decide } from './decide.ts'
import { Mailbox } from './mailbox.ts'
import { explain } from './narrate/journal.ts'
import { alertText, logLine, unitLog } from './narrate/log-lines.ts'
import type { WatcherSurroundings } from './surroundings.ts'
import type { Dependency, Diagnosis, ReplaceOutcome, Start, Unit } from './unit.ts'
import { UsageMeter } from './usage.ts'

export type { WatcherSurroundings } from './surroundings.ts'

/** What is remembered of a unit over a restart of the monitor. */
export type WatcherMemory = Omit<UnitState, 'phase'>

/** ms within which a process whose connection ended must be gone to count as dead; else it is looked at. */
const deathTakesMs = 1000

/** ms that are given at most to the last words of a process that was ended. */
const lastWordsTakeMs = 2000

/** ms within which the exit of a child is known after its connection has ended: a moment, but for a busy machine. */
const exitKnownWithinMs = 500

/**
 * Watches one unit: brings what is seen to `decide`, one observation at a time, and does what comes out. Whatever is seen or ordered goes
 * through here; there is no other road by which this unit's process is started or ended.
 */
export class UnitWatcher<Health = unknown> {
  readonly unit: Unit<Health>
  readonly #around: WatcherSurroundings
  readonly #recognises: Recognition
  #state: UnitState
  /** Of a child whose exit is yet to be told. */
  #childPid: number | undefined
  #started: Start | undefined
  #health: Health | undefined
  #dependency: Dependency | undefined
  readonly #meter = new UsageMeter()
  #lastCheckAt: number | undefined
  #checking: Promise<void> | undefined
  #handovers = 0
  #givenUpStarts = 0
  #cancelWake: (() => void) | undefined
  /** The code of the error for which the last look was not taken, told once; undefined = it was taken. */
  #blindness: string | undefined
  readonly #mailbox: Mailbox<Observation>
  #closed = false
  #onSettled: (() => void)[] = []

  constructor(unit: Unit<Health>, memory: WatcherMemory | undefined, around: WatcherSurroundings) {
    this.unit = unit
    this.#around = around
    this.#recognises = unit.recognises ?? isOwnProgram
    this.#state = { ...initialState, ...memory, phase: { id: 'unknown' } }
    this.#mailbox = new Mailbox(
      ({ kind }) => `judging what was seen (${kind})`,
      (observation) => this.#decide(observation),
      (fault) => around.log.error({ unit: unit.name }, `${unit.name}: ${fault}`),
    )
    unit.attach(
      () => void this.#connectionEnded(),
      (why) => this.renew(why),
    )
  }

  get state(): UnitState {
    return this.#state
  }

  /** What the process last said of itself; undefined while there is none running. */
  get health(): Health | undefined {
    return this.#health
  }

  /** Whether what depends on it can be started: it runs, or has done its work where that is what it is for. */
  get isReady(): boolean {
    const { phase, completed } = this.#state
    return this.unit.policy.runsOnce === true ? completed === true : phase.id === 'running'
  }

  /** How what it depends on answered when the unit was last well; undefined while it is not, or depends on nothing. */
  get dependency(): Dependency | undefined {
    return this.#dependency
  }

  /** The last sample of what its processes use; undefined while none was taken, or nothing is limited. */
  get usage(): ResourceUsage | undefined {
    return this.#meter.last
  }

  /** Monotonic ms of the last finished check. */
  get lastCheckAt(): number | undefined {
    return this.#lastCheckAt
  }

  /** Looks at the unit once. A look that is still under way is joined, never doubled. */
  check(): Promise<void> {
    // It was taken out while a round waited for its turn.
    if (this.#closed) return Promise.resolve()
    this.#checking ??= this.#check()
      .then(
        () => this.#seeing(),
        (error) => this.#blinded(error),
      )
      .finally(() => {
        this.#checking = undefined
      })
    return this.#checking
  }

  observe(observation: Observation): void {
    if (!this.#closed) this.#mailbox.post(observation)
  }

  /** The unit has another configuration: a process that runs with other options is replaced, any other is left alone. */
  reconfigured(): void {
    void this.#checkAnew()
  }

  /** What its process is made of has changed. */
  renew(why: string): void {
    if (this.#around.takesTurn?.(this.isReady, () => this.renew(why)) === false) return
    this.#around.renewing?.()
    this.observe({ kind: 'order', order: 'renew', why })
  }

  /**
   * Orders the unit down and resolves when it is, or when not even SIGKILL ends it.
   * @param drainMs that its process may take over its work before; undefined = none.
   */
  async stop(why: string, drainMs?: number): Promise<void> {
    const settled = new Promise<void>((resolve) => this.#onSettled.push(resolve))
    this.observe({ kind: 'order', order: 'stop', why, drainMs })
    this.#settleIfDown()
    await settled
  }

  /** Stops watching; the unit's process goes on. */
  close(): void {
    this.#closed = true
    this.#cancelWake?.()
    this.unit.close()
  }

  /** A look that could not be taken says nothing about the unit, and ends nobody's watch. */
  #blinded(error: unknown): void {
    if (this.#closed) return
    const why = errorText(error)
    this.observe({ kind: 'unseen', why })
    const code = errorCode(error) ?? (error instanceof Error ? error.name : 'unknown')
    if (this.#blindness === code) return
    this.#blindness = code
    this.#tell({ code: 'unseen', why })
  }

  #seeing(): void {
    if (this.#blindness === undefined) return
    this.#blindness = undefined
    this.#tell({ code: 'seen-again' })
  }

  async #check(): Promise<void> {
    if (!hasDescriptorsLeft()) throw new ShortageError(noDescriptors)
    const handovers = this.#handovers
    const givenUp = this.#givenUpStarts
    const { phase, supervisor } = this.#state
    const { diagnosis, health, optionsMatch, holder, stray } = await this.unit.probe({
      holder: this.#holderMatters(),
      // It decides what is done only before a start that nobody has seen fail, or that failed because something stood in the way.
      stray: supervisor === undefined && (phase.id === 'unknown' || phase.id === 'blocked'),
    })
    // It looked at the one before; another look has been ordered.
    if (handovers !== this.#handovers) return
    // It looked at one that has been killed since.
    if (givenUp !== this.#givenUpStarts) return await this.#check()
    if (this.#tellsItself(diagnosis)) return
    if (diagnosis.condition === 'draining') this.#lookBehind(diagnosis.process.identity)
    this.#health = health
    this.#dependency = diagnosis.condition === 'healthy' ? diagnosis.dependency : undefined
    const usage = this.#measure(diagnosis)
    this.#lastCheckAt = monotonicMs()
    this.observe({
      kind: 'checked',
      diagnosis,
      leftBehind: this.#leftBehind(diagnosis),
      optionsMatch: optionsMatch || !this.#mayReplace(diagnosis),
      holder,
      usage,
      stray,
    })
  }

  /** One with other options than are configured now goes on as it is until it is its turn. */
  #mayReplace({ condition }: Diagnosis): boolean {
    return condition !== 'healthy' || this.#around.takesTurn?.(true, () => this.reconfigured()) !== false
  }

  #measure(diagnosis: Diagnosis): ResourceUsage | undefined {
    // One that is about to be ended is not measured; what is known of it stays.
    if (diagnosis.condition === 'faulty') return undefined
    const process = diagnosis.condition === 'healthy' ? diagnosis.process : undefined
    return this.#meter.measure(process, this.unit.policy.limits, this.#around.intervalMs())
  }

  /** What is left of a process that is gone, which the unit's files name, or else the state; undefined = nothing. */
  #leftBehind(diagnosis: Diagnosis): LeftBehind | undefined {
    if (diagnosis.condition !== 'dead') return undefined
    const { phase } = this.#state
    const isKnown = phase.id === 'running' || phase.id === 'detached'
    const identity = diagnosis.identity ?? (isKnown ? phase.identity : undefined)
    const processes = identity === undefined ? [] : leftBehind(identity, this.#recognises)
    return identity === undefined || processes.length === 0 ? undefined : { identity, processes }
  }

  #takeRest({ generation, identity }: Extract<Effect, { kind: 'take-rest' }>): void {
    this.#started = undefined
    const outcome = this.unit.takeRest?.(identity)
    if (outcome === undefined) return
    if (!outcome.ok) return this.observe({ kind: 'start-failed', generation, ...outcome })
    this.observe({ kind: 'started', generation, identity: outcome.identity })
  }

  async #adopt(effect: Extract<Effect, { kind: 'adopt' }>): Promise<void> {
    this.#started = undefined
    const { generation, timeoutMs } = effect
    const outcome = await this.unit.adoption?.adopt(effect, timeoutMs)
    if (outcome === undefined) return
    if (!outcome.ok) return this.observe({ kind: 'start-failed', generation, ...outcome })
    this.observe({ kind: 'started', generation, identity: outcome.identity })
  }

  /**
   * A child of ours that has just ended is a zombie until its exit is read, in this very turn: that event says how it ended. Believed
   * once, so that none is waited for in vain.
   */
  #tellsItself(diagnosis: Diagnosis): boolean {
    if (diagnosis.condition !== 'dead' || diagnosis.isZombie !== true) return false
    const isNews = diagnosis.identity !== undefined && diagnosis.identity.pid === this.#childPid
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
      const explanation = explain({ before, observation, decision, context }, this.unit)
      if (explanation !== undefined) this.#around.journal(explanation)
    })
    if (state.phase.id === 'down' && before.phase.id !== 'down')
      this.#mailbox.attempt('letting go of what was held for it', () => this.unit.atRest?.())
    if (state !== before)
      this.#mailbox.attempt('recording the state', () =>
        this.#around.changed(!isDeepStrictEqual(state, before)),
      )
    this.#settleIfDown()
  }

  #settleIfDown(): void {
    const { id } = this.#state.phase
    if (id !== 'down' && id !== 'blocked') return
    for (const resolve of this.#onSettled.splice(0)) resolve()
  }

  #context(): Context {
    const { restart, limits, drainMs, runsOnce = false, onDetached = 'end' } = this.unit.policy
    const waitsFor = this.#around.waitsFor?.() ?? []
    const starting = this.#state.phase.id === 'starting' ? this.#started?.identity : undefined
    const canHandOver = this.unit.handover !== undefined
    return {
      policy: restart,
      limits,
      drainMs,
      runsOnce,
      onDetached,
      canHandOver,
      waitsFor,
      starting,
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
      case 'take-rest':
        return this.#takeRest(effect)
      case 'ask-back':
        return this.unit.adoption?.askBack(effect.identity)
      case 'abandon-start':
        this.#givenUpStarts++
        return this.#started?.abandon()
      case 'stop':
        return void this.#stop(effect)
      case 'remove-pid-file':
        return this.unit.removeStalePidFile()
      case 'check':
        return void this.#checkAnew()
      case 'wake':
        return this.#wakeAt(effect.at)
      case 'log':
        return this.#tell(effect.news)
      case 'alert':
        return this.#around.alert(effect.event, effect.subject, alertText(effect.news, this.unit))
    }
  }

  #tell(news: News): void {
    const { level, message, good } = logLine(news, this.unit)
    unitLog(this.#around.log, this.unit, this.#state)[level]({ good }, message)
  }

  #start(generation: number): void {
    const started = this.unit.start()
    this.#started = started
    void started.outcome.then((outcome) => {
      if (!outcome.ok)
        return this.observe({ kind: 'start-failed', generation, ...outcome, said: this.unit.lastWords?.() })
      this.#childPid = outcome.identity.pid
      void started.exited.then((end) => this.#childEnded(outcome.identity, end))
      this.observe({ kind: 'started', generation, identity: outcome.identity })
    })
  }

  async #replace({ generation, timeoutMs }: Extract<Effect, { kind: 'replace' }>): Promise<void> {
    const outcome = (await this.unit.handover?.replace(timeoutMs)) ?? noHandover
    if (!outcome.ok) return this.observe({ kind: 'replace-failed', generation, ...outcome })
    // A look that began before is at the one before.
    this.#handovers++
    this.observe({ kind: 'replaced', generation, identity: outcome.identity })
  }

  async #stop({ identity, killAfterMs, drainMs }: Extract<Effect, { kind: 'stop' }>): Promise<void> {
    if (this.#started?.identity?.pid === identity.pid) this.#started.letGo?.()
    if (drainMs !== undefined) await this.unit.drain?.(drainMs)
    const survivors = await endProcesses(identity, killAfterMs, this.#recognises, this.unit.policy.stopSignal)
    if (survivors.length > 0) return this.observe({ kind: 'survived', identity, survivors })
    await Promise.race([this.unit.settled?.(), passed(lastWordsTakeMs, undefined, { ref: false })])
    const successor = await this.unit.handover?.successorOf(identity)
    const holder = successor === undefined ? this.#holderAfterEnd() : undefined
    this.observe({ kind: 'ended', identity, successor, holder })
  }

  /** What a supervisor holds for the unit is held whatever ends. */
  #holderAfterEnd(): ProcessSummary | undefined {
    return this.#state.supervisor !== undefined ? undefined : this.unit.findHolder()
  }

  /** One that has handed over and ended is no death: its successor answers under its name by then. */
  async #childEnded(identity: ProcessIdentity, end: ProcessEnd | undefined): Promise<void> {
    if (!(await this.#isReplaced(identity))) this.#died(identity, end)
  }

  #died(identity: ProcessIdentity, end: ProcessEnd | undefined): void {
    const said = this.unit.lastWords?.(end)
    this.observe({ kind: 'died', identity, end, leftBehind: leftBehind(identity, this.#recognises), said })
  }

  /** A look that began before what has just happened says nothing about it: a new one follows. */
  async #checkAnew(): Promise<void> {
    await this.#checking
    await this.check()
  }

  #wakeAt(at: number): void {
    this.#cancelWake?.()
    const isStart = this.#state.phase.id === 'starting'
    const woken = () =>
      this.observe({
        kind: 'woken',
        ...(isStart ? { said: this.unit.lastWords?.(), lacks: this.unit.lacks?.() } : {}),
      })
    // A start that stood still together with this process has not failed, not even when that was before this line. A wait that is over
    // is over.
    if (isStart) {
      this.#cancelWake = timeLimit(this.unit.policy.restart.startTimeoutMs + 1, woken)
      return
    }
    this.#cancelWake = callAt(at, woken)
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
    if (this.unit.handover?.hasLeft(phase.identity)) return await this.#checkAnew()
    if (await hasEnded(phase.identity, deathTakesMs)) {
      this.#health = undefined
      this.#dependency = undefined
      return this.#died(phase.identity, await this.#howEnded(phase.identity))
    }
    await this.#checkAnew()
  }

  /** How a process that is gone has ended, when it is the child that was started: its exit is known a moment after its connection has ended. */
  async #howEnded({ pid }: ProcessIdentity): Promise<ProcessEnd | undefined> {
    if (this.#started?.identity?.pid !== pid) return undefined
    return await Promise.race([this.#started.exited, passed(exitKnownWithinMs, undefined, { ref: false })])
  }

  /** After the current look: a process that has handed over leads to its successor. */
  #lookBehind(draining: ProcessIdentity): void {
    setImmediate(() => void this.#isReplaced(draining))
  }

  /** Whether another process answers in the place of this one, as after a handover; if so it is looked at. */
  async #isReplaced(identity: ProcessIdentity): Promise<boolean> {
    const { phase } = this.#state
    if (this.#closed || phase.id !== 'running' || !sameProcess(phase.identity, identity)) return false
    if ((await this.unit.handover?.successorOf(identity)) === undefined) return false
    await this.#checkAnew()
    return true
  }
}

const noHandover: ReplaceOutcome = {
  ok: false,
  message: 'it has no handover',
  reason: 'unsupported',
}
