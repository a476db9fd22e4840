import assert from 'node:assert/strict'
import { limitDefaults } from '../../src/config/resource-limits.ts'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import {
  type Context,
  type Effect,
  type ForwardState,
  initialState,
  type Observation,
} from '../../src/watch/decide/state.ts'
import { decide } from '../../src/watch/decide.ts'
import { deadCheck, identity } from './observations.ts'

/** Plays observations one after another; each may say how much later than the one before it comes. */
export class Play {
  readonly #given: Partial<Context>
  state: ForwardState = initialState
  now = 1_000_000
  effects: readonly Effect[] = []
  /** Everything that was ever done. */
  readonly history: Effect[] = []

  /** @param given what is configured otherwise than by default. */
  constructor(given: Partial<Context> = {}) {
    this.#given = given
  }

  see(observation: Observation, laterMs = 0): this {
    this.now += laterMs
    const context: Context = {
      name: 'inspector',
      port: 6274,
      target: 'localhost:6274',
      policy: restartDefaults,
      limits: limitDefaults,
      drainMs: 10_000,
      now: this.now,
      random: 0.5,
      ...this.#given,
    }
    const decision = decide(this.state, observation, context)
    this.state = decision.state
    this.effects = decision.effects
    this.history.push(...decision.effects)
    return this
  }

  /** As after a start that went well. */
  running(pid = 100): this {
    this.see(deadCheck())
    return this.see({ kind: 'started', generation: this.state.generation, identity: identity(pid) })
  }

  /** A death, and what follows until it runs again. */
  dieAndReturn(pid: number, laterMs = 0): this {
    const { phase } = this.state
    assert.equal(phase.id, 'running')
    this.see({ kind: 'died', identity: phase.identity, how: 'was killed by SIGKILL' }, laterMs)
    const { phase: wait } = this.state
    if (wait.id === 'backoff') this.see({ kind: 'woken' }, wait.until - this.now).see(deadCheck())
    return this.see({ kind: 'started', generation: this.state.generation, identity: identity(pid) })
  }

  kinds(): string[] {
    return this.effects.map(({ kind }) => kind)
  }

  said(): string {
    return this.effects.flatMap((effect) => ('message' in effect ? [effect.message] : [])).join('\n')
  }
}
