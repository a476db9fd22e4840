import type { GatewayAlerts } from '../config/gateway-configuration.ts'
import type { Log } from '../log/index.ts'
import { monotonicMs } from '../os/clock.ts'
import {
  type ConnectorCondition,
  conditionInWords,
  type GatewayCondition,
  type RuleCondition,
  subjectOf,
} from '../record/shapes/gateway-conditions.ts'
import { judgeRules, nothingSeen } from './alert-rules.ts'
import type { RequestFigures } from './figures.ts'
import type { GatewayCore } from './gateway-core.ts'
import type { Upstream } from './upstream/index.ts'

interface Surroundings {
  readonly core: GatewayCore
  readonly log: Log
  /** What the configuration says, as it is now. */
  readonly alerts: () => GatewayAlerts
  readonly requests: () => RequestFigures
}

/**
 * The conditions of the gateway that need a person: connectors that fail, and alert rules about calls. The gateway logs each one, `mcp-proxy status`
 * shows it, and the monitor reads it with the gateway's health and opens an incident.
 */
export class Conditions {
  readonly #around: Surroundings
  #memory = nothingSeen
  #rules: readonly RuleCondition[] = []
  /** By subject. */
  readonly #failing = new Set<string>()

  constructor(around: Surroundings) {
    this.#around = around
  }

  /** Looks at the figures; called every few seconds. */
  look(): void {
    const { core, log, alerts, requests } = this.#around
    const reading = { at: monotonicMs(), counts: core.figures.counts(), ...requests() }
    const { memory, conditions } = judgeRules(this.#memory, reading, alerts())
    this.#memory = memory
    this.#rules = conditions
    for (const one of conditions) {
      const subject = subjectOf(one)
      const isFailing = one.condition === 'failing'
      if (isFailing === this.#failing.has(subject) || one.condition === 'unclear') continue
      if (isFailing) this.#failing.add(subject)
      else this.#failing.delete(subject)
      log[isFailing ? 'warn' : 'info']({ good: !isFailing }, conditionInWords(one))
    }
  }

  get all(): readonly GatewayCondition[] {
    const { core } = this.#around
    const connectors = core.upstreams.filter(({ state }) => state !== 'disabled')
    return [...connectors.map(connectorCondition), ...core.toolsConditions(), ...this.#rules]
  }
}

/** One that could not be started, or has died, is down for long when that goes on. */
function connectorCondition({ id, problem, restarts, connector }: Upstream): ConnectorCondition {
  const { failures, isPaused } = restarts
  const isLong = isPaused || failures >= connector.restart.failureThreshold
  const condition = problem === undefined ? 'well' : isLong ? 'failing' : 'unclear'
  return { about: 'connector', connector: id, condition, error: problem ?? null, failures, isPaused }
}
