import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decideIncidents,
  type Facts,
  type IncidentEvent,
  type IncidentPolicy,
  incidentDefaults,
  initialIncidents,
  subjectKey,
} from '../../src/alert/incident.ts'
import type { IncidentChange, IncidentState, Moment } from '../../src/record/shapes/alerts.ts'

const minute = 60_000
const hour = 60 * minute
const policy: IncidentPolicy = { ...incidentDefaults, reminderMs: 0, groupMs: 0 }

/** A machine with its clocks, its incidents and all that was told. */
class World {
  state: IncidentState = initialIncidents('seed')
  now: Moment = { wallMs: Date.UTC(2026, 0, 1), monotonicMs: 1_000_000, bootId: 'boot-1' }
  readonly changes: IncidentChange[] = []
  readonly delivered: IncidentChange[] = []
  readonly policy: IncidentPolicy

  constructor(overrides: Partial<IncidentPolicy> = {}) {
    this.policy = { ...policy, ...overrides }
  }

  pass(ms: number): this {
    const { wallMs, monotonicMs } = this.now
    this.now = { ...this.now, wallMs: wallMs + ms, monotonicMs: monotonicMs + ms }
    return this
  }

  boot(): void {
    this.now = { ...this.now, monotonicMs: 0, bootId: `${this.now.bootId}'` }
  }

  /** The monitor is replaced: what is remembered goes through JSON. */
  restart(): void {
    this.state = JSON.parse(JSON.stringify(this.state)) as IncidentState
  }

  do(event: IncidentEvent): readonly IncidentChange[] {
    const { state, changes, messages } = decideIncidents(this.state, event, this.now, this.policy)
    this.state = state
    this.changes.push(...changes)
    this.delivered.push(...messages.flatMap((message) => message.changes))
    return changes
  }

  get told(): string[] {
    return this.changes.map(({ event }) => event)
  }
}

function facts(overrides: Partial<Facts> = {}): Facts {
  const { forward = 'inspector' } = overrides
  return {
    unit: forward,
    forward,
    title: forward,
    port: 6274,
    subject: 'forward',
    message: 'inspector is not running (failure #3)',
    failingForMs: 0,
    restarts: 0,
    restartsWhileFailing: 0,
    ...overrides,
  }
}

const opened = (overrides: Partial<Facts> = {}): IncidentEvent => ({
  kind: 'opened',
  facts: facts(overrides),
})
const resolved = (overrides: Partial<Facts> = {}): IncidentEvent => ({
  kind: 'resolved',
  facts: facts(overrides),
})
const flapping = (overrides: Partial<Facts> = {}): IncidentEvent => ({
  kind: 'flapping',
  facts: facts(overrides),
})
const seen = (condition: 'failing' | 'well' | 'unclear' | 'ended'): IncidentEvent => ({
  kind: 'seen',
  condition,
  facts: facts(),
})

describe('an incident', () => {
  it('is told when it opens and when it is resolved, with how long it lasted and what was done', () => {
    const world = new World()
    world.do(opened({ failingForMs: 20_000, restarts: 9, restartsWhileFailing: 2 }))
    world.pass(40_000)
    const [change] = world.do(resolved({ message: 'works again', restarts: 11 }))
    expect(world.told).toStrictEqual(['opened', 'resolved'])
    expect(change?.durationMs).toBe(60_000)
    expect(change?.restarts).toBe(4)
    expect(change?.incident).toBe(world.changes[0]?.incident)
    expect(world.state.incidents).toStrictEqual([])
  })

  it('is not opened twice, and what was never opened is not resolved', () => {
    const world = new World()
    world.do(resolved())
    world.do(opened())
    world.do(opened())
    world.do(seen('failing'))
    expect(world.told).toStrictEqual(['opened'])
  })

  it('of a forward and of its target are two', () => {
    const world = new World()
    world.do(opened())
    world.do(opened({ subject: 'target' }))
    world.do(resolved({ subject: 'target' }))
    expect(world.changes.map(({ subject, event }) => `${subject} ${event}`)).toStrictEqual([
      'forward opened',
      'target opened',
      'target resolved',
    ])
  })

  it('opened by one monitor is resolved by the next, also after a boot, by what a round sees', () => {
    const world = new World()
    world.do(opened())
    world.pass(hour).restart()
    world.boot()
    world.do(seen('unclear'))
    world.do(seen('well'))
    expect(world.told).toStrictEqual(['opened', 'resolved'])
    expect(world.changes[1]?.durationMs).toBe(hour)
  })

  it('that news has missed is opened by what a round sees', () => {
    const world = new World()
    world.do(seen('failing'))
    expect(world.told).toStrictEqual(['opened'])
  })

  it('is resolved when its forward is ended by an order, or not watched any more', () => {
    const world = new World()
    world.do(opened())
    world.do(seen('ended'))
    world.do(opened())
    world.do({ kind: 'watched', keys: [subjectKey(facts())] })
    expect(world.told).toStrictEqual(['opened', 'resolved', 'opened'])
    world.do({ kind: 'watched', keys: [] })
    expect(world.changes.at(-1)?.message ?? '').toMatch(/not watched any more/)
  })

  it('never lasts a negative time when the wall clock was set back over a boot', () => {
    const world = new World()
    world.do(opened())
    world.boot()
    world.now = { ...world.now, wallMs: world.now.wallMs - hour }
    expect(world.do(resolved())[0]?.durationMs).toBe(0)
  })
})

describe('flapping', () => {
  it('is told once, and resolved only after it was well for a while', () => {
    const world = new World()
    world.do(opened())
    world.do(flapping())
    for (let turn = 0; turn < 5; turn++) {
      world.pass(minute)
      world.do(resolved())
      world.pass(minute)
      world.do(flapping())
    }
    expect(world.told).toStrictEqual(['opened', 'flapping'])
    world.do(resolved({ restarts: 7 }))
    world.pass(policy.settleMs - 1).do({ kind: 'tick' })
    expect(world.told).toStrictEqual(['opened', 'flapping'])
    world.pass(1).do({ kind: 'tick' })
    expect(world.told).toStrictEqual(['opened', 'flapping', 'resolved'])
    expect(world.changes[2]?.durationMs, 'until it was well, not until it was believed').toBe(10 * minute)
    expect(world.changes[2]?.restarts).toBe(7)
  })

  it('begins its settling anew at every failure, also one below the threshold', () => {
    const world = new World()
    world.do(flapping())
    world.do(seen('well'))
    world.pass(policy.settleMs / 2).do(seen('unclear'))
    world.do(seen('well'))
    world.pass(policy.settleMs / 2).do({ kind: 'tick' })
    expect(world.told).toStrictEqual(['opened'])
  })

  it('is also what comes and goes as whole incidents', () => {
    const world = new World()
    for (let turn = 0; turn < 20; turn++) {
      world.do(opened())
      world.pass(20_000)
      world.do(resolved())
      world.pass(20_000)
    }
    const pairs = policy.flappingIncidents - 1
    expect(world.told).toStrictEqual([...Array(pairs).fill(['opened', 'resolved']).flat(), 'opened'])
    expect(world.changes.at(-1)?.flapping).toBe(true)
  })
})

describe('reminders', () => {
  it('are off unless asked for', () => {
    const world = new World()
    world.do(opened())
    world.pass(48 * hour).do({ kind: 'tick' })
    expect(world.told).toStrictEqual(['opened'])
  })

  it('come after 30 min, then doubling, every 6 h at most', () => {
    const world = new World({ reminderMs: 30 * minute })
    world.do(opened())
    const at: number[] = []
    for (let minutes = 1; minutes <= 30 * 60; minutes++) {
      world.pass(minute)
      if (world.do({ kind: 'tick' }).length > 0) at.push(minutes)
    }
    expect(at).toStrictEqual([30, 90, 210, 450, 810, 1170, 1530])
  })

  it('come once after a long sleep of the monitor', () => {
    const world = new World({ reminderMs: 30 * minute })
    world.do(opened())
    world.restart()
    world.pass(24 * hour)
    world.do({ kind: 'tick' })
    world.do({ kind: 'tick' })
    expect(world.told).toStrictEqual(['opened', 'reminder'])
  })
})

describe('grouping', () => {
  it('puts all changes of a round into one message', () => {
    const world = new World({ groupMs: 5000 })
    for (const forward of ['a', 'b', 'c']) world.do(opened({ forward }))
    expect(world.delivered).toStrictEqual([])
    const { messages } = decideIncidents(world.state, { kind: 'tick' }, world.pass(5000).now, world.policy)
    expect(messages.length).toBe(1)
    expect(messages[0]?.changes.map(({ forward }) => forward)).toStrictEqual(['a', 'b', 'c'])
  })

  it('survives a restart within the window', () => {
    const world = new World({ groupMs: 5000 })
    world.do(opened())
    world.restart()
    world.boot()
    world.pass(5000).do({ kind: 'tick' })
    expect(world.delivered).toStrictEqual(world.changes)
  })
})

/** What may happen to a few forwards, in any order. */
const happening = fc.oneof(
  fc.record({
    kind: fc.constantFrom('opened', 'flapping', 'resolved'),
    forward: fc.constantFrom('a', 'b'),
    subject: fc.constantFrom('forward', 'target'),
  }),
  fc.record({
    kind: fc.constant('seen'),
    forward: fc.constantFrom('a', 'b'),
    subject: fc.constantFrom('forward', 'target'),
    condition: fc.constantFrom('failing', 'well', 'unclear', 'ended'),
  }),
  fc.record({ kind: fc.constant('watched'), forwards: fc.subarray(['a', 'b']) }),
  fc.record({ kind: fc.constant('pass'), ms: fc.integer({ min: 0, max: 2 * hour }) }),
  fc.constantFrom({ kind: 'restart' }, { kind: 'boot' }),
)

function play(world: World, step: Record<string, unknown>): void {
  const { kind, ...rest } = step
  switch (kind) {
    case 'pass':
      world.pass(Number(step.ms)).do({ kind: 'tick' })
      return
    case 'restart':
      return world.restart()
    case 'boot':
      world.restart()
      return world.boot()
    case 'watched': {
      const forwards = step.forwards as string[]
      const keys = forwards.flatMap((forward) => [`forward ${forward}`, `target ${forward}`])
      world.do({ kind, keys })
      return
    }
    default: {
      const { condition, ...known } = rest
      world.do({ kind, condition, facts: facts(known) } as IncidentEvent)
    }
  }
}

describe('incidents, whatever happens', () => {
  const runs = { numRuns: 3000 }
  const policies = fc.record({
    groupMs: fc.constantFrom(0, 5000),
    reminderMs: fc.constantFrom(0, 30 * minute),
  })

  function ended(steps: readonly Record<string, unknown>[], overrides: Partial<IncidentPolicy>): World {
    const world = new World(overrides)
    for (const step of steps) play(world, step)
    world.do({ kind: 'watched', keys: [] })
    world.pass(minute).do({ kind: 'tick' })
    return world
  }

  it('open and resolve in turn, each opened exactly one resolved, flapping at most once between', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), policies, (steps, overrides) => {
        const world = ended(steps, overrides)
        for (const key of ['forward a', 'target a', 'forward b', 'target b']) {
          const events = world.changes.filter((change) => subjectKey({ unit: '', ...change }) === key)
          const words = events.map(({ event }) => event).filter((event) => event !== 'reminder')
          expect(words.join(' ')).toMatch(/^(opened( flapping)? resolved ?)*$/)
          for (let index = 0; index < events.length; index++) {
            const before = events[index - 1]
            const isNew = events[index]?.event === 'opened'
            expect(events[index]?.incident !== before?.incident).toBe(isNew)
          }
        }
        for (const { durationMs, restarts } of world.changes)
          expect(durationMs >= 0 && restarts >= 0).toBeTruthy()
      }),
      runs,
    )
  })

  it('tell every change in exactly one message, in order, with an id of its own', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), policies, (steps, overrides) => {
        const world = ended(steps, overrides)
        expect(world.delivered).toStrictEqual(world.changes)
        expect(new Set(world.changes.map(({ id }) => id)).size).toBe(world.changes.length)
      }),
      runs,
    )
  })

  it('are the same with a restart between any two steps as without', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 40 }), policies, (steps, overrides) => {
        const restarted = steps.flatMap((step) => [step, { kind: 'restart' }])
        expect(ended(restarted, overrides).changes).toStrictEqual(ended(steps, overrides).changes)
      }),
      runs,
    )
  })
})
