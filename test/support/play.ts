import { assert } from 'vitest'
import { limitDefaults } from '../../src/config/resource-limits.ts'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import {
  type Context,
  type Decision,
  type Effect,
  initialState,
  type Observation,
  type UnitState,
} from '../../src/watch/decide/state.ts'
import { decide } from '../../src/watch/decide.ts'
import { type Explanation, explain } from '../../src/watch/narrate/journal.ts'
import { alertText, logLine } from '../../src/watch/narrate/log-lines.ts'
import { deadCheck, identity, vocabulary } from './observations.ts'

/** The unit that is played. */
export const inspector = { kind: 'forward', name: 'inspector', vocabulary }

/** Plays observations one after another; each may say how much later than the one before it comes. */
export class Play {
  readonly #given: Partial<Context>
  state: UnitState = initialState
  now = 1_000_000
  effects: readonly Effect[] = []
  /** What the journal says of the last decision; undefined = it is no news. */
  explained: Explanation | undefined
  /** Everything that was ever done. */
  readonly history: Effect[] = []

  /** @param given what is configured otherwise than by default. */
  constructor(given: Partial<Context> = {}) {
    this.#given = given
  }

  see(observation: Observation, laterMs = 0): this {
    this.now += laterMs
    const context: Context = {
      policy: restartDefaults,
      limits: limitDefaults,
      drainMs: 10_000,
      now: this.now,
      random: 0.5,
      ...this.#given,
    }
    const before = this.state
    const decision: Decision = decide(before, observation, context)
    assert(decision.cause.code !== 'impossible', JSON.stringify(decision.cause))
    this.explained = explain({ before, observation, decision, context }, inspector)
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
    assert(phase.id === 'running')
    this.see({ kind: 'died', identity: phase.identity, end: { kind: 'killed', signal: 'SIGKILL' } }, laterMs)
    const { phase: wait } = this.state
    if (wait.id === 'backoff') this.see({ kind: 'woken' }, wait.until - this.now).see(deadCheck())
    return this.see({ kind: 'started', generation: this.state.generation, identity: identity(pid) })
  }

  kinds(): string[] {
    return this.effects.map(({ kind }) => kind)
  }

  said(): string {
    return inWords(this.effects)
  }
}

/** What these effects tell, a line each. */
export function inWords(effects: readonly Effect[]): string {
  return effects.flatMap(wordsOf).join('\n')
}

function wordsOf(effect: Effect): string[] {
  if (effect.kind === 'log') return [logLine(effect.news, inspector).message]
  return effect.kind === 'alert' ? [alertText(effect.news, inspector)] : []
}

/** Asked a million times, so that `expect` would take most of the time. */
export function must(isSo: boolean, otherwise: string): void {
  if (!isSo) assert.fail(otherwise)
}
