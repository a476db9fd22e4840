import { describe, expect, it } from 'vitest'
import type { ResourceLimits } from '../../src/config/resource-limits.ts'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import type { Effect } from '../../src/watch/decide/state.ts'
import { type Measurement, usageBetween } from '../../src/watch/usage.ts'
import { deadCheck, healthyCheck, identity } from '../support/observations.ts'
import { inWords, Play } from '../support/play.ts'

const mebibyte = 1024 ** 2
const alertOnly: ResourceLimits = { memoryBytes: 256 * mebibyte, cpuPercent: 50, action: 'alert' }
const restarting: ResourceLimits = { ...alertOnly, action: 'restart' }
const much = { memoryBytes: 300 * mebibyte }
const little = { memoryBytes: 40 * mebibyte }

const told = (effects: readonly Effect[]) =>
  effects.flatMap((effect) => (effect.kind === 'alert' ? [`${effect.subject} ${effect.event}`] : []))

/** Rounds in which a process of this PID used so much; gives what each of them told and did. */
function rounds(play: Play, pid: number, used: object, count: number): string[] {
  return Array.from({ length: count }, () => {
    play.see(healthyCheck(pid, { used }), 10_000)
    return [...told(play.effects), ...play.kinds().filter((kind) => kind === 'replace')].join(' ')
  })
}

/** The replacement that was ordered takes over as this PID. */
function handedOver(play: Play, pid: number): void {
  play.see({ kind: 'replaced', generation: play.state.generation, identity: identity(pid) })
}

describe('Limits', () => {
  it('are told at the third sample in a row over them, once, and at the third below them', () => {
    const play = new Play({ limits: alertOnly }).running(3)
    expect(rounds(play, 3, much, 2)).toStrictEqual(['', ''])
    expect(rounds(play, 3, little, 1), 'begins anew').toStrictEqual([''])
    expect(rounds(play, 3, much, 5)).toStrictEqual(['', '', 'memory opened', '', ''])
    expect(inWords(play.history)).toMatch(/300 MiB/)
    expect(rounds(play, 3, little, 2)).toStrictEqual(['', ''])
    expect(rounds(play, 3, much, 1)).toStrictEqual([''])
    expect(rounds(play, 3, little, 4)).toStrictEqual(['', '', 'memory resolved', ''])
    expect(play.state.failures, 'the forward has not failed').toBe(0)
    expect(play.state.restarts).toBe(0)
  })

  it('of CPU time and of memory are two things', () => {
    const play = new Play({ limits: alertOnly }).running(3)
    expect(rounds(play, 3, { ...much, cpuPercent: 90 }, 3)).toStrictEqual([
      '',
      '',
      'memory opened cpu opened',
    ])
    expect(rounds(play, 3, { ...much, cpuPercent: 10 }, 3)).toStrictEqual(['', '', 'cpu resolved'])
  })

  it('of open files are reached with as many as there may be: the system gives no more', () => {
    const files = (openFiles: number) => ({ memoryBytes: 0, cpuPercent: 0, openFiles })
    const play = new Play({
      limits: { memoryBytes: 0, cpuPercent: 0, openFiles: 100, action: 'alert' },
    }).running(3)
    expect(rounds(play, 3, files(99), 3)).toStrictEqual(['', '', ''])
    expect(rounds(play, 3, files(100), 3)).toStrictEqual(['', '', 'openFiles opened'])
    expect(inWords(play.history)).toMatch(/100 open files, as many as its limit of 100 allows/)
  })

  it('of 0 are none, and a look without a sample says nothing', () => {
    const unlimited = new Play().running(3)
    expect(rounds(unlimited, 3, { memoryBytes: 2 ** 50, cpuPercent: 800 }, 5)).toStrictEqual([
      '',
      '',
      '',
      '',
      '',
    ])
    const play = new Play({ limits: alertOnly }).running(3)
    rounds(play, 3, much, 2)
    play.see(healthyCheck(3), 10_000)
    expect(told(play.effects)).toStrictEqual([])
    expect(rounds(play, 3, much, 1)).toStrictEqual(['memory opened'])
  })

  it('that are taken away are resolved at the next look', () => {
    const given = { limits: alertOnly }
    const play = new Play(given).running(3)
    rounds(play, 3, much, 3)
    given.limits = { memoryBytes: 0, cpuPercent: 0, action: 'alert' }
    play.see(healthyCheck(3), 10_000)
    expect(told(play.effects)).toStrictEqual(['memory resolved'])
    expect(play.said()).toMatch(/no longer has a limit for memory/)
  })

  it('restart by handover only where that is asked for, after the alert', () => {
    const play = new Play({ limits: restarting }).running(3)
    expect(rounds(play, 3, much, 3)).toStrictEqual(['', '', 'memory opened replace'])
    expect(play.state.phase.id, 'it goes on until the other one works').toBe('running')
    expect(play.kinds()).not.toContain('stop')
    expect(play.said()).toMatch(
      /is being replaced: it uses 300 MiB of memory, more than its limit of 256 MiB/,
    )
    handedOver(play, 4)
    expect(rounds(play, 4, little, 3)).toStrictEqual(['', '', 'memory resolved'])
  })

  it('exceeded again right after a restart: 5 min until the next, then 10, 20, up to an hour', () => {
    const play = new Play({ limits: restarting }).running(3)
    const restartedAt: number[] = []
    let pid = 3
    for (let round = 0; round < 6 * 60 * 4; round++) {
      const [done] = rounds(play, pid, much, 1)
      if (done?.includes('replace') !== true) continue
      restartedAt.push(play.now)
      handedOver(play, ++pid)
    }
    const waits = restartedAt.slice(1).map((at, i) => Math.round((at - (restartedAt[i] ?? 0)) / 60_000))
    expect(waits).toStrictEqual([5, 10, 20, 40, 60, 60])
    expect(told(play.history), 'told once, for it was never over').toStrictEqual(['memory opened'])
  })

  it('exceeded again and again is flapping: restarts pause, told once', () => {
    const policy = { ...restartDefaults, backoffLimitMs: 1000, flappingRestarts: 3 }
    const play = new Play({ limits: restarting, policy }).running(3)
    let pid = 3
    const done: string[] = []
    for (let round = 0; round < 60; round++) {
      const [what = ''] = rounds(play, pid, much, 1)
      if (what !== '') done.push(what)
      if (what.includes('replace')) handedOver(play, ++pid)
    }
    expect(done).toStrictEqual(['memory opened replace', 'replace', 'replace', 'memory flapping'])
    expect(play.state.phase.id).toBe('running')
  })

  it('of a forward that died or was ended: the samples of the process before do not count', () => {
    const play = new Play({ limits: alertOnly }).running(3)
    rounds(play, 3, much, 2)
    play.dieAndReturn(4)
    expect(rounds(play, 4, much, 3)).toStrictEqual(['', '', 'memory opened'])
    play.see({ kind: 'order', order: 'stop', why: 'asked' }).see({ kind: 'ended', identity: identity(4) })
    play.see({ kind: 'order', order: 'start', why: 'asked' }).see(deadCheck())
    play.see({ kind: 'started', generation: play.state.generation, identity: identity(5) })
    expect(rounds(play, 5, much, 3)).toStrictEqual(['', '', 'memory opened'])
  })

  it('of a forward that systemd runs are alerted, and starting it is left to systemd', () => {
    const play = new Play({ limits: restarting }).see(healthyCheck(7, { supervisor: 'systemd' }))
    for (let round = 0; round < 6; round++)
      play.see(healthyCheck(7, { supervisor: 'systemd', used: much }), 10_000)
    expect(told(play.history)).toStrictEqual(['memory opened'])
    expect(!play.history.some(({ kind }) => kind === 'replace' || kind === 'stop')).toBeTruthy()
  })

  it('do not begin anew because the monitor was replaced', () => {
    const play = new Play({ limits: restarting }).running(3)
    rounds(play, 3, much, 3)
    handedOver(play, 4)
    play.state = { ...play.state, phase: { id: 'unknown' } }
    expect(rounds(play, 4, much, 6), 'neither told nor restarted again').toStrictEqual([
      '',
      '',
      '',
      '',
      '',
      '',
    ])
    play.see(deadCheck('PID 4 is gone'))
    expect(play.state.phase.id).toBe('starting')
  })
})

const measured = (elapsedMs: number, ticks: number, wallMs = elapsedMs, pid = 3): Measurement => ({
  pid,
  memoryBytes: mebibyte,
  cpuTicks: new Map([[`${pid} 4711`, ticks]]),
  monotonicMs: 1_000_000 + elapsedMs,
  wallMs: 1_800_000_000_000 + wallMs,
})

describe('A sample', () => {
  it('is the CPU time between two rounds, of all processes, those that are new included', () => {
    const now = {
      ...measured(10_000, 500),
      cpuTicks: new Map([
        ['3 4711', 500],
        ['9 5000', 50],
      ]),
    }
    expect(usageBetween(measured(0, 400), now, 10_000)).toStrictEqual({
      pid: 3,
      processes: 2,
      memoryBytes: mebibyte,
      cpuPercent: 15,
    })
  })

  it('is not made across a suspend, a clock that was set, a monitor that stood still, or two processes', () => {
    const before = measured(0, 0)
    expect(usageBetween(before, measured(10_000, 1), 10_000)).not.toBe(undefined)
    expect(usageBetween(before, measured(10_000, 1, 3_600_000), 10_000), 'it slept').toBe(undefined)
    expect(usageBetween(before, measured(10_000, 1, -3_600_000), 10_000), 'set back').toBe(undefined)
    expect(usageBetween(before, measured(60_000, 1), 10_000), 'it stood still').toBe(undefined)
    expect(usageBetween(before, measured(10_000, 1, 10_000, 4), 10_000), 'another one').toBe(undefined)
  })
})
