import { describe, expect, it } from 'vitest'
import { limitDefaults } from '../../src/config/resource-limits.ts'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import {
  type Column,
  type Context,
  columns,
  initialState,
  type Observation,
  type Phase,
  type UnitState,
} from '../../src/watch/decide/state.ts'
import { decide } from '../../src/watch/decide.ts'
import {
  deadCheck,
  faultyCheck,
  healthyCheck,
  identity,
  spoken,
  summary,
  unverifiableCheck,
} from '../support/observations.ts'

const now = 1_000_000
const context: Context = {
  policy: restartDefaults,
  limits: limitDefaults,
  drainMs: 10_000,
  now,
  random: 0.5,
}

const why = { code: 'ordered', why: 'asked' } as const

/** A phase of each column; waits are over. */
const phases: { readonly [C in Column]: Phase } = {
  unknown: { id: 'unknown' },
  unwanted: { id: 'unknown', stop: why },
  starting: { id: 'starting', deadline: now },
  running: {
    id: 'running',
    identity: identity(7),
    since: 0,
    first: identity(7),
    replacement: { state: 'starting', why },
  },
  stopping: { id: 'stopping', identity: identity(7), afterwards: 'start', why },
  backoff: { id: 'backoff', until: now, why },
  flapping: { id: 'flapping', until: now, why },
  awaiting: { id: 'awaiting', until: now, why },
  blocked: { id: 'blocked', why },
  detached: {
    id: 'detached',
    identity: identity(7),
    fault: why,
    why: { code: 'detached', pid: 7, processes: [summary(8, 'node')] },
  },
  down: { id: 'down' },
}

/** The generation of whatever was begun last. */
const generation = 3

/** One observation of each row, about what was begun last and the process that is known. */
const observations: Readonly<Record<string, Observation>> = {
  healthy: healthyCheck(7),
  draining: {
    kind: 'checked',
    diagnosis: { condition: 'draining', process: { identity: identity(7), uptimeMs: 0, supervisor: null } },
    optionsMatch: true,
  },
  faulty: faultyCheck(7, 'hangs'),
  unverifiable: unverifiableCheck(7),
  dead: deadCheck(),
  unseen: { kind: 'unseen', why: 'no descriptor' },
  woken: { kind: 'woken' },
  started: { kind: 'started', generation, identity: identity(8) },
  'start-failed': { kind: 'start-failed', generation, fault: spoken('no'), isBlocked: false },
  replaced: { kind: 'replaced', generation, identity: identity(8) },
  'replace-failed': { kind: 'replace-failed', generation, message: 'no', reason: 'failed' },
  died: { kind: 'died', identity: identity(7) },
  ended: { kind: 'ended', identity: identity(7) },
  survived: { kind: 'survived', identity: identity(7), survivors: [summary(7, 'node')] },
  start: { kind: 'order', order: 'start', why: 'asked' },
  stop: { kind: 'order', order: 'stop', why: 'asked' },
  restart: { kind: 'order', order: 'restart', why: 'asked' },
  'hand-over': { kind: 'order', order: 'hand-over', why: 'asked' },
  retry: { kind: 'order', order: 'retry', why: 'asked' },
  renew: { kind: 'order', order: 'renew', why: 'asked' },
  adopt: { kind: 'order', order: 'adopt', why: 'asked' },
  end: { kind: 'order', order: 'end', why: 'asked' },
  drain: { kind: 'order', order: 'stop', why: 'asked', drainMs: 60_000 },
}

function stateOf(column: Column): UnitState {
  const supervisor = column === 'awaiting' ? ({ by: 'systemd', toldOfOptions: false } as const) : undefined
  return { ...initialState, generation, phase: phases[column], supervisor }
}

/** What comes of a pair, on one line. */
function outcome(column: Column, observation: Observation): string {
  const { state, effects, cause } = decide(stateOf(column), observation, context)
  const done = effects.map((effect) =>
    'news' in effect ? `${effect.kind} ${effect.news.code}` : effect.kind,
  )
  return `${state.phase.id.padEnd(9)} ${cause.code.padEnd(18)} ${done.join(', ')}`.trimEnd()
}

describe('The table of transitions', () => {
  it('has a handler for every observation in every phase', async () => {
    const lines = Object.entries(observations).flatMap(([row, observation]) => [
      row,
      ...columns.map((column) => `  ${column.padEnd(9)} -> ${outcome(column, observation)}`),
    ])
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('../golden/transitions.txt')
  })

  it.for(columns)('takes an answer to a start that there never was for a fault of ours (%s)', (column) => {
    const answers = ['started', 'start-failed', 'replaced', 'replace-failed']
    for (const answer of answers) {
      const seen = { ...observations[answer], generation: generation + 1 } as Observation
      const { cause, effects } = decide(stateOf(column), seen, context)
      expect(cause.code, answer).toBe('impossible')
      expect(effects.map(({ kind }) => kind)).toStrictEqual(['log'])
    }
  })

  it.for(columns)('takes an answer to an earlier start for nothing (%s)', (column) => {
    const answers = ['started', 'start-failed', 'replaced', 'replace-failed']
    for (const answer of answers) {
      const seen = { ...observations[answer], generation: generation - 1 } as Observation
      const before = stateOf(column)
      expect(decide(before, seen, context), answer).toMatchObject({ state: before, effects: [] })
    }
  })
})
