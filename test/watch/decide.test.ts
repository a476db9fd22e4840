import { assert, describe, expect, it } from 'vitest'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import { noDescriptors } from '../../src/os/shortage.ts'
import type { Observation } from '../../src/watch/decide/state.ts'
import { standingInWords } from '../../src/watch/narrate/index.ts'
import {
  deadCheck,
  faultyCheck,
  healthyCheck,
  identity,
  spoken,
  summary,
  unverifiableCheck,
} from '../support/observations.ts'
import { inspector, inWords, Play } from '../support/play.ts'

const policy = restartDefaults

describe('decide', () => {
  it('starts a forward that has never run, which is no failure and no restart', () => {
    const play = new Play().see(deadCheck())
    expect(play.state.phase.id).toBe('starting')
    expect(play.kinds()).toContain('start')
    expect(play.state.failures).toBe(0)
    expect(play.state.restarts).toBe(0)
  })

  it('counts a PID file that was left behind as the failure it tells of', () => {
    const play = new Play().see(deadCheck('PID 7 is gone'))
    expect(play.state.failures).toBe(1)
    expect(play.said()).toMatch(/Stale PID file of inspector removed: /)
    expect(play.said()).toMatch(/inspector is not running \(failure #1\)/)
    expect(play.kinds().slice(0, 3)).toStrictEqual(['log', 'remove-pid-file', 'log'])
    expect(play.state.phase.id).toBe('starting')
  })

  it('adopts one that runs already', () => {
    const play = new Play().see(healthyCheck(42))
    expect(play.state.phase.id).toBe('running')
    expect(play.kinds()).not.toContain('start')
    expect(play.said()).toMatch(/already running \(PID: 42\), adopted/)
  })

  it('restarts at once at the first proven death, then waits 1 s, 2 s, 4 s …', () => {
    const play = new Play().running()
    const waits: number[] = []
    for (let pid = 101; pid < 105; pid++) {
      const { phase } = play.state
      assert(phase.id === 'running')
      play.see({ kind: 'died', identity: phase.identity })
      const after: { id: string } = play.state.phase
      waits.push(play.state.phase.id === 'backoff' ? play.state.phase.until - play.now : 0)
      if (after.id === 'backoff') play.see({ kind: 'woken' }, waits.at(-1)).see(deadCheck())
      play.see({ kind: 'started', generation: play.state.generation, identity: identity(pid) })
    }
    expect(waits).toStrictEqual([0, 750, 1500, 3000])
  })

  it('begins the back-off anew only after ten healthy minutes', () => {
    const play = new Play().running().dieAndReturn(101)
    play.see(healthyCheck(101)).see(healthyCheck(101), policy.resetAfterMs - 1)
    expect(play.state.backoffLevel).toBe(1)
    play.see(healthyCheck(101), 1)
    expect(play.state.backoffLevel).toBe(0)
  })

  it('alerts at the third failure in a row, once, and tells of the recovery, once', () => {
    const play = new Play().running()
    const opened: number[] = []
    for (let failure = 1; failure <= 4; failure++) {
      play.dieAndReturn(100 + failure)
      // The death's effects came before the start's: alerts are collected on the way.
      opened.push(play.state.failures)
    }
    expect(opened).toStrictEqual([1, 2, 3, 4])
    play.see(healthyCheck(104), 1)
    expect(play.said()).toMatch(/works again/)
    expect(
      play.effects.filter((effect) => effect.kind === 'alert' && effect.event === 'resolved').length,
    ).toBe(1)
    expect(play.state.failures).toBe(0)
    play.see(healthyCheck(104), 10_000)
    expect(play.effects).toStrictEqual([])
  })

  it('pauses restarts of a forward that flaps, says so once, and tries again after the pause', () => {
    const play = new Play().running()
    for (let pid = 101; pid <= 105; pid++) play.dieAndReturn(pid)
    play.see({ kind: 'died', identity: identity(105) })
    expect(play.state.phase.id).toBe('flapping')
    expect(
      play.effects.filter((effect) => effect.kind === 'alert' && effect.event === 'flapping').length,
    ).toBe(1)
    play.see(deadCheck(), 10_000)
    expect(play.kinds()).toStrictEqual([])
    play.see({ kind: 'woken' }, policy.flappingPauseMs)
    expect(play.kinds(), 'somebody else may have started one').toStrictEqual(['check'])
    play.see(deadCheck())
    expect(play.state.phase.id).toBe('starting')
  })

  it('ends a forwarder that hangs before it starts another', () => {
    const play = new Play().running(7).see(faultyCheck(7, 'does not answer'))
    expect(play.state.phase.id).toBe('stopping')
    expect(play.kinds()).toStrictEqual(['log', 'stop'])
    play.see({ kind: 'ended', identity: identity(7) })
    expect(play.state.phase.id).toBe('starting')
  })

  it('neither signals nor joins a process that is not proven', () => {
    const play = new Play().see(unverifiableCheck(9))
    expect(play.state.phase.id).toBe('blocked')
    expect(play.kinds()).toStrictEqual(['log'])
    play.see(unverifiableCheck(9), 10_000)
    expect(play.kinds(), 'said once').toStrictEqual([])
    play.see(deadCheck('PID 9 is gone'), 10_000)
    expect(play.state.phase.id).toBe('starting')
  })

  it('waits for whoever holds the port, and starts when they have gone', () => {
    const play = new Play().see(deadCheck())
    play.see({
      kind: 'start-failed',
      generation: 1,
      fault: spoken('the port is taken'),
      isBlocked: true,
      holder: summary(5, 'nginx'),
    })
    expect(play.state.phase.id).toBe('blocked')
    expect(play.said()).toMatch(
      /could not be started: the port is taken; the port is held by PID 5 \(nginx\)/,
    )
    play.see(deadCheck(undefined, summary(5, 'nginx')), 10_000)
    expect(play.kinds(), 'said once').toStrictEqual([])
    play.see(deadCheck(undefined, summary(5, 'nginx')), 10_000)
    expect(play.kinds(), 'alerted at the third round').toStrictEqual(['alert'])
    play.see(deadCheck(), 10_000)
    expect(play.kinds()).toContain('start')
  })

  it('gives up a start that does not become ready, kills it, and tries again', () => {
    const play = new Play().see(deadCheck())
    play.see({ kind: 'woken' }, policy.startTimeoutMs)
    expect(play.kinds()[0]).toBe('abandon-start')
    expect(play.said()).toMatch(/could not be started: not ready within 10 s/)
    expect(play.state.phase.id, 'the first try again is at once').toBe('starting')
  })

  it('takes no news from an earlier start', () => {
    const play = new Play().see(deadCheck()).see({ kind: 'woken' }, policy.startTimeoutMs)
    play.see({ kind: 'started', generation: 1, identity: identity(1) })
    expect(play.state.phase.id).toBe('starting')
    expect(play.effects).toStrictEqual([])
  })

  it('waits without complaint for a target that has never answered', () => {
    const play = new Play().running(3)
    for (let round = 0; round < 10; round++) {
      play.see(healthyCheck(3, { target: 'waiting' }), 10_000)
      expect(play.effects).toStrictEqual([])
    }
  })

  it('says that a target does not answer any more, alerts at the third round, and leaves the forwarder alone', () => {
    const play = new Play().running(3).see(healthyCheck(3, { target: 'reachable' }))
    const alerts: string[] = []
    for (let round = 0; round < 5; round++) {
      play.see(healthyCheck(3, { target: 'unreachable' }), 10_000)
      alerts.push(play.kinds().join(' '))
      expect(play.state.phase.id).toBe('running')
      expect(play.state.failures, 'the forward itself has not failed').toBe(0)
    }
    expect(alerts).toStrictEqual(['log', 'log', 'log alert', '', ''])
    play.see(healthyCheck(3, { target: 'reachable' }), 10_000)
    expect(play.said()).toMatch(/answers again/)
  })

  it('ends what cannot hand over before the next one, and says no more than that', () => {
    const play = new Play({ canHandOver: false }).running(3).see(healthyCheck(3, { optionsMatch: false }))
    expect(play.kinds()).toStrictEqual(['stop'])
    expect(play.state.phase).toMatchObject({ id: 'stopping', afterwards: 'start' })
    play.see({ kind: 'ended', identity: identity(3) })
    expect(play.state.phase.id).toBe('starting')
    expect([play.state.failures, play.state.plannedRestarts]).toStrictEqual([0, 1])
  })

  it('replaces a forwarder whose options are no longer those that are wanted, beside the one that runs', () => {
    const play = new Play().running(3).see(healthyCheck(3, { optionsMatch: false }))
    expect(play.kinds()).toStrictEqual(['log', 'replace'])
    expect(play.state.phase.id).toBe('running')
    const { generation } = play.state
    play.see(healthyCheck(3, { optionsMatch: false }), 10_000)
    expect(play.kinds(), 'not twice').toStrictEqual([])
    play.see({ kind: 'replaced', generation, identity: identity(4) })
    expect(play.state.phase.id === 'running' && play.state.phase.identity.pid === 4).toBeTruthy()
    // The one before has finished its connections.
    play.see({ kind: 'died', identity: identity(3), end: { kind: 'exited', code: 0 } })
    expect(play.state.phase.id).toBe('running')
    expect(play.state.failures).toBe(0)
    expect(
      [play.state.restarts, play.state.plannedRestarts],
      'a plan is no restart after a failure',
    ).toStrictEqual([0, 1])
  })

  it('follows the successor when somebody else has the forwarder replaced: a planned restart and no failure', () => {
    const play = new Play().running(3)
    const since = play.state.phase
    play.see(healthyCheck(3)).see(healthyCheck(4, { first: 3 }), 1000)
    expect(play.said()).toMatch(/^inspector was handed over to PID 4$/)
    play.see(healthyCheck(5, { first: 3 }), 1000)
    play.see({ kind: 'died', identity: identity(3), end: { kind: 'exited', code: 0 } })
    expect(
      since.id === 'running' && play.state.phase.id === 'running' && play.state.phase.identity.pid === 5,
    ).toBeTruthy()
    const { failures, restarts, plannedRestarts, recentRestarts } = play.state
    expect([failures, restarts, plannedRestarts, recentRestarts]).toStrictEqual([0, 0, 2, []])
    play.see({ kind: 'died', identity: identity(5), end: { kind: 'killed', signal: 'SIGKILL' } })
    expect([play.state.phase.id, play.state.failures, play.state.restarts]).toStrictEqual(['starting', 1, 1])
  })

  it('counts one replacement once, whoever tells of it first', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'restart', why: 'asked' })
    const { generation } = play.state
    play.see(healthyCheck(4, { first: 3 })).see({ kind: 'replaced', generation, identity: identity(4) })
    expect(play.kinds()).toStrictEqual([])
    expect(play.state.plannedRestarts).toBe(1)
  })

  it('replaces what it finds when the order to restart came before anybody had looked', () => {
    const found = new Play().running(3)
    found.state = { ...found.state, phase: { id: 'unknown' } }
    found.see({ kind: 'order', order: 'restart', why: 'asked' }).see(healthyCheck(3))
    expect(found.kinds()).toStrictEqual(['log', 'log', 'replace'])
    expect(found.state.phase).toMatchObject({ id: 'running', replacement: { state: 'starting' } })
  })

  it('ends the successor as well when what it was ordered to end had handed over already', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'stop', why: 'asked' })
    play.see({ kind: 'ended', identity: identity(3), successor: identity(4) })
    expect(play.kinds()).toStrictEqual(['log', 'stop'])
    play.see({ kind: 'ended', identity: identity(4) })
    expect(play.state.phase.id).toBe('down')
  })

  it('counts a start that this machine lacks something for as no failure and no restart, and tries again within seconds', () => {
    const play = new Play().running(3)
    play.see({ kind: 'died', identity: identity(3), end: { kind: 'killed', signal: 'SIGKILL' } })
    const [{ failures, restarts }, since] = [play.state, play.now]
    const fail = () => {
      const { generation } = play.state
      play.see(
        {
          kind: 'start-failed',
          generation,
          fault: spoken('EMFILE'),
          isBlocked: false,
          shortage: noDescriptors,
        },
        10,
      )
      const { phase } = play.state
      assert(phase.id === 'backoff' && phase.until - play.now <= 5000)
      play.see({ kind: 'woken' }, phase.until - play.now).see(deadCheck())
    }
    fail()
    expect(inWords(play.history)).toMatch(
      /inspector cannot be started: this process is out of file descriptors/,
    )
    while (play.now - since < 50_000) fail()
    expect([play.state.failures, play.state.restarts]).toStrictEqual([failures, restarts])
    expect(play.history.filter(({ kind }) => kind === 'alert').length).toBe(0)
    while (play.now - since < 70_000) fail()
    expect(
      play.history.filter(({ kind }) => kind === 'alert').length,
      'what lasts for a minute is told',
    ).toBe(1)
    play
      .see({ kind: 'started', generation: play.state.generation, identity: identity(4) })
      .see(healthyCheck(4))
    expect([play.state.phase.id, play.state.shortage]).toStrictEqual(['running', undefined])
    expect(play.said()).toMatch(/works again/)
  })

  it('does not take the start of another process for a handover', () => {
    const play = new Play().running(3).see(healthyCheck(4, { first: 4 }), 1000)
    expect(play.said()).toMatch(/runs as PID 4: PID 3 has ended, and somebody started another/)
    expect([play.state.restarts, play.state.plannedRestarts]).toStrictEqual([1, 0])
  })

  it('lets a forwarder go on that could not be replaced, and tries again later or when it is ordered', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'restart', why: 'asked' })
    const failed = (reason: 'failed' | 'unsupported'): Observation => {
      const { generation } = play.state
      return { kind: 'replace-failed', generation, message: 'no', reason }
    }
    play.see(failed('failed'))
    expect(play.said()).toMatch(/could not be replaced: no; PID 3 keeps running$/m)
    play.see(healthyCheck(3, { optionsMatch: false }), 10_000)
    expect(play.kinds()).toStrictEqual([])
    play.see(healthyCheck(3, { optionsMatch: false }), policy.backoffLimitMs)
    expect(play.kinds()).toContain('replace')
    play.see(failed('failed')).see({ kind: 'order', order: 'restart', why: 'asked' })
    expect(play.kinds()).toContain('replace')
    // An older forwarder that knows no handover is ended first.
    play.see(failed('unsupported'))
    expect(play.kinds()).toStrictEqual(['stop'])
    play.see({ kind: 'ended', identity: identity(3) })
    expect(play.state.phase.id).toBe('starting')
  })

  it('ends the replacement as well when a stop is ordered meanwhile', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'restart', why: 'asked' })
    const { generation } = play.state
    play.see({ kind: 'order', order: 'stop', why: 'asked' })
    play.see({ kind: 'replaced', generation, identity: identity(4) })
    expect(play.effects).toStrictEqual([
      { kind: 'stop', identity: identity(4), killAfterMs: 10_000 + policy.killAfterMs },
    ])
    play.see({ kind: 'ended', identity: identity(3) })
    expect(play.state.phase.id).toBe('stopping')
    play.see({ kind: 'ended', identity: identity(4) })
    expect(play.state.phase.id).toBe('down')
  })

  it('keeps a forward down that was ordered down', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'stop', why: 'asked' })
    play.see({ kind: 'ended', identity: identity(3) })
    expect(play.state.phase.id).toBe('down')
    play.see(deadCheck(), 10_000).see({ kind: 'woken' }, 600_000)
    expect(play.state.phase.id).toBe('down')
    play.see({ kind: 'order', order: 'start', why: 'asked' })
    expect(play.kinds(), 'it looks first').toStrictEqual(['check'])
    play.see(deadCheck())
    expect(play.state.phase.id).toBe('starting')
  })

  it('starts none beside one that did not end and was ordered down', () => {
    const play = new Play().running(3).see(faultyCheck(3, 'hangs'))
    play
      .see({ kind: 'survived', identity: identity(3), survivors: [summary(3, 'node')] })
      .see({ kind: 'order', order: 'stop', why: 'asked' })
    for (const order of ['start', 'restart'] as const) {
      play.see({ kind: 'order', order, why: 'asked' })
      expect(play.kinds()).not.toContain('start')
    }
    play.see(healthyCheck(3))
    expect(play.state.phase.id).toBe('running')
  })

  it('ends what a process that died has left behind before it starts another one', () => {
    const play = new Play().running(7)
    const leftBehind = [summary(8, 'node worker')]
    play.see({ kind: 'died', identity: identity(7), end: { kind: 'killed', signal: 'SIGKILL' }, leftBehind })
    expect(play.state.phase.id).toBe('stopping')
    expect(play.kinds(), 'the PID file stays until they are gone').toStrictEqual(['log', 'log', 'stop'])
    expect(play.said()).toMatch(
      /was killed by SIGKILL \(failure #1\)\nPID 7 has left behind PID 8 \(node worker\)/,
    )
    play.see({ kind: 'ended', identity: identity(7) })
    expect(play.kinds()).toStrictEqual(['remove-pid-file', 'log', 'start', 'wake'])
    expect(play.state.failures, 'one failure, not two').toBe(1)
  })

  it('finds them at a look, too, and waits while they do not end, looking again every round', () => {
    const play = new Play()
    const phases: string[] = []
    const see = (observation: Observation, laterMs = 0) => {
      play.see(observation, laterMs)
      phases.push(play.state.phase.id)
    }
    see(deadCheck('PID 7 is gone', undefined, 7))
    see({ kind: 'survived', identity: identity(7), survivors: [summary(8, 'node worker')] })
    see(deadCheck('PID 7 is gone', undefined, 7), 10_000)
    see({ kind: 'ended', identity: identity(7) })
    expect(phases).toStrictEqual(['stopping', 'blocked', 'stopping', 'starting'])
  })

  it('takes one that is being ended for ended only when all that it had started is gone', () => {
    const play = new Play().running(7).see({ kind: 'order', order: 'restart', why: 'asked' })
    play.see({
      kind: 'replace-failed',
      generation: play.state.generation,
      message: 'no',
      reason: 'unsupported',
    })
    expect(play.state.phase.id).toBe('stopping')
    play.see({ kind: 'died', identity: identity(7), end: { kind: 'exited', code: 0 } })
    expect(play.state.phase.id).toBe('stopping')
    play.see({ kind: 'ended', identity: identity(7) })
    expect(play.state.phase.id).toBe('starting')
  })

  it('says who holds the port of one that was ended', () => {
    const play = new Play().running(7).see({ kind: 'order', order: 'stop', why: 'asked' })
    play.see({ kind: 'ended', identity: identity(7), holder: summary(9, 'sleep 600') })
    expect(play.state.phase).toStrictEqual({ id: 'down', heldBy: summary(9, 'sleep 600') })
    expect(play.said()).toMatch(/Port 6274 is still held by PID 9 \(sleep 600\)/)
  })

  it('says so when a process does not end', () => {
    const play = new Play()
      .running(3)
      .see(faultyCheck(3, 'hangs'))
      .see({ kind: 'survived', identity: identity(3), survivors: [summary(3, 'node')] })
    expect(play.state.phase.id).toBe('blocked')
    expect(play.said()).toMatch(/PID 3 \(node\) does not end, not even by SIGKILL/)
  })

  describe('for a forward whose process systemd runs', () => {
    const running = (pid = 7) => new Play().see(healthyCheck(pid, { supervisor: 'systemd' }))
    const died = (play: Play, pid = 7) => play.see({ kind: 'died', identity: identity(pid) })

    it('waits for systemd to start it again, looking often, and starts nothing', () => {
      const play = died(running())
      expect(play.state.phase.id).toBe('awaiting')
      expect(play.kinds().slice(-3)).toStrictEqual(['log', 'log', 'wake'])
      expect(play.said()).toMatch(
        /is gone \(failure #1\)\ninspector is run by systemd, which starts it again/,
      )
      play.see({ kind: 'woken' }, 250)
      expect(play.kinds()).toStrictEqual(['check', 'wake'])
      play.see(deadCheck('PID 7 is gone'), 10)
      expect(play.state.phase.id).toBe('awaiting')
      play.see(healthyCheck(8, { supervisor: 'systemd' }), 100)
      expect(play.state.phase.id).toBe('running')
      expect(play.state.failures).toBe(0)
      expect(play.state.restarts).toBe(1)
    })

    it('never starts one while the port is held, and alerts when systemd does not either', () => {
      const play = died(running())
      const events: string[] = []
      for (let round = 0; round < 5; round++) {
        play.see(deadCheck(undefined, summary(1, 'systemd')), policy.startTimeoutMs)
        expect(play.kinds()).not.toContain('start')
        for (const effect of play.effects) if (effect.kind === 'alert') events.push(effect.event)
      }
      expect(events).toStrictEqual(['opened'])
      expect(standingInWords(play.state, inspector)).toMatch(
        /systemd has not started it again; the port is held by PID 1/,
      )
      play.see(healthyCheck(8, { supervisor: 'systemd' }), 10_000)
      expect(play.state.phase.id).toBe('running')
    })

    it('tells that it is flapping, although systemd starts it again and again', () => {
      const play = running()
      const told: number[] = []
      for (let pid = 7; pid < 17; pid++) {
        died(play, pid)
        expect(play.state.phase.id, 'nothing pauses it').toBe('awaiting')
        if (play.effects.some((effect) => effect.kind === 'alert')) told.push(pid - 6)
        play.see(healthyCheck(pid + 1, { supervisor: 'systemd' }), 1000)
      }
      expect(told, 'the incident tells it once').toStrictEqual([6, 7, 8, 9, 10])
      play.see(healthyCheck(17, { supervisor: 'systemd' }), policy.flappingWindowMs)
      died(play, 17)
      expect(play.kinds()).not.toContain('alert')
    })

    it('starts it when systemd has given the port up', () => {
      const play = died(running())
      play.see(deadCheck(), policy.startTimeoutMs - 1)
      expect(play.state.phase.id).toBe('awaiting')
      play.see(deadCheck(), 1)
      expect(play.state.phase.id).toBe('starting')
      expect(play.state.supervisor).toBe(undefined)
    })

    it('ends one that hangs, for systemd to start it again', () => {
      const play = running().see(faultyCheck(7, 'hangs'))
      expect(play.kinds()).toStrictEqual(['log', 'stop'])
      play.see({ kind: 'ended', identity: identity(7) })
      expect(play.state.phase.id).toBe('awaiting')
      expect(play.kinds()).not.toContain('start')
    })

    it('leaves it alone when its options differ, which is said once, and when its end is ordered', () => {
      const play = running()
      const other = healthyCheck(7, { supervisor: 'systemd', optionsMatch: false })
      play.see(other)
      expect(play.said()).toMatch(/with other options than are configured here/)
      play.see(other, 10_000)
      expect(play.effects).toStrictEqual([])
      play.see({ kind: 'order', order: 'restart', why: 'asked' })
      expect(play.kinds()).toStrictEqual(['log'])
      expect(play.state.phase.id).toBe('running')
      play.see({ kind: 'order', order: 'stop', why: 'asked' })
      expect(play.kinds()).toStrictEqual(['log'])
      expect(play.state.phase.id).toBe('down')
    })

    it('remembers it over a restart of the monitor', () => {
      const play = running()
      play.state = { ...play.state, phase: { id: 'unknown' } }
      play.see(deadCheck('PID 7 is gone'))
      expect(play.state.phase.id).toBe('awaiting')
    })
  })
})
