import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, it } from 'vitest'
import { Alerts } from '../../src/alert/alerts.ts'
import { alertDefaults } from '../../src/config/alert-options.ts'
import { plainLog } from '../../src/log/index.ts'
import { Journal, readJournal } from '../../src/record/journal.ts'
import type { UnitEvent } from '../../src/record/shapes/journal.ts'
import { incidentFacts, subjectConditions } from '../../src/watch/narrate/incidents.ts'
import { memoryOf, unitRecord } from '../../src/watch/unit-record.ts'
import { UnitWatcher, type WatcherMemory, type WatcherSurroundings } from '../../src/watch/unit-watcher.ts'
import { WatchedUnits } from '../../src/watch/watched-units.ts'
import { type LockConfiguration, LockUnit } from '../support/lock-unit.ts'
import { until } from '../support/tools.ts'

/** Quick enough to be watched: the first restart is at once, the second and third wait, the fourth pauses. */
const restart = {
  backoffMs: 60,
  backoffLimitMs: 120,
  flappingRestarts: 3,
  flappingWindowMs: 60_000,
  flappingPauseMs: 700,
  failureThreshold: 2,
  startTimeoutMs: 30_000,
  killAfterMs: 500,
}

/** Processes start slowly on a machine that has much to do. */
const patienceMs = 60_000

/** A watched lock with everything that a monitor has around a unit, and nothing of a forward. */
class Room {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'lock-'))
  readonly told: string[] = []
  readonly phases: string[] = []
  readonly journal = new Journal(this.folder)
  readonly alerts: Alerts
  readonly unit: LockUnit
  watcher: UnitWatcher

  constructor(configuration: LockConfiguration = { restart }) {
    this.alerts = new Alerts(alertDefaults, {
      stateDirectory: this.folder,
      log: plainLog((_level, message) => void this.told.push(message)),
      policy: { settleMs: 1 },
    })
    this.unit = new LockUnit('front', this.folder, configuration)
    this.watcher = this.#watch(undefined)
  }

  #watch(memory: WatcherMemory | undefined): UnitWatcher {
    const around: WatcherSurroundings = {
      intervalMs: () => 1000,
      log: plainLog((_level, message) => void this.told.push(message)),
      alert: (event, subject, message) =>
        this.alerts.report(event, incidentFacts(watcher, subject, message, performance.now())),
      changed: () => void this.phases.push(watcher.state.phase.id),
      journal: (explanation) => {
        this.journal.write({ event: 'unit', unit: this.unit.id, name: this.unit.name, ...explanation })
      },
    }
    const watcher: UnitWatcher = new UnitWatcher(this.unit, memory, around)
    return watcher
  }

  /** A monitor that was killed leaves its record to the next one. */
  takeOver(): void {
    const record = unitRecord(this.watcher)
    this.watcher.close()
    this.watcher = this.#watch(memoryOf(record, true))
  }

  async round(): Promise<void> {
    await this.watcher.check()
    this.alerts.roundDone(subjectConditions(this.watcher, performance.now()))
  }

  /** Waits until it runs as another process than these, without a round. @returns the PID. */
  running(...not: readonly number[]): Promise<number> {
    return until('it runs', async () => this.#pidOtherThan(not), patienceMs)
  }

  #pidOtherThan(not: readonly number[]): number {
    const { phase } = this.watcher.state
    if (phase.id === 'running' && !not.includes(phase.identity.pid)) return phase.identity.pid
    throw new Error(`${JSON.stringify(phase)}\n${this.told.join('\n')}`)
  }

  /** The same with rounds, as a monitor makes them. */
  runningAfterRounds(...not: readonly number[]): Promise<number> {
    return until(
      'it runs',
      async () => {
        await this.round()
        return this.#pidOtherThan(not)
      },
      patienceMs,
    )
  }

  reaches(phase: string): Promise<true> {
    return until(
      `it is ${phase}`,
      async () => (this.watcher.state.phase.id === phase ? true : undefined),
      patienceMs,
    )
  }

  async events(): Promise<UnitEvent[]> {
    return (await readJournal(this.folder)).filter((entry) => entry.event === 'unit')
  }
}

async function inRoom(test: (room: Room) => Promise<void>, configuration?: LockConfiguration): Promise<void> {
  const room = new Room(configuration)
  try {
    await test(room)
  } finally {
    await room.watcher.stop('the test is over')
    room.watcher.close()
    await room.alerts.close()
    rmSync(room.folder, { recursive: true, force: true })
  }
}

describe('A unit that is neither a forward nor a program', { timeout: 240_000 }, () => {
  it('is started, comes back after its death, waits, flaps, and settles', () =>
    inRoom(async (room) => {
      await room.round()
      let pid = await room.running()
      assert.equal(room.unit.pid, pid)
      assert.match(room.told.join('\n'), new RegExp(`^front started successfully \\(PID: ${pid}\\)`, 'm'))
      const dead: number[] = []
      for (let death = 1; death <= 4; death++) {
        process.kill(pid, 'SIGKILL')
        dead.push(pid)
        if (death < 4) pid = await room.running(...dead)
      }
      assert.match(
        room.told.join('\n'),
        new RegExp(`^front is not running: PID ${dead[0]} was killed by SIGKILL \\(failure #1\\)`, 'm'),
      )
      await room.reaches('flapping')
      assert.deepEqual(
        room.phases.filter((id) => id === 'backoff' || id === 'flapping'),
        ['backoff', 'backoff', 'flapping'],
      )
      const [incident] = room.alerts.openIncidents
      assert.equal(incident?.unit, 'lock-front')
      assert.equal(incident.subject, 'lock')
      assert.equal(incident.flapping, true)
      await room.running(...dead)
      await until('the incident is over', async () => {
        await room.round()
        return room.alerts.openIncidents.length === 0 ? true : undefined
      })
      assert.match(room.told.join('\n'), /ALERT resolved: front .*settled/)
      const kinds = (await room.events()).map(({ kind }) => kind)
      assert.deepEqual(kinds.slice(0, 4), ['starting', 'started', 'died', 'started'])
      assert.equal(kinds.filter((kind) => kind === 'died').length, 4)
    }))

  it('is alerted when it fails, and when it works again', () =>
    inRoom(
      async (room) => {
        room.unit.isBroken = true
        await until('an incident', async () => {
          await room.round()
          return room.alerts.openIncidents[0]
        })
        assert.match(
          room.told.join('\n'),
          /ALERT opened: front could not be started: it ended with exit code 3 before it was ready \(failure #2\)/,
        )
        room.unit.isBroken = false
        await room.runningAfterRounds()
        await room.round()
        assert.deepEqual(room.alerts.openIncidents, [])
        assert.match(room.told.join('\n'), /ALERT resolved: front works again/)
      },
      { restart: { ...restart, flappingRestarts: 0 } },
    ))

  it('is ended and started again when it hangs', () =>
    inRoom(async (room) => {
      await room.round()
      const pid = await room.running()
      process.kill(pid, 'SIGSTOP')
      // The first round may join a look that began before the signal.
      await until('the hang is seen', async () => {
        await room.round()
        const told = room.told.join('\n')
        return /^front has a keeper that does not answer \(failure #1\)/m.test(told) ? true : undefined
      })
      await room.running(pid)
      const failed = (await room.events()).find(({ kind }) => kind === 'failed')
      assert.equal(failed?.saw, 'it has a keeper that does not answer')
    }))

  it('is stopped, started and restarted by order', () =>
    inRoom(async (room) => {
      await room.round()
      const pid = await room.running()
      await room.watcher.stop('somebody wants it')
      assert.equal(room.unit.pid, undefined)
      await room.round()
      assert.equal(room.watcher.state.phase.id, 'down')
      room.watcher.observe({ kind: 'order', order: 'start', why: 'somebody wants it' })
      const again = await room.running(pid)
      room.watcher.observe({ kind: 'order', order: 'restart', why: 'somebody wants it anew' })
      await room.running(pid, again)
      const { failures, restarts, plannedRestarts } = room.watcher.state
      assert.deepEqual(
        { failures, restarts, plannedRestarts },
        { failures: 0, restarts: 0, plannedRestarts: 1 },
      )
      const orders = (await room.events()).filter(({ kind }) => kind === 'order')
      assert.deepEqual(
        orders.map(({ saw }) => saw),
        [
          'an order to stop it: somebody wants it',
          'an order to start it: somebody wants it',
          'an order to restart it: somebody wants it anew',
        ],
      )
    }))

  it('waits for its lock, and starts when that is free', () =>
    inRoom(async (room) => {
      const stranger = spawn('sleep', ['600'])
      room.unit.occupy(stranger.pid)
      await room.round()
      assert.equal(room.watcher.state.phase.id, 'blocked')
      assert.match(
        room.told.join('\n'),
        new RegExp(`^front cannot be started: PID ${stranger.pid} has the lock and is no keeper`, 'm'),
      )
      stranger.kill('SIGKILL')
      await room.runningAfterRounds()
      assert.match(room.told.join('\n'), new RegExp(`PID ${stranger.pid} has left it`))
    }))

  it('goes on under the next monitor, and so does what is remembered of it', () =>
    inRoom(async (room) => {
      await room.round()
      const first = await room.running()
      process.kill(first, 'SIGKILL')
      const pid = await room.running(first)
      room.takeOver()
      await room.round()
      assert.equal(await room.running(), pid)
      assert.equal(room.watcher.state.restarts, 1)
      assert.match(room.told.at(-1) ?? '', new RegExp(`front is already running \\(PID: ${pid}\\), adopted`))
    }))
})

describe('Units that are configured', { timeout: 240_000 }, () => {
  it('go when they are no longer wanted, and with the monitor when they must', async () => {
    const folders = ['a', 'b', 'c'].map(() => mkdtempSync(path.join(tmpdir(), 'lock-')))
    const made = new Map<string, LockUnit>()
    const wanted = (name: string, index: number, outlivesMonitor = true) => ({
      id: `lock-${name}`,
      create: () => {
        const unit = new LockUnit(name, folders[index] ?? '', { outlivesMonitor })
        made.set(name, unit)
        return unit
      },
      reconfigure: () => false,
    })
    const units = new WatchedUnits([wanted('a', 0), wanted('b', 1, false)], {
      memoryOf: () => undefined,
      held: () => {},
      around: () => ({
        intervalMs: () => 1000,
        log: plainLog(() => {}),
        alert() {},
        changed() {},
        journal() {},
      }),
    })
    const running = (count: number) =>
      until(`${count} run`, async () => (units.running.length === count ? true : undefined))
    const here = () => [...made.values()].filter(({ pid }) => pid !== undefined).map(({ name }) => name)
    await units.check()
    await running(2)
    await units.reconfigure([wanted('b', 1, false), wanted('c', 2)])
    await running(2)
    await until('a is gone', async () => (here().includes('a') ? undefined : true))
    await units.stopDependants('the monitor ends')
    assert.deepEqual(here(), ['c'])
    await units.stop('the test is over')
    units.close()
    assert.deepEqual(here(), [])
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  })
})
