import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { limitDefaults, type ResourceLimits } from '../../src/config/resource-limits.ts'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import {
  type Context,
  type Effect,
  type ForwardState,
  initialState,
  type Observation,
} from '../../src/watch/decide/state.ts'
import { decide } from '../../src/watch/decide.ts'
import { deadCheck, faultyCheck, healthyCheck, identity, unverifiableCheck } from '../support/observations.ts'

/**
 * A world of processes around `decide`: it does what the effects say, and random events happen to it. What the world does is what the
 * real one may do: starts that fail or take too long, processes that die unseen, late news, orders at any time.
 */
class World {
  state: ForwardState = initialState
  now = 1_000_000
  /** PIDs of forwarders that run, and of those that were started and are not ready. */
  readonly running = new Set<number>()
  readonly starting = new Map<number, number>()
  /** The replacement that is being started beside the one that runs, by its generation. */
  replacing: readonly [generation: number, pid: number] | undefined
  wakeAt: number | undefined
  /** PIDs of forwarders that are gone and have left others behind. */
  readonly left = new Set<number>()
  nextPid = 100
  readonly signalled: number[] = []
  limits: ResourceLimits = limitDefaults
  /** Incidents of limits that were told and are not over. */
  readonly openLimits = new Set<string>()

  see(observation: Observation, random = 0.5): void {
    const context: Context = {
      name: 'one',
      port: 6274,
      target: 'localhost:6274',
      policy: restartDefaults,
      limits: this.limits,
      drainMs: 10_000,
      now: this.now,
      random,
    }
    const before = this.state
    const { state, effects } = decide(before, observation, context)
    this.state = state
    for (const effect of effects) this.#do(effect)
    this.#holdsOfLimits(before, observation, effects)
    this.#holds(before, observation)
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case 'start':
        assert.equal(this.left.size, 0, 'a start beside what another one has left behind')
        this.starting.set(effect.generation, this.nextPid++)
        break
      case 'replace':
        assert.ok(this.running.size > 0 || this.state.phase.id === 'running', 'nobody there to hand over')
        this.replacing = [effect.generation, this.nextPid++]
        break
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
    if (event === 'opened') assert.ok(!isOpen, 'told twice')
    else assert.ok(isOpen, `${event}, and was never told`)
    if (event === 'resolved') this.openLimits.delete(subject)
    else this.openLimits.add(subject)
  }

  /** Limits end nobody; they replace only where that is asked for, and not again before its time. */
  #holdsOfLimits(before: ForwardState, observation: Observation, effects: readonly Effect[]): void {
    // An order to end it ends its incidents, too.
    if (this.state.phase.id === 'down') this.openLimits.clear()
    if (observation.kind !== 'checked' || observation.usage === undefined) return
    // What an order meant before anybody had looked is ended by the look.
    if (before.phase.id === 'unknown' && before.phase.stopWhy !== undefined) return
    assert.ok(!effects.some(({ kind }) => kind === 'stop'), 'a limit ended somebody')
    if (!observation.optionsMatch || !effects.some(({ kind }) => kind === 'replace')) return
    assert.equal(this.limits.action, 'restart')
    assert.ok(this.openLimits.size > 0, 'restarted before anybody was told')
    const { restartNotBefore } = before.limits
    assert.ok(restartNotBefore === null || this.now >= restartNotBefore, 'restarted too soon')
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
  #holds(before: ForwardState, observation: Observation): void {
    const { phase, failures } = this.state
    assert.ok(this.starting.size <= 1, 'two starts under way')
    assert.ok(
      this.starting.size === 0 || this.running.size === 0 || phase.id === 'running',
      'a start beside a running one',
    )
    for (const pid of this.signalled) assert.ok(pid >= 100, 'a signal to a process that is not ours')
    if (phase.id === 'backoff' || phase.id === 'flapping') {
      assert.equal(this.wakeAt, phase.until, 'no next try is planned')
    }
    if (failures < before.failures) {
      assert.ok(
        observation.kind === 'checked' && observation.diagnosis.condition === 'healthy',
        'failures were forgotten without a healthy check',
      )
    }
    if (this.state.restarts < before.restarts) assert.fail('restarts were forgotten')
    if (this.state.backoffLevel < before.backoffLevel) {
      assert.ok(
        observation.kind === 'checked' || (observation.kind === 'order' && observation.order === 'restart'),
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
  fc.constant('hangs' as const),
  fc.constant('stop succeeds' as const),
  fc.constant('stop fails' as const),
  fc.constant('time' as const),
  fc.constant('long time' as const),
  fc.constant('order stop' as const),
  fc.constant('order start' as const),
  fc.constant('order restart' as const),
  fc.constant('stranger' as const),
  fc.constant('late news' as const),
  fc.constant('other options' as const),
  fc.constant('takes over' as const),
  fc.constant('replacement fails' as const),
  fc.constant('no handover' as const),
  fc.constant('uses much' as const),
  fc.constant('uses little' as const),
  fc.constant('other limits' as const),
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
      const portTaken = what === 'port taken'
      return world.see({ kind: 'start-failed', generation: start[0], message: 'no', portTaken }, random)
    }
    case 'dies':
      if (running === undefined) return
      world.ends(running)
      return world.see({ kind: 'died', identity: identity(running), how: 'is gone' }, random)
    case 'dies and leaves others':
      if (running === undefined) return
      world.ends(running)
      world.left.add(running)
      return world.see(
        { kind: 'died', identity: identity(running), how: 'is gone', leftBehind: ['PID 8 (node)'] },
        random,
      )
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
        world.see({ kind: 'survived', identity: phase.identity, survivors: ['PID 9 (node)'] }, random)
      return
    case 'time':
    case 'long time':
      world.now += what === 'time' ? 1000 : 700_000
      if (world.wakeAt !== undefined && world.now >= world.wakeAt) world.see({ kind: 'woken' }, random)
      return
    case 'order stop':
    case 'order start':
    case 'order restart': {
      const order = what.slice('order '.length) as 'start' | 'stop' | 'restart'
      return world.see({ kind: 'order', order, why: 'asked' }, random)
    }
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
      world.see({ kind: 'died', identity: identity(50), how: 'is gone' }, random)
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
    assert.ok(restarts > 0, 'the stories never come to a restart')
  })

  it('brings a forward back from any state when the world is kind again, unless it was ordered down', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 80, size: 'max' }), (story) => {
        const world = new World()
        for (const what of story) happen(world, what, 0.5)
        happen(world, 'order start', 0.5)
        for (let round = 0; round < 6; round++) {
          for (const what of ['stop succeeds', 'long time', 'round', 'ready', 'round'] as const)
            happen(world, what, 0.5)
        }
        assert.equal(world.state.phase.id, 'running')
        assert.equal(world.running.size, 1)
        assert.equal(world.state.failures, 0)
      }),
      { numRuns: 2000 },
    )
  })
})
