import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import { noDescriptors } from '../../src/os/shortage.ts'
import type { Observation } from '../../src/watch/decide/state.ts'
import { deadCheck, faultyCheck, healthyCheck, identity, unverifiableCheck } from '../support/observations.ts'
import { Play } from '../support/play.ts'

const policy = restartDefaults

describe('decide', () => {
  it('starts a forward that has never run, which is no failure and no restart', () => {
    const play = new Play().see(deadCheck())
    assert.equal(play.state.phase.id, 'starting')
    assert.ok(play.kinds().includes('start'))
    assert.equal(play.state.failures, 0)
    assert.equal(play.state.restarts, 0)
  })

  it('counts a PID file that was left behind as the failure it tells of', () => {
    const play = new Play().see(deadCheck('PID 7 is gone'))
    assert.equal(play.state.failures, 1)
    assert.match(play.said(), /Stale PID file of inspector removed: /)
    assert.match(play.said(), /inspector is not running \(failure #1\)/)
    assert.deepEqual(play.kinds().slice(0, 3), ['log', 'remove-pid-file', 'log'])
    assert.equal(play.state.phase.id, 'starting')
  })

  it('adopts one that runs already', () => {
    const play = new Play().see(healthyCheck(42))
    assert.equal(play.state.phase.id, 'running')
    assert.ok(!play.kinds().includes('start'))
    assert.match(play.said(), /already running \(PID: 42\), adopted/)
  })

  it('restarts at once at the first proven death, then waits 1 s, 2 s, 4 s …', () => {
    const play = new Play().running()
    const waits: number[] = []
    for (let pid = 101; pid < 105; pid++) {
      const { phase } = play.state
      assert.equal(phase.id, 'running')
      play.see({ kind: 'died', identity: phase.identity, how: 'is gone' })
      const after: { id: string } = play.state.phase
      waits.push(play.state.phase.id === 'backoff' ? play.state.phase.until - play.now : 0)
      if (after.id === 'backoff') play.see({ kind: 'woken' }, waits.at(-1)).see(deadCheck())
      play.see({ kind: 'started', generation: play.state.generation, identity: identity(pid) })
    }
    assert.deepEqual(waits, [0, 750, 1500, 3000])
  })

  it('begins the back-off anew only after ten healthy minutes', () => {
    const play = new Play().running().dieAndReturn(101)
    play.see(healthyCheck(101)).see(healthyCheck(101), policy.resetAfterMs - 1)
    assert.equal(play.state.backoffLevel, 1)
    play.see(healthyCheck(101), 1)
    assert.equal(play.state.backoffLevel, 0)
  })

  it('alerts at the third failure in a row, once, and tells of the recovery, once', () => {
    const play = new Play().running()
    const opened: number[] = []
    for (let failure = 1; failure <= 4; failure++) {
      play.dieAndReturn(100 + failure)
      // The death's effects came before the start's: alerts are collected on the way.
      opened.push(play.state.failures)
    }
    assert.deepEqual(opened, [1, 2, 3, 4])
    play.see(healthyCheck(104), 1)
    assert.match(play.said(), /works again/)
    assert.equal(
      play.effects.filter((effect) => effect.kind === 'alert' && effect.event === 'resolved').length,
      1,
    )
    assert.equal(play.state.failures, 0)
    play.see(healthyCheck(104), 10_000)
    assert.deepEqual(play.effects, [])
  })

  it('pauses restarts of a forward that flaps, says so once, and tries again after the pause', () => {
    const play = new Play().running()
    for (let pid = 101; pid <= 105; pid++) play.dieAndReturn(pid)
    play.see({ kind: 'died', identity: identity(105), how: 'is gone' })
    assert.equal(play.state.phase.id, 'flapping')
    assert.equal(
      play.effects.filter((effect) => effect.kind === 'alert' && effect.event === 'flapping').length,
      1,
    )
    play.see(deadCheck(), 10_000)
    assert.deepEqual(play.kinds(), [])
    play.see({ kind: 'woken' }, policy.flappingPauseMs)
    assert.deepEqual(play.kinds(), ['check'], 'somebody else may have started one')
    play.see(deadCheck())
    assert.equal(play.state.phase.id, 'starting')
  })

  it('ends a forwarder that hangs before it starts another', () => {
    const play = new Play().running(7).see(faultyCheck(7, 'does not answer'))
    assert.equal(play.state.phase.id, 'stopping')
    assert.deepEqual(play.kinds(), ['log', 'stop'])
    play.see({ kind: 'ended', identity: identity(7) })
    assert.equal(play.state.phase.id, 'starting')
  })

  it('neither signals nor joins a process that is not proven', () => {
    const play = new Play().see(unverifiableCheck(9))
    assert.equal(play.state.phase.id, 'blocked')
    assert.deepEqual(play.kinds(), ['log'])
    play.see(unverifiableCheck(9), 10_000)
    assert.deepEqual(play.kinds(), [], 'said once')
    play.see(deadCheck('PID 9 is gone'), 10_000)
    assert.equal(play.state.phase.id, 'starting')
  })

  it('waits for whoever holds the port, and starts when they have gone', () => {
    const play = new Play().see(deadCheck())
    play.see({
      kind: 'start-failed',
      generation: 1,
      message: 'the port is taken by PID 5 (nginx)',
      portTaken: true,
    })
    assert.equal(play.state.phase.id, 'blocked')
    assert.match(play.said(), /PID 5 \(nginx\)/)
    play.see(deadCheck(undefined, 'PID 5 (nginx)'), 10_000)
    assert.deepEqual(play.kinds(), [], 'said once')
    play.see(deadCheck(undefined, 'PID 5 (nginx)'), 10_000)
    assert.deepEqual(play.kinds(), ['alert'], 'alerted at the third round')
    play.see(deadCheck(), 10_000)
    assert.ok(play.kinds().includes('start'))
  })

  it('gives up a start that does not become ready, kills it, and tries again', () => {
    const play = new Play().see(deadCheck())
    play.see({ kind: 'woken' }, policy.startTimeoutMs)
    assert.equal(play.kinds()[0], 'abandon-start')
    assert.match(play.said(), /could not be started: not ready within 10 s/)
    assert.equal(play.state.phase.id, 'starting', 'the first try again is at once')
  })

  it('takes no news from an earlier start', () => {
    const play = new Play().see(deadCheck()).see({ kind: 'woken' }, policy.startTimeoutMs)
    play.see({ kind: 'started', generation: 1, identity: identity(1) })
    assert.equal(play.state.phase.id, 'starting')
    assert.deepEqual(play.effects, [])
  })

  it('waits without complaint for a target that has never answered', () => {
    const play = new Play().running(3)
    for (let round = 0; round < 10; round++) {
      play.see(healthyCheck(3, { target: 'waiting' }), 10_000)
      assert.deepEqual(play.effects, [])
    }
  })

  it('says that a target does not answer any more, alerts at the third round, and leaves the forwarder alone', () => {
    const play = new Play().running(3).see(healthyCheck(3, { target: 'reachable' }))
    const alerts: string[] = []
    for (let round = 0; round < 5; round++) {
      play.see(healthyCheck(3, { target: 'unreachable' }), 10_000)
      alerts.push(play.kinds().join(' '))
      assert.equal(play.state.phase.id, 'running')
      assert.equal(play.state.failures, 0, 'the forward itself has not failed')
    }
    assert.deepEqual(alerts, ['log', 'log', 'log alert', '', ''])
    play.see(healthyCheck(3, { target: 'reachable' }), 10_000)
    assert.match(play.said(), /answers again/)
  })

  it('replaces a forwarder whose options are no longer those that are wanted, beside the one that runs', () => {
    const play = new Play().running(3).see(healthyCheck(3, { optionsMatch: false }))
    assert.deepEqual(play.kinds(), ['log', 'replace'])
    assert.equal(play.state.phase.id, 'running')
    const { generation } = play.state
    play.see(healthyCheck(3, { optionsMatch: false }), 10_000)
    assert.deepEqual(play.kinds(), [], 'not twice')
    play.see({ kind: 'replaced', generation, identity: identity(4) })
    assert.ok(play.state.phase.id === 'running' && play.state.phase.identity.pid === 4)
    // The one before has finished its connections.
    play.see({ kind: 'died', identity: identity(3), how: 'ended with exit code 0' })
    assert.equal(play.state.phase.id, 'running')
    assert.equal(play.state.failures, 0)
    assert.deepEqual(
      [play.state.restarts, play.state.plannedRestarts],
      [0, 1],
      'a plan is no restart after a failure',
    )
  })

  it('follows the successor when somebody else has the forwarder replaced: a planned restart and no failure', () => {
    const play = new Play().running(3)
    const since = play.state.phase
    play.see(healthyCheck(3)).see(healthyCheck(4, { first: 3 }), 1000)
    assert.match(play.said(), /^inspector was handed over to PID 4$/)
    play.see(healthyCheck(5, { first: 3 }), 1000)
    play.see({ kind: 'died', identity: identity(3), how: 'ended with exit code 0' })
    assert.ok(
      since.id === 'running' && play.state.phase.id === 'running' && play.state.phase.identity.pid === 5,
    )
    const { failures, restarts, plannedRestarts, recentRestarts } = play.state
    assert.deepEqual([failures, restarts, plannedRestarts, recentRestarts], [0, 0, 2, []])
    play.see({ kind: 'died', identity: identity(5), how: 'was killed by SIGKILL' })
    assert.deepEqual([play.state.phase.id, play.state.failures, play.state.restarts], ['starting', 1, 1])
  })

  it('counts one replacement once, whoever tells of it first', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'restart', why: 'asked' })
    const { generation } = play.state
    play.see(healthyCheck(4, { first: 3 })).see({ kind: 'replaced', generation, identity: identity(4) })
    assert.deepEqual(play.kinds(), [])
    assert.equal(play.state.plannedRestarts, 1)
  })

  it('ends the successor as well when what it was ordered to end had handed over already', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'stop', why: 'asked' })
    play.see({ kind: 'ended', identity: identity(3), successor: identity(4) })
    assert.deepEqual(play.kinds(), ['log', 'stop'])
    play.see({ kind: 'ended', identity: identity(4) })
    assert.equal(play.state.phase.id, 'down')
  })

  it('counts a start that this machine lacks something for as no failure and no restart, and tries again within seconds', () => {
    const play = new Play().running(3)
    play.see({ kind: 'died', identity: identity(3), how: 'was killed by SIGKILL' })
    const [{ failures, restarts }, since] = [play.state, play.now]
    const fail = () => {
      const { generation } = play.state
      play.see(
        { kind: 'start-failed', generation, message: 'EMFILE', portTaken: false, shortage: noDescriptors },
        10,
      )
      const { phase } = play.state
      assert.ok(phase.id === 'backoff' && phase.until - play.now <= 5000)
      play.see({ kind: 'woken' }, phase.until - play.now).see(deadCheck())
    }
    fail()
    const told = play.history.flatMap((effect) => ('message' in effect ? [effect.message] : []))
    assert.match(told.join('\n'), /inspector cannot be started: this process is out of file descriptors/)
    while (play.now - since < 50_000) fail()
    assert.deepEqual([play.state.failures, play.state.restarts], [failures, restarts])
    assert.equal(play.history.filter(({ kind }) => kind === 'alert').length, 0)
    while (play.now - since < 70_000) fail()
    assert.equal(
      play.history.filter(({ kind }) => kind === 'alert').length,
      1,
      'what lasts for a minute is told',
    )
    play
      .see({ kind: 'started', generation: play.state.generation, identity: identity(4) })
      .see(healthyCheck(4))
    assert.deepEqual([play.state.phase.id, play.state.shortage], ['running', undefined])
    assert.match(play.said(), /works again/)
  })

  it('does not take the start of another process for a handover', () => {
    const play = new Play().running(3).see(healthyCheck(4, { first: 4 }), 1000)
    assert.match(play.said(), /runs as PID 4: PID 3 has ended, and somebody started another/)
    assert.deepEqual([play.state.restarts, play.state.plannedRestarts], [1, 0])
  })

  it('lets a forwarder go on that could not be replaced, and tries again later or when it is ordered', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'restart', why: 'asked' })
    const failed = (reason: 'failed' | 'unsupported'): Observation => {
      const { generation } = play.state
      return { kind: 'replace-failed', generation, message: 'no', reason }
    }
    play.see(failed('failed'))
    assert.match(play.said(), /could not be replaced: no; PID 3 keeps running$/m)
    play.see(healthyCheck(3, { optionsMatch: false }), 10_000)
    assert.deepEqual(play.kinds(), [])
    play.see(healthyCheck(3, { optionsMatch: false }), policy.backoffLimitMs)
    assert.ok(play.kinds().includes('replace'))
    play.see(failed('failed')).see({ kind: 'order', order: 'restart', why: 'asked' })
    assert.ok(play.kinds().includes('replace'))
    // An older forwarder that knows no handover is ended first.
    play.see(failed('unsupported'))
    assert.deepEqual(play.kinds(), ['stop'])
    play.see({ kind: 'ended', identity: identity(3) })
    assert.equal(play.state.phase.id, 'starting')
  })

  it('ends the replacement as well when a stop is ordered meanwhile', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'restart', why: 'asked' })
    const { generation } = play.state
    play.see({ kind: 'order', order: 'stop', why: 'asked' })
    play.see({ kind: 'replaced', generation, identity: identity(4) })
    assert.deepEqual(play.effects, [
      { kind: 'stop', identity: identity(4), killAfterMs: 10_000 + policy.killAfterMs },
    ])
    play.see({ kind: 'ended', identity: identity(3) })
    assert.equal(play.state.phase.id, 'stopping')
    play.see({ kind: 'ended', identity: identity(4) })
    assert.equal(play.state.phase.id, 'down')
  })

  it('keeps a forward down that was ordered down', () => {
    const play = new Play().running(3).see({ kind: 'order', order: 'stop', why: 'asked' })
    play.see({ kind: 'ended', identity: identity(3) })
    assert.equal(play.state.phase.id, 'down')
    play.see(deadCheck(), 10_000).see({ kind: 'woken' }, 600_000)
    assert.equal(play.state.phase.id, 'down')
    play.see({ kind: 'order', order: 'start', why: 'asked' })
    assert.deepEqual(play.kinds(), ['check'], 'it looks first')
    play.see(deadCheck())
    assert.equal(play.state.phase.id, 'starting')
  })

  it('starts none beside one that did not end and was ordered down', () => {
    const play = new Play().running(3).see(faultyCheck(3, 'hangs'))
    play
      .see({ kind: 'survived', identity: identity(3), survivors: ['PID 3 (node)'] })
      .see({ kind: 'order', order: 'stop', why: 'asked' })
    for (const order of ['start', 'restart'] as const) {
      play.see({ kind: 'order', order, why: 'asked' })
      assert.ok(!play.kinds().includes('start'))
    }
    play.see(healthyCheck(3))
    assert.equal(play.state.phase.id, 'running')
  })

  it('ends what a process that died has left behind before it starts another one', () => {
    const play = new Play().running(7)
    const leftBehind = ['PID 8 (node worker)']
    play.see({ kind: 'died', identity: identity(7), how: 'was killed by SIGKILL', leftBehind })
    assert.equal(play.state.phase.id, 'stopping')
    assert.deepEqual(play.kinds(), ['log', 'log', 'stop'], 'the PID file stays until they are gone')
    assert.match(
      play.said(),
      /was killed by SIGKILL \(failure #1\)\nPID 7 has left behind PID 8 \(node worker\)/,
    )
    play.see({ kind: 'ended', identity: identity(7) })
    assert.deepEqual(play.kinds(), ['remove-pid-file', 'log', 'start', 'wake'])
    assert.equal(play.state.failures, 1, 'one failure, not two')
  })

  it('finds them at a look, too, and waits while they do not end, looking again every round', () => {
    const play = new Play()
    const phases: string[] = []
    const see = (observation: Observation, laterMs = 0) => {
      play.see(observation, laterMs)
      phases.push(play.state.phase.id)
    }
    see(deadCheck('PID 7 is gone', undefined, 7))
    see({ kind: 'survived', identity: identity(7), survivors: ['PID 8 (node worker)'] })
    see(deadCheck('PID 7 is gone', undefined, 7), 10_000)
    see({ kind: 'ended', identity: identity(7) })
    assert.deepEqual(phases, ['stopping', 'blocked', 'stopping', 'starting'])
  })

  it('takes one that is being ended for ended only when all that it had started is gone', () => {
    const play = new Play().running(7).see({ kind: 'order', order: 'restart', why: 'asked' })
    play.see({
      kind: 'replace-failed',
      generation: play.state.generation,
      message: 'no',
      reason: 'unsupported',
    })
    assert.equal(play.state.phase.id, 'stopping')
    play.see({ kind: 'died', identity: identity(7), how: 'ended with exit code 0' })
    assert.equal(play.state.phase.id, 'stopping')
    play.see({ kind: 'ended', identity: identity(7) })
    assert.equal(play.state.phase.id, 'starting')
  })

  it('says who holds the port of one that was ended', () => {
    const play = new Play().running(7).see({ kind: 'order', order: 'stop', why: 'asked' })
    play.see({ kind: 'ended', identity: identity(7), portHolder: 'PID 9 (sleep 600)' })
    assert.deepEqual(play.state.phase, { id: 'down', heldBy: 'PID 9 (sleep 600)' })
    assert.match(play.said(), /Port 6274 is still held by PID 9 \(sleep 600\)/)
  })

  it('says so when a process does not end', () => {
    const play = new Play()
      .running(3)
      .see(faultyCheck(3, 'hangs'))
      .see({ kind: 'survived', identity: identity(3), survivors: ['PID 3 (node)'] })
    assert.equal(play.state.phase.id, 'blocked')
    assert.match(play.said(), /PID 3 \(node\) does not end, not even by SIGKILL/)
  })

  describe('for a forward whose process systemd runs', () => {
    const running = (pid = 7) => new Play().see(healthyCheck(pid, { supervisor: 'systemd' }))
    const died = (play: Play, pid = 7) => play.see({ kind: 'died', identity: identity(pid), how: 'is gone' })

    it('waits for systemd to start it again, looking often, and starts nothing', () => {
      const play = died(running())
      assert.equal(play.state.phase.id, 'awaiting')
      assert.deepEqual(play.kinds().slice(-3), ['log', 'log', 'wake'])
      assert.match(play.said(), /is gone \(failure #1\)\ninspector is run by systemd, which starts it again/)
      play.see({ kind: 'woken' }, 250)
      assert.deepEqual(play.kinds(), ['check', 'wake'])
      play.see(deadCheck('PID 7 is gone'), 10)
      assert.equal(play.state.phase.id, 'awaiting')
      play.see(healthyCheck(8, { supervisor: 'systemd' }), 100)
      assert.equal(play.state.phase.id, 'running')
      assert.equal(play.state.failures, 0)
      assert.equal(play.state.restarts, 1)
    })

    it('never starts one while the port is held, and alerts when systemd does not either', () => {
      const play = died(running())
      const events: string[] = []
      for (let round = 0; round < 5; round++) {
        play.see(deadCheck(undefined, 'PID 1 (systemd)'), policy.startTimeoutMs)
        assert.ok(!play.kinds().includes('start'))
        for (const effect of play.effects) if (effect.kind === 'alert') events.push(effect.event)
      }
      assert.deepEqual(events, ['opened'])
      assert.match(play.state.lastFault ?? '', /not started again by systemd/)
      play.see(healthyCheck(8, { supervisor: 'systemd' }), 10_000)
      assert.equal(play.state.phase.id, 'running')
    })

    it('tells that it is flapping, although systemd starts it again and again', () => {
      const play = running()
      const told: number[] = []
      for (let pid = 7; pid < 17; pid++) {
        died(play, pid)
        assert.equal(play.state.phase.id, 'awaiting', 'nothing pauses it')
        if (play.effects.some((effect) => effect.kind === 'alert')) told.push(pid - 6)
        play.see(healthyCheck(pid + 1, { supervisor: 'systemd' }), 1000)
      }
      assert.deepEqual(told, [6, 7, 8, 9, 10], 'the incident tells it once')
      play.see(healthyCheck(17, { supervisor: 'systemd' }), policy.flappingWindowMs)
      died(play, 17)
      assert.ok(!play.kinds().includes('alert'))
    })

    it('starts it when systemd has given the port up', () => {
      const play = died(running())
      play.see(deadCheck(), policy.startTimeoutMs - 1)
      assert.equal(play.state.phase.id, 'awaiting')
      play.see(deadCheck(), 1)
      assert.equal(play.state.phase.id, 'starting')
      assert.equal(play.state.supervisor, undefined)
    })

    it('ends one that hangs, for systemd to start it again', () => {
      const play = running().see(faultyCheck(7, 'hangs'))
      assert.deepEqual(play.kinds(), ['log', 'stop'])
      play.see({ kind: 'ended', identity: identity(7) })
      assert.equal(play.state.phase.id, 'awaiting')
      assert.ok(!play.kinds().includes('start'))
    })

    it('leaves it alone when its options differ, which is said once, and when its end is ordered', () => {
      const play = running()
      const other = healthyCheck(7, { supervisor: 'systemd', optionsMatch: false })
      play.see(other)
      assert.match(play.said(), /with other options than are configured here/)
      play.see(other, 10_000)
      assert.deepEqual(play.effects, [])
      play.see({ kind: 'order', order: 'restart', why: 'asked' })
      assert.deepEqual(play.kinds(), ['log'])
      assert.equal(play.state.phase.id, 'running')
      play.see({ kind: 'order', order: 'stop', why: 'asked' })
      assert.deepEqual(play.kinds(), ['log'])
      assert.equal(play.state.phase.id, 'down')
    })

    it('remembers it over a restart of the monitor', () => {
      const play = running()
      play.state = { ...play.state, phase: { id: 'unknown' } }
      play.see(deadCheck('PID 7 is gone'))
      assert.equal(play.state.phase.id, 'awaiting')
    })
  })
})
