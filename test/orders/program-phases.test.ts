import { describe, expect } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { it } from '../support/fixtures.ts'
import { phaseOf } from '../support/ordered.ts'
import { processesWith } from '../support/process-table.ts'
import { startPrograms } from '../support/programs.ts'

const sh = (text: string) => ['/bin/sh', '-c', `${text} # phases`]

/** How a program gets into a phase, and stays in it. */
const phases = {
  running: { command: sh('sleep 1000; :') },
  starting: { command: sh('sleep 1000; :'), ready: { log: 'never' }, readyWithin: '1h' },
  stopping: {
    command: sh(`trap '' TERM; echo go; while :; do sleep 1; done`),
    ready: { log: 'go' },
    stop: { grace: '1s' },
  },
  backoff: { command: sh('exit 1'), restart: { backoff: '1h', backoffLimit: '1h' } },
  detached: {
    command: sh('sleep 1000 & echo go; sleep 1; exit 0'),
    ready: { log: 'go' },
    onDetached: 'wait',
  },
  down: { command: sh('sleep 1000; :'), autostart: false },
  completed: { command: sh('exit 0'), oneshot: true },
} as const

const orders = ['start', 'stop', 'restart', 'retry', 'drain', 'adopt', 'end'] as const

/** What two who give the order at once are answered, either of them: the outcome, the error's code, and the phase then. */
const expected: Readonly<Record<keyof typeof phases, Readonly<Record<(typeof orders)[number], RegExp>>>> = {
  running: {
    start: /^already running$/,
    stop: /^(done|already) down$/,
    restart: /^done running$/,
    retry: /^already running$/,
    drain: /^(done|already) down$/,
    adopt: /^not-detached running$/,
    end: /^not-detached running$/,
  },
  starting: {
    start: /^timed-out starting$/,
    stop: /^(done|already) down$/,
    restart: /^timed-out (starting|stopping)$/,
    retry: /^timed-out starting$/,
    drain: /^(done|already) down$/,
    adopt: /^not-detached starting$/,
    end: /^not-detached starting$/,
  },
  stopping: {
    start: /^(done|already) running$/,
    stop: /^(done|already) down$/,
    restart: /^done running$/,
    retry: /^stopped (stopping|down)$/,
    drain: /^(done|already) down$/,
    adopt: /^not-detached (stopping|down)$/,
    end: /^not-detached (stopping|down)$/,
  },
  backoff: {
    start: /^failed (backoff|starting)$/,
    stop: /^(done|already) down$/,
    restart: /^failed (backoff|starting)$/,
    retry: /^failed (backoff|starting)$/,
    drain: /^(done|already) down$/,
    adopt: /^not-detached backoff$/,
    end: /^not-detached backoff$/,
  },
  detached: {
    start: /^detached detached$/,
    stop: /^(done|already) down$/,
    // Its processes are ended, and another one is started.
    restart: /^done (running|detached)$/,
    retry: /^detached detached$/,
    drain: /^(done|already) down$/,
    adopt: /^(done|not-detached) running$/,
    end: /^(done|not-detached) (stopping|starting|running|unknown)$/,
  },
  down: {
    start: /^(done|already) running$/,
    stop: /^(done|already) down$/,
    restart: /^done running$/,
    retry: /^stopped down$/,
    drain: /^(done|already) down$/,
    adopt: /^not-detached down$/,
    end: /^not-detached down$/,
  },
  completed: {
    // It runs, or its work is done already, whoever began it.
    start: /^(done|already) (running|down)$/,
    stop: /^(done|already) down$/,
    restart: /^done (running|down)$/,
    retry: /^stopped down$/,
    drain: /^(done|already) down$/,
    adopt: /^not-detached down$/,
    end: /^not-detached down$/,
  },
}

interface Answer {
  readonly output?: {
    readonly units: readonly {
      readonly outcome: string
      readonly error: { readonly code: string } | null
      readonly state: { readonly phase: string }
    }[]
  }
}

describe('Every order about a program, given twice at once', { timeout: 120_000 }, () => {
  it('leads where its phase says, and leaves no process', async ({ watched }) => {
    const pairs = Object.keys(phases).flatMap((phase) =>
      orders.map((order) => ({ phase: phase as keyof typeof phases, order, name: `${phase}-${order}` })),
    )
    const programs = pairs.map(({ phase, name }) => ({ name, ...phases[phase] }))
    await startPrograms(watched, programs, { interval: '1h' })
    const ask = (order: string, input: object) =>
      askControl(watched.file('control.sock'), 'order', { order, input }, 60_000) as Promise<Answer>
    for (const { phase, name } of pairs) {
      if (phase === 'stopping') await phaseOf(watched, name, 'running')
      else if (phase !== 'completed') await phaseOf(watched, name, phase)
    }
    for (const { name } of pairs.filter(({ phase }) => phase === 'completed'))
      await watched.logLine(new RegExp(`${name} has done its work`))
    const ending = pairs.filter(({ phase }) => phase === 'stopping').map(({ name }) => name)
    await ask('stop', { units: ending, wait: false })
    const wrong: string[] = []
    await Promise.all(
      pairs.flatMap(({ phase, order, name }) => {
        const timeoutMs = phase === 'starting' && /start|retry/.test(order) ? 500 : 30_000
        return [1, 2].map(async () => {
          const { output } = await ask(order, { units: [name], timeoutMs })
          const [unit] = output?.units ?? []
          const answer = `${unit?.error?.code ?? unit?.outcome} ${unit?.state.phase}`
          if (!expected[phase][order].test(answer)) wrong.push(`${name}: ${answer}`)
        })
      }),
    )
    expect(wrong).toEqual([])
    // Programs hand nothing over, and none of them is meant.
    expect(await ask('hand-over', { all: true })).toEqual({ done: true, output: { units: [] } })
    await ask('stop', { units: pairs.map(({ name }) => name), timeoutMs: 30_000 })
    expect(processesWith('# phases')).toEqual([])
  })
})
