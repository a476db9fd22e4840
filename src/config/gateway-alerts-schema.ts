/** What `gateway:` may say of alerts about its calls. */
import type { z as Zod } from 'zod'
import { type AlertRule, type GatewayAlerts, gatewayAlertDefaults } from './gateway-configuration.ts'
import { duration } from './schema-parts.ts'
import * as z from './zod.ts'

const share = z.number().min(0).max(1)
const lasting = duration.refine((ms) => ms > 0, 'give it more than 0').optional()

/** A rule, or false = none. */
const ruleOf = <T extends Zod.ZodRawShape>(shape: T) => z.union([z.literal(false), z.strictObject(shape)])

export const alertRules = z.strictObject({
  errorRate: ruleOf({
    above: share.optional().describe('share of calls that fail; default 0.05'),
    for: lasting.describe('how long it must last; default 5m'),
  })
    .optional()
    .describe('alert when too many calls fail; false = never'),
  latency: ruleOf({
    above: duration.optional().describe('time within which 99 of 100 calls must end; default 5s'),
    for: lasting.describe('how long it must last; default 5m'),
  })
    .optional()
    .describe('alert when calls take too long; false = never'),
  inFlight: ruleOf({
    above: share.optional().describe('share of access.requests.inFlight that is used; default 0.8'),
    for: lasting.describe('how long it must last; default 5m'),
  })
    .optional()
    .describe('alert when nearly as many requests are under way as the gateway takes; false = never'),
  cacheHits: ruleOf({
    below: share.optional().describe('share of look-ups that a cache answers; default 0.9'),
    for: lasting.describe('how long it must last; default 15m'),
  })
    .optional()
    .describe('alert when a cache answers too few look-ups; false = never'),
})

/** Keys below those of `alerts`. */
export const alertRuleKeys: Readonly<Record<string, readonly string[]>> = {
  alerts: Object.keys(alertRules.shape),
  errorRate: ['above', 'for'],
  latency: ['above', 'for'],
  inFlight: ['above', 'for'],
  cacheHits: ['below', 'for'],
}

export function gatewayAlerts(given: Zod.output<typeof alertRules> = {}): GatewayAlerts {
  const usual = gatewayAlertDefaults
  const { errorRate, latency, inFlight, cacheHits } = given
  return {
    errorRate: ruleFrom(errorRate, usual.errorRate),
    latency: ruleFrom(latency, usual.latency),
    inFlight: ruleFrom(inFlight, usual.inFlight),
    cacheHits: ruleFrom(cacheHits, usual.cacheHits),
  }
}

interface RuleEntry {
  readonly above?: number | undefined
  readonly below?: number | undefined
  readonly for?: number | undefined
}

function ruleFrom(entry: RuleEntry | false | undefined, usual: AlertRule): AlertRule | null {
  if (entry === false) return null
  return { limit: entry?.above ?? entry?.below ?? usual.limit, forMs: entry?.for ?? usual.forMs }
}
