/**
 * workers/: several processes that serve one forward (`--workers`). The first one is the forward for everybody else. `WorkerPool` starts
 * and replaces the others, worker.ts runs in them, worker-protocol.ts is what they say to each other, sum-health.ts adds up their figures.
 *
 * A new order to workers is a new message of worker-protocol.ts; a new figure of the health report needs its line in sum-health.ts.
 */
import type { ForwardOptions } from '../../config/forward-options.ts'
import type { Log } from '../../log/index.ts'
import { monotonicMs } from '../../os/clock.ts'
import type { ConnectionFacts } from '../../record/shapes/control.ts'
import type { ForwarderHealth, Instance } from '../../record/shapes/forwarder-health.ts'
import type { Forwarder } from '../forwarder.ts'
import type { ForwarderEvent } from '../forwarder-events.ts'
import { SharedLimits } from '../limits/shared-limits.ts'
import type { ServedForward } from './served-forward.ts'
import { counted, sumHealth } from './sum-health.ts'
import { WorkerPool } from './worker-pool.ts'
import { workerOf } from './worker-protocol.ts'
import { WorkerRecord } from './worker-record.ts'

/** ms beyond the drain time after which workers that are still there are killed. */
const drainGraceMs = 2000

export interface WholeForwardOptions {
  readonly forward: ForwardOptions
  /** Where the workers are written down. */
  readonly workersFile: string
  readonly log: Log
  readonly event: (event: ForwarderEvent) => void
  /** Makes this process's own part of the forward. */
  readonly open: (sharing: ConstructorParameters<typeof Forwarder>[4]) => Forwarder
}

/**
 * A forward that several processes serve, seen as one. The process that is known by PID file and control socket serves like the others,
 * keeps the limits of them all, and speaks for them:
 *
 *   kernel queue -> this process          monitor, proxy-status -> control socket -> this process
 *                -> worker 1                                                         |-> worker 1   figures, probes, kills, limits,
 *                -> worker 2                                                         '-> worker 2   over a channel of its own
 */
export class WholeForward implements ServedForward {
  readonly own: Forwarder
  readonly #limits: SharedLimits
  readonly #pool: WorkerPool
  readonly #record: WorkerRecord
  readonly #bornAt = monotonicMs()
  #retired: Parameters<typeof counted>[0] | undefined

  constructor({ forward, workersFile, log, event, open }: WholeForwardOptions) {
    this.#limits = new SharedLimits(forward, event)
    this.#record = new WorkerRecord(workersFile)
    this.own = open({ idsAfter: 0, limits: this.#limits.keeper() })
    this.#pool = new WorkerPool({
      count: forward.workers - 1,
      sockets: () => this.own.sockets(),
      instances: () => this.own.instances(),
      limits: this.#limits,
      event,
      log,
      retired: (health) => {
        this.#retired = this.#retired === undefined ? health : counted(this.#retired, health)
      },
      changed: (workers) => this.#record.write(workers),
    })
  }

  /** When this process serves: nobody waits for the workers. */
  startWorkers(): void {
    this.#pool.start()
  }

  /** Writes down the workers again when that was removed; true when it was. */
  keepRecord(): boolean {
    return this.#record.keep()
  }

  get options(): ForwardOptions {
    return this.own.options
  }

  /** As of a second ago, as far as workers are concerned. */
  get openConnections(): number {
    const ofWorkers = this.#pool.lastHealth().map(({ connections }) => connections.open)
    return ofWorkers.reduce((sum, open) => sum + open, this.own.openConnections)
  }

  async health(): Promise<ForwarderHealth> {
    const workers = await this.#pool.health()
    // Only this process checks targets, so it must know what became of the others' dials.
    for (const { targets } of workers) this.own.learnTargets(targets)
    const health = sumHealth(this.own.health(), workers, this.#retired === undefined ? [] : [this.#retired])
    const { maxConnections, workers: wanted } = this.options
    const { connections, identity, draining } = health
    const limit = maxConnections > 0 ? Math.min(maxConnections, connections.limit) : connections.limit
    const full = this.#limits.isFull ? 'max-connections' : connections.full
    const { open, total } = this.own.health().connections
    const state = draining ? 'leaving' : 'serving'
    const processes = [{ number: 0, identity, state, open, total } as const, ...this.#pool.facts()]
    const serving = processes.filter(({ state: is }) => is === 'serving').length
    const warnings = [...health.warnings]
    if (!draining && serving < wanted && !this.#isYoung()) {
      warnings.push(`${serving} of ${wanted} processes serve; the others are being started`)
    }
    return {
      ...health,
      connections: { ...connections, limit, full },
      workers: { wanted, lost: this.#pool.lost, processes },
      warnings,
    }
  }

  /** As of the last question about the workers' health. */
  targets(): ForwarderHealth['targets'] {
    return this.own.targets()
  }

  instances(): readonly Instance[] | undefined {
    return this.own.instances()
  }

  /** Each process counts its own connections, and spreads them. */
  setInstances(ready: readonly Instance[]): void {
    this.own.setInstances(ready)
    this.#pool.setInstances(ready)
  }

  async connections(): Promise<readonly ConnectionFacts[]> {
    const ofWorkers = (await this.#pool.ask('connections', {})) as (readonly ConnectionFacts[])[]
    return [...this.own.connections(), ...ofWorkers.flat()].sort((one, other) => other.ageMs - one.ageMs)
  }

  async kill(which: { readonly id: number } | { readonly source: string }): Promise<number> {
    const number = 'id' in which ? workerOf(which.id) : undefined
    if (number === 0) return this.own.kill(which)
    const killed = (await this.#pool.ask('kill', { ...which }, number)) as number[]
    const own = number === undefined ? this.own.kill(which) : 0
    return killed.reduce((sum, count) => sum + count, own)
  }

  /** Resolves when every process knows: it may come to any of them. */
  async expectProbe(sourcePort: number): Promise<void> {
    this.own.expectProbe(sourcePort)
    await this.#pool.ask('expect-probe', { port: sourcePort })
  }

  sockets(): ReturnType<Forwarder['sockets']> {
    return this.own.sockets()
  }

  async reloadCertificates(): Promise<void> {
    this.#pool.command('reload')
    await this.own.reloadCertificates()
  }

  close(): void {
    this.#pool.command('close')
    this.own.close()
  }

  leaveListeners(): void {
    this.#pool.command('close')
    this.own.leaveListeners()
  }

  async drain(): Promise<void> {
    const workers = this.#pool.end('drain', this.options.drainMs + drainGraceMs)
    await Promise.all([this.own.drain(), workers])
  }

  async finish(): Promise<void> {
    await Promise.all([this.own.finish(), this.#pool.end('finish', Number.POSITIVE_INFINITY)])
  }

  stopNow(): void {
    this.#pool.command('stop')
    this.own.stopNow()
  }

  /** Leaves nothing behind, whatever happened. */
  dispose(): void {
    this.#pool.kill()
    this.own.close()
    this.#record.remove()
  }

  /** Workers may come up in their own time. */
  #isYoung(): boolean {
    return monotonicMs() - this.#bornAt < youthMs
  }
}

/** ms after the start in which it is no news that workers are still coming up. */
const youthMs = 10_000
