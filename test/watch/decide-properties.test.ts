import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { limitDefaults, type ResourceLimits } from '../../src/config/resource-limits.ts'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import {
  type Context,
  type Effect,
  initialState,
  type Observation,
  type UnitOrder,
  type UnitState,
} from '../../src/watch/decide/state.ts'
import { decide } from '../../src/watch/decide.ts'
import type { DetachedPolicy } from '../../src/watch/unit.ts'
import {
  deadCheck,
  faultyCheck,
  healthyCheck,
  identity,
  spoken,
  summary,
  unverifiableCheck,
} from '../support/observations.ts'
import { must } from '../support/play.ts'

/** Whoever gives one of these has seen to the cause: what happened before counts no more. */
const resettingOrders: ReadonlySet<UnitOrder> = new Set(['start', 'restart', 'retry', 'renew'])

/**
 * A world of processes around `decide`: it does what the effects say, and random events happen to it. What the world does is what the
 * real one may do: starts that fail or take too long, processes that die unseen, late news, orders at any time.
 */
class World {
  state: UnitState = initialState
  now = 1_000_000
  /** PIDs of forwarders that run, and of those that were started and are not ready. */
  readonly running = new Set<number>()
  readonly starting = new Map<number, number>()
  /** The replacement that is being started beside the one that runs, by its generation. */
  replacing: readonly [generation: number, pid: number] | undefined
  wakeAt: number | undefined
  /** PIDs of forwarders that are gone and have left others behind. */
  readonly left = new Set<number>()
  /** What becomes of those; and the answer to come when they are taken for the unit's process. */
  onDetached: DetachedPolicy = 'end'
  taken: readonly [generation: number, pid: number | undefined] | undefined
  nextPid = 100
  readonly signalled: number[] = []
  limits: ResourceLimits = limitDefaults
  /** What must be ready before it is started, and is not. */
  waitsFor: readonly string[] = []
  runsOnce = false
  /** Incidents of limits that were told and are not over. */
  readonly openLimits = new Set<string>()

  see(observation: Observation, random = 0.5): void {
    const context: Context = {
      policy: restartDefaults,
      limits: this.limits,
      drainMs: 10_000,
      runsOnce: this.runsOnce,
      onDetached: this.onDetached,
      waitsFor: this.waitsFor,
      now: this.now,
      random,
    }
    const before = this.state
    const { state, effects, cause } = decide(before, observation, context)
    must(cause.code !== 'impossible', JSON.stringify(cause))
    this.state = state
    for (const effect of effects) this.#do(effect)
    this.#holdsOfLimits(before, observation, effects)
    this.#holds(before, observation)
    if (this.taken === undefined) return
    const [generation, pid] = this.taken
    this.taken = undefined
    this.see(
      pid === undefined
        ? { kind: 'start-failed', generation, fault: spoken('they are gone'), isBlocked: false }
        : { kind: 'started', generation, identity: identity(pid) },
      random,
    )
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case 'start':
        must(this.waitsFor.length === 0, 'a start before what it depends on is ready')
        must(this.left.size === 0, 'a start beside what another one has left behind')
        this.starting.set(effect.generation, this.nextPid++)
        break
      case 'replace':
        must(this.running.size > 0 || this.state.phase.id === 'running', 'nobody there to hand over')
        this.replacing = [effect.generation, this.nextPid++]
        break
      case 'take-rest': {
        // They may have ended since.
        const pid = this.left.delete(effect.identity.pid) ? this.nextPid++ : undefined
        if (pid !== undefined) this.running.add(pid)
        this.taken = [effect.generation, pid]
        break
      }
      case 'abandon-start':
        this.starting.clear()
        break
      case 'stop':
        this.signalled.push(effect.identity.pid)
        break
      case 'wake':
        this.wakeAt = effect.at
        break
      case 'alert':
        this.#hear(effect)
        break
      case 'remove-pid-file':
      case 'check':
      case 'log':
        break
    }
  }

  #hear({ event, subject }: Extract<Effect, { kind: 'alert' }>): void {
    if (subject !== 'memory' && subject !== 'cpu') return
    const isOpen = this.openLimits.has(subject)
    if (event === 'opened') must(!isOpen, 'told twice')
    else must(isOpen, `${event}, and was never told`)
    if (event === 'resolved') this.openLimits.delete(subject)
    else this.openLimits.add(subject)
  }

  /** Limits end nobody; they replace only where that is asked for, and not again before its time. */
  #holdsOfLimits(before: UnitState, observation: Observation, effects: readonly Effect[]): void {
    // An order to end it ends its incidents, too.
    if (this.state.phase.id === 'down') this.openLimits.clear()
    if (observation.kind !== 'checked' || observation.usage === undefined) return
    // What an order meant before anybody had looked is ended by the look.
    if (before.phase.id === 'unknown' && (before.phase.stop ?? before.phase.anew) !== undefined) return
    must(!effects.some(({ kind }) => kind === 'stop'), 'a limit ended somebody')
    if (!observation.optionsMatch || !effects.some(({ kind }) => kind === 'replace')) return
    must(this.limits.action === 'restart', 'restarted although only told to alert')
    must(this.openLimits.size > 0, 'restarted before anybody was told')
    const { restartNotBefore } = before.limits
    must(restartNotBefore === null || this.now >= restartNotBefore, 'restarted too soon')
  }

  /** Only a forwarder that lives hands anything over. */
  ends(pid: number): void {
    this.running.delete(pid)
    this.replacing = undefined
  }

  deadCheck(): Observation {
    const [left] = this.left
    return left === undefined ? deadCheck() : deadCheck('PID file', undefined, left)
  }

  /** What must be true after every decision. */
  #holds(before: UnitState, observation: Observation): void {
    const { phase, failures } = this.state
    must(this.starting.size <= 1, 'two starts under way')
    must(
      this.starting.size === 0 || this.running.size === 0 || phase.id === 'running',
      'a start beside a running one',
    )
    must(!this.signalled.some((pid) => pid < 100), 'a signal to a process that is not ours')
    if (phase.id === 'backoff' || phase.id === 'flapping') {
      must(this.wakeAt === phase.until, 'no next try is planned')
    }
    // What has done its work has not failed.
    if (this.state.completed === true && before.completed !== true) return
    if (failures < before.failures) {
      must(
        observation.kind === 'checked' && observation.diagnosis.condition === 'healthy',
        'failures were forgotten without a healthy check',
      )
    }
    must(this.state.restarts >= before.restarts, 'restarts were forgotten')
    if (this.state.backoffLevel < before.backoffLevel) {
      must(
        observation.kind === 'checked' ||
          (observation.kind === 'order' && resettingOrders.has(observation.order)),
        'the back-off began anew without a check or an order',
      )
    }
  }
}

/** One thing that may happen; what it means depends on the world at that moment. */
const happening = fc.oneof(
  fc.constant('round' as const),
  fc.constant('ready' as const),
  fc.constant('start fails' as const),
  fc.constant('port taken' as const),
  fc.constant('dies' as const),
  fc.constant('dies unseen' as const),
  fc.constant('dies and leaves others' as const),
  fc.constant('others end' as const),
  fc.constant('others are waited for' as const),
  fc.constant('others are adopted' as const),
  fc.constant('hangs' as const),
  fc.constant('stop succeeds' as const),
  fc.constant('stop fails' as const),
  fc.constant('time' as const),
  fc.constant('long time' as const),
  fc.constant('order stop' as const),
  fc.constant('order start' as const),
  fc.constant('order restart' as const),
  fc.constant('order hand-over' as const),
  fc.constant('order retry' as const),
  fc.constant('order renew' as const),
  fc.constant('order adopt' as const),
  fc.constant('order end' as const),
  fc.constant('drain' as const),
  fc.constant('stranger' as const),
  fc.constant('late news' as const),
  fc.constant('other options' as const),
  fc.constant('takes over' as const),
  fc.constant('replacement fails' as const),
  fc.constant('no handover' as const),
  fc.constant('uses much' as const),
  fc.constant('uses little' as const),
  fc.constant('other limits' as const),
  fc.constant('others are not ready' as const),
  fc.constant('others are ready' as const),
  fc.constant('does its work' as const),
)

type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never

function happen(world: World, what: Happening, random: number): void {
  const [running] = world.running
  const [start] = world.starting
  const { phase } = world.state
  switch (what) {
    case 'round':
      world.now += 10_000
      return world.see(running === undefined ? world.deadCheck() : healthyCheck(running), random)
    case 'ready':
      if (start === undefined) return
      world.starting.delete(start[0])
      world.running.add(start[1])
      return world.see({ kind: 'started', generation: start[0], identity: identity(start[1]) }, random)
    case 'start fails':
    case 'port taken': {
      if (start === undefined) return
      world.starting.delete(start[0])
      const isBlocked = what === 'port taken'
      return world.see({ kind: 'start-failed', generation: start[0], fault: spoken('no'), isBlocked }, random)
    }
    case 'dies':
      if (running === undefined) return
      world.ends(running)
      return world.see({ kind: 'died', identity: identity(running) }, random)
    case 'dies and leaves others':
      if (running === undefined) return
      world.ends(running)
      world.left.add(running)
      return world.see(
        { kind: 'died', identity: identity(running), leftBehind: [summary(8, 'node')] },
        random,
      )
    case 'others end':
      return world.left.clear()
    case 'others are waited for':
    case 'others are adopted':
      world.onDetached = what === 'others are adopted' ? 'adopt' : random < 0.7 ? 'wait' : 'end'
      return
    case 'dies unseen':
      if (running !== undefined) world.ends(running)
      return
    case 'hangs':
      world.now += 10_000
      if (running !== undefined) world.see(faultyCheck(running, 'hangs'), random)
      return
    case 'stop succeeds':
      if (phase.id !== 'stopping') return
      world.ends(phase.identity.pid)
      world.left.delete(phase.identity.pid)
      return world.see({ kind: 'ended', identity: phase.identity }, random)
    case 'stop fails':
      if (phase.id === 'stopping')
        world.see({ kind: 'survived', identity: phase.identity, survivors: [summary(9, 'node')] }, random)
      return
    case 'time':
    case 'long time':
      world.now += what === 'time' ? 1000 : 700_000
      if (world.wakeAt !== undefined && world.now >= world.wakeAt) world.see({ kind: 'woken' }, random)
      return
    case 'order stop':
    case 'order start':
    case 'order restart':
    case 'order hand-over':
    case 'order retry':
    case 'order renew':
    case 'order adopt':
    case 'order end': {
      const order = what.slice('order '.length) as UnitOrder
      return world.see({ kind: 'order', order, why: 'asked' }, random)
    }
    case 'drain':
      return world.see({ kind: 'order', order: 'stop', why: 'asked', drainMs: 3_600_000 }, random)
    case 'stranger':
      if (running === undefined) world.see(unverifiableCheck(7), random)
      return
    case 'other options':
      if (running !== undefined) world.see(healthyCheck(running, { optionsMatch: false }), random)
      return
    case 'uses much':
    case 'uses little': {
      world.now += 10_000
      const used = { memoryBytes: what === 'uses much' ? 300 : 30, cpuPercent: 100 * random }
      if (running !== undefined) world.see(healthyCheck(running, { used }), random)
      return
    }
    case 'other limits':
      world.limits = {
        memoryBytes: random < 0.7 ? 200 : 0,
        cpuPercent: random > 0.3 ? 50 : 0,
        action: random > 0.2 ? 'restart' : 'alert',
      }
      return
    case 'others are not ready':
      world.waitsFor = random < 0.5 ? ['db'] : ['db', 'cache']
      return
    case 'others are ready':
      world.waitsFor = []
      // As the watchers of all units see to it.
      if (phase.id === 'awaiting') world.see({ kind: 'woken' }, random)
      return
    case 'does its work':
      if (running === undefined || !world.runsOnce) return
      world.ends(running)
      return world.see(
        { kind: 'died', identity: identity(running), end: { kind: 'exited', code: 0 } },
        random,
      )
    case 'takes over':
    case 'replacement fails':
    case 'no handover': {
      const { replacing } = world
      world.replacing = undefined
      // A forwarder that has died or been told to end hands nothing over.
      if (replacing === undefined || running === undefined || world.signalled.includes(running)) return
      const [generation, pid] = replacing
      if (what !== 'takes over') {
        const reason = what === 'no handover' ? 'unsupported' : 'failed'
        return world.see({ kind: 'replace-failed', generation, message: 'no', reason }, random)
      }
      world.running.delete(running)
      world.running.add(pid)
      return world.see({ kind: 'replaced', generation, identity: identity(pid) }, random)
    }
    case 'late news':
      world.see({ kind: 'started', generation: world.state.generation - 1, identity: identity(50) }, random)
      world.see({ kind: 'died', identity: identity(50) }, random)
      return world.see({ kind: 'ended', identity: identity(50) }, random)
  }
}

describe('decide, whatever happens', () => {
  it('never runs two, never signals a stranger, always has a next try, forgets only when healthy', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(happening, fc.double({ min: 0, max: 0.999, noNaN: true })), {
          maxLength: 120,
          size: 'max',
        }),
        (story) => {
          const world = new World()
          for (const [what, random] of story) happen(world, what, random)
        },
      ),
      { numRuns: 3000 },
    )
  })

  it('restarts because of limits only as it may, however a forward comes and goes beyond them', () => {
    let restarts = 0
    const story = fc.array(
      fc.constantFrom(
        'uses much',
        'uses much',
        'uses much',
        'uses little',
        'takes over',
        'ready',
        'dies',
        'time',
        'replacement fails',
        'round',
      ),
      {
        minLength: 40,
        maxLength: 200,
        size: 'max',
      },
    )
    fc.assert(
      fc.property(story, (happenings) => {
        const world = new World()
        world.limits = { memoryBytes: 200, cpuPercent: 0, action: 'restart' }
        for (const what of ['round', 'ready', ...happenings] as const) happen(world, what, 0.5)
        restarts += world.state.limits.restartedAt.length
      }),
      { numRuns: 500 },
    )
    expect(restarts, 'the stories never come to a restart').toBeGreaterThan(0)
  })

  it('brings a forward back from any state when the world is kind again, unless it was ordered down', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 80, size: 'max' }), fc.boolean(), (story, runsOnce) => {
        const world = new World()
        world.runsOnce = runsOnce
        for (const what of story) happen(world, what, 0.5)
        happen(world, 'others are ready', 0.5)
        happen(world, 'order start', 0.5)
        for (let round = 0; round < 6; round++) {
          for (const what of ['order end', 'stop succeeds', 'long time', 'round', 'ready', 'round'] as const)
            happen(world, what, 0.5)
        }
        expect(world.state.phase.id).toBe('running')
        expect(world.running.size).toBe(1)
        expect(world.state.failures).toBe(0)
      }),
      { numRuns: 2000 },
    )
  })
})
