import fc from 'fast-check'
import { assert, describe, expect, it } from 'vitest'
import { limitDefaults } from '../../src/config/resource-limits.ts'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import { type Effect, initialState, type Observation, type UnitState } from '../../src/watch/decide/state.ts'
import { decide } from '../../src/watch/decide.ts'
import { deadCheck, faultyCheck, healthyCheck, identity, spoken, summary } from '../support/observations.ts'
import { must } from '../support/play.ts'

const systemd = summary(1, 'systemd')

/**
 * A world in which systemd holds the port and starts the forwarder: both die and come back as they like, systemd gives the port up and
 * takes it again, and the monitor does what `decide` says.
 */
class SystemdWorld {
  state: UnitState = initialState
  now = 1_000_000
  nextPid = 100
  /** The forwarder that runs, and who started it. */
  running: { readonly pid: number; readonly by: 'systemd' | 'monitor' } | undefined
  /** Generation of the monitor's own start that is under way. */
  starting: number | undefined
  isPortHeld = true
  wakeAt: number | undefined
  /** When it was started, or left to systemd to be started. */
  readonly restarts: number[] = []

  see(observation: Observation): void {
    const before = this.state
    const context = {
      policy: restartDefaults,
      limits: { ...limitDefaults, memoryBytes: 200, action: 'restart' },
      drainMs: 10_000,
      now: this.now,
      random: 0.5,
    } as const
    const { state, effects, cause } = decide(before, observation, context)
    must(cause.code !== 'impossible', JSON.stringify(cause))
    this.state = state
    for (const effect of effects) this.#do(effect, before, observation)
    if (state.phase.id === 'awaiting' && before.phase.id !== 'awaiting') {
      must(
        effects.some(({ kind }) => kind === 'wake'),
        'nobody looks for it',
      )
      this.restarts.push(this.now)
    }
  }

  #do(effect: Effect, before: UnitState, observation: Observation): void {
    const isSupervised = before.supervisor !== undefined
    switch (effect.kind) {
      case 'start':
        must(this.starting === undefined, 'two starts under way')
        if (isSupervised) {
          must(observation.kind === 'checked' && !this.isPortHeld, 'started what systemd starts')
          must(before.phase.id === 'awaiting' && this.now >= before.phase.until, 'started before its time')
        }
        this.starting = effect.generation
        this.restarts.push(this.now)
        break
      case 'replace':
        must(!isSupervised, 'replaced what systemd runs')
        break
      case 'stop':
        if (!isSupervised) break
        assert(observation.kind === 'checked', 'an order ended what systemd brings back')
        expect(observation.diagnosis.condition).toBe('faulty')
        break
      case 'abandon-start':
        this.starting = undefined
        break
      case 'wake':
        must(effect.at > this.now, 'woken in the past')
        this.wakeAt = effect.at
        break
      case 'alert':
        if (effect.event === 'flapping' && isSupervised) {
          const recent = this.restarts.filter((at) => this.now - at < restartDefaults.flappingWindowMs)
          expect(recent.length, 'flapping that is none').toBeGreaterThanOrEqual(
            restartDefaults.flappingRestarts,
          )
        }
        break
      case 'check':
      case 'remove-pid-file':
      case 'log':
        break
    }
  }

  look(
    facts: { readonly optionsMatch?: boolean; readonly used?: { readonly memoryBytes: number } } = {},
  ): void {
    if (this.running === undefined) {
      if (this.starting === undefined) this.see(deadCheck('stale', this.isPortHeld ? systemd : undefined))
      return
    }
    const supervisor = this.running.by === 'systemd' ? 'systemd' : null
    this.see(healthyCheck(this.running.pid, { supervisor, ...facts }))
  }

  /** Systemd was quicker: who holds the control socket is the one, and the other one ends at once. */
  endStartBeside(): void {
    const { starting, running } = this
    if (starting === undefined || running === undefined) return
    this.starting = undefined
    this.see({
      kind: 'start-failed',
      generation: starting,
      fault: spoken('one already runs'),
      isBlocked: true,
    })
  }

  /** Time passes, and the monitor is woken when it wanted to be. */
  wait(ms: number): void {
    this.endStartBeside()
    this.now += ms
    if (this.wakeAt === undefined || this.now < this.wakeAt) return
    this.wakeAt = undefined
    this.see({ kind: 'woken' })
  }

  systemdStarts(): void {
    if (this.running !== undefined || this.starting !== undefined || !this.isPortHeld) return
    this.running = { pid: this.nextPid++, by: 'systemd' }
  }
}

const happenings = {
  round: (world: SystemdWorld) => {
    world.wait(10_000)
    world.look()
  },
  'systemd starts it': (world: SystemdWorld) => world.systemdStarts(),
  dies: (world: SystemdWorld) => {
    const { running } = world
    if (running === undefined) return
    world.running = undefined
    world.see({
      kind: 'died',
      identity: identity(running.pid),
      leftBehind: [summary(8, 'node')],
    })
    // Systemd clears up what it has started; of the monitor's own, the stop ends the rest.
    const { phase } = world.state
    if (phase.id === 'stopping') world.see({ kind: 'ended', identity: phase.identity })
  },
  'dies unseen': (world: SystemdWorld) => {
    world.running = undefined
  },
  hangs: (world: SystemdWorld) => {
    if (world.running !== undefined) world.see(faultyCheck(world.running.pid, 'hangs'))
  },
  'stop succeeds': (world: SystemdWorld) => {
    const { phase } = world.state
    if (phase.id !== 'stopping') return
    if (world.running?.pid === phase.identity.pid) {
      world.running = undefined
    }
    world.see({ kind: 'ended', identity: phase.identity })
  },
  ready: (world: SystemdWorld) => {
    world.endStartBeside()
    const { starting } = world
    if (starting === undefined) return
    world.starting = undefined
    world.running = { pid: world.nextPid++, by: 'monitor' }
    world.see({ kind: 'started', generation: starting, identity: identity(world.running.pid) })
  },
  time: (world: SystemdWorld) => world.wait(300),
  'long time': (world: SystemdWorld) => world.wait(700_000),
  'systemd gives the port up': (world: SystemdWorld) => {
    if (world.running?.by !== 'systemd') world.isPortHeld = false
  },
  'systemd takes the port': (world: SystemdWorld) => {
    if (world.running === undefined && world.starting === undefined) world.isPortHeld = true
  },
  'other options': (world: SystemdWorld) => world.look({ optionsMatch: false }),
  'uses much': (world: SystemdWorld) => {
    world.wait(10_000)
    world.look({ used: { memoryBytes: 300 } })
  },
  'order start': (world: SystemdWorld) => world.see({ kind: 'order', order: 'start', why: 'asked' }),
  'order stop': (world: SystemdWorld) => world.see({ kind: 'order', order: 'stop', why: 'asked' }),
  'order restart': (world: SystemdWorld) => world.see({ kind: 'order', order: 'restart', why: 'asked' }),
} as const

const names = Object.keys(happenings) as (keyof typeof happenings)[]
const stories = fc.array(fc.constantFrom(...names), { maxLength: 120, size: 'max' })

function play(story: readonly (keyof typeof happenings)[]): SystemdWorld {
  const world = new SystemdWorld()
  for (const what of ['systemd starts it', 'round', ...story] as const) happenings[what](world)
  return world
}

describe('decide, whatever happens to a forward that systemd runs', () => {
  it('starts none while systemd holds the port, replaces none, and ends only what hangs', () => {
    fc.assert(
      fc.property(stories, (story) => void play(story)),
      { numRuns: 3000 },
    )
  })

  it('finds it again as soon as systemd has started it, unless it was ordered down', () => {
    fc.assert(
      fc.property(stories, (story) => {
        const world = play(story)
        happenings['order start'](world)
        for (let i = 0; i < 6; i++) {
          const kind = [
            'stop succeeds',
            'systemd takes the port',
            'systemd starts it',
            'long time',
            'round',
            'ready',
            'round',
          ] as const
          for (const what of kind) happenings[what](world)
        }
        expect(world.state.phase.id).toBe('running')
        expect(world.state.failures).toBe(0)
      }),
      { numRuns: 2000 },
    )
  })
})
