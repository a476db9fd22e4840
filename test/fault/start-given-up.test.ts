// A start that takes too long is given up and its process killed. A look in that moment found it alive and called it healthy.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { loadConfiguration } from '../../src/config/load.ts'
import { plainLog } from '../../src/log/index.ts'
import { identityOf, judgeProcess, type ProcessIdentity } from '../../src/process/identity.ts'
import type { ProcessEnd } from '../../src/process/start.ts'
import { ProgramUnit } from '../../src/program/unit/index.ts'
import type { Probed, Start, StartOutcome } from '../../src/watch/unit.ts'
import { UnitWatcher } from '../../src/watch/unit-watcher.ts'
import { it } from '../support/fixtures.ts'
import { type LockHealth, LockUnit } from '../support/lock-unit.ts'
import { freePort, until } from '../support/tools.ts'

/** Its process never becomes ready and looks well for as long as it lives; a look is answered when it is let through. */
class NeverReady extends LockUnit {
  #identity: ProcessIdentity | undefined
  #letThrough: (() => void) | undefined
  #isHeld = false

  override start(): Start {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
    const identity = child.pid === undefined ? undefined : identityOf(child.pid)
    this.#identity = identity
    const exited = new Promise<ProcessEnd>((resolve) =>
      child.on('exit', () => resolve({ kind: 'killed', signal: 'SIGKILL' })),
    )
    return {
      identity,
      outcome: new Promise<StartOutcome>(() => {}),
      exited,
      abandon: () => child.kill('SIGKILL'),
    }
  }

  override async probe(): Promise<Probed<LockHealth>> {
    const identity = this.living
    if (this.#isHeld) await new Promise<void>((resolve) => (this.#letThrough = resolve))
    const diagnosis = identity
      ? ({ condition: 'healthy', process: { identity, uptimeMs: 1, supervisor: null } } as const)
      : ({ condition: 'dead', fault: { code: 'no-keeper' } } as const)
    return { diagnosis, health: undefined, optionsMatch: true, holder: undefined }
  }

  /** Its process; undefined = it is gone. */
  get living(): ProcessIdentity | undefined {
    return this.#identity && judgeProcess(this.#identity) === 'alive' ? this.#identity : undefined
  }

  holdLooks(): void {
    this.#isHeld = true
  }

  letThrough(): void {
    this.#isHeld = false
    this.#letThrough?.()
  }
}

describe('A start that is given up', () => {
  it('is not found healthy by a look that began before', async ({ watched }) => {
    const restart = { startTimeoutMs: 1000, backoffMs: 60_000, backoffLimitMs: 60_000 }
    const unit = new NeverReady('front', watched.directory, { restart })
    const watcher = new UnitWatcher(unit, undefined, {
      intervalMs: () => 1000,
      log: plainLog(() => {}),
      alert: () => {},
      changed: () => {},
      journal: () => {},
    })
    await watcher.check()
    // The first restart is at once.
    const { state } = watcher
    await until('it is started again', async () => watcher.state.generation > state.generation || undefined)
    unit.holdLooks()
    const looked = watcher.check()
    await until('the start is given up', async () => watcher.state.phase.id === 'backoff' || undefined)
    // What was killed may take a moment to end: the next case is about that.
    await until('its process is gone', async () => unit.living === undefined || undefined)
    unit.letThrough()
    await looked
    expect(watcher.state.phase.id).toBe('backoff')
    await watcher.stop('the test is over')
    watcher.close()
  })

  it('is not found healthy while its process takes a moment to end', async ({ watched }) => {
    const port = await freePort()
    const file = watched.file('configuration.json')
    // The kernel takes back its memory before it is gone.
    const large = 'import time; kept = b"1" * (300 << 20); print("large", flush=True); time.sleep(1000)'
    const programs = [{ name: 'slow', command: ['python3', '-c', large], ready: { port } }]
    writeFileSync(file, JSON.stringify({ programs }))
    const [configuration] = (await loadConfiguration(file)).programs
    if (configuration === undefined) throw new Error('no program')
    const unit = new ProgramUnit(configuration, {
      stateDirectory: watched.directory,
      prepareDirectory: () => {},
      warn: () => {},
      forwards: { drainMs: () => undefined, emptied: async () => {} },
    })
    const start = unit.start()
    const log = watched.file('program_slow.log')
    await until(
      'it is large',
      async () => (existsSync(log) && readFileSync(log, 'utf8').includes('large')) || undefined,
    )
    start.abandon()
    const { diagnosis } = await unit.probe({ holder: false, stray: false })
    expect(diagnosis.condition).toBe('dead')
    await start.outcome
    unit.close()
  })
})
