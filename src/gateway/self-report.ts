import { processOptions } from '../config/gateway-process-options.ts'
import type { LeveledLog } from '../log/pino-log.ts'
import type { RingLog } from '../log/ring-log.ts'
import { monotonicMs, wallTime } from '../os/clock.ts'
import { version } from '../os/version.ts'
import { ownIdentity } from '../process/identity.ts'
import type { GatewayHealth, GatewayIdentity } from '../record/shapes/gateway-health.ts'
import type { GatewayState } from '../record/shapes/gateway-state.ts'
import type { Conditions } from './conditions.ts'
import type { GatewayCore } from './gateway-core.ts'
import type { OpenedAccess } from './opened-access.ts'
import type { GatewayOptions } from './options.ts'
import { gatewayState } from './state-file.ts'
import type { Succession } from './succession.ts'

export interface SelfReportOptions {
  readonly options: GatewayOptions
  readonly core: GatewayCore
  readonly log: LeveledLog
  readonly ring: RingLog
  readonly conditions: Conditions
  readonly chain: () => Succession['chain']
  /** Undefined = it serves no HTTP. */
  readonly opened: OpenedAccess | undefined
  /** Where it serves HTTP; null = it does not. */
  readonly url: () => string | null
  readonly isEnding: () => boolean
}

/** What the gateway tells of itself: to who asks on its control socket, and in the state file. */
export class SelfReport {
  readonly #around: SelfReportOptions
  readonly #startedAt = wallTime()
  readonly #beganAt = monotonicMs()

  constructor(around: SelfReportOptions) {
    this.#around = around
  }

  identify(): GatewayIdentity {
    const { options, chain, isEnding } = this.#around
    return {
      role: 'gateway',
      identity: ownIdentity(),
      version,
      startedAt: this.#startedAt,
      isKept: options.reportDescriptor !== undefined,
      ...chain(),
      ...(isEnding() ? { endedBySignal: true } : {}),
    }
  }

  health(): GatewayHealth {
    const { options: started, core, conditions, opened, url } = this.#around
    const { chosen, allowNone, wanted } = started
    const options = processOptions(wanted, { connectors: chosen ?? null, allowNone })
    const { upstreams } = core
    return {
      ...this.identify(),
      uptimeMs: Math.round(monotonicMs() - this.#beganAt),
      options: JSON.stringify(options),
      url: url(),
      keyFile: opened?.access.first?.file ?? null,
      connectors: upstreams.length,
      well: upstreams.filter(({ state }) => state === 'ready' || state === 'idle').length,
      conditions: conditions.all,
    }
  }

  /** As the state file has it. */
  state(isStopped = false): GatewayState {
    const { options, core, log, ring, conditions, opened, url } = this.#around
    const facts = {
      mode: options.wanted.http === undefined ? 'stdio' : 'http',
      startedAt: this.#startedAt,
      url: url(),
      keyFile: opened?.access.first?.file ?? null,
      store: opened?.state() ?? null,
      level: log.level,
      bufferedLines: ring.count,
      problems: conditions.all.filter(({ condition }) => condition === 'failing'),
    } as const
    return gatewayState(core, facts, isStopped)
  }
}
