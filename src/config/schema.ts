import { z } from 'zod'
import { hostAndPort } from '../os/interfaces.ts'
import { alertConfiguration, alertDuplicates, alerts, channelKeys, pingKeys } from './alert-schema.ts'
import type { Configuration, ForwardConfiguration } from './configuration.ts'
import { defaultIntervalMs } from './configuration.ts'
import { contradictionIn } from './contradiction.ts'
import { type OptionSpecification, optionList, withDefaults } from './forward-options.ts'
import { inOneLine, type Place, problemsOf } from './problems.ts'
import { limitDefaults } from './resource-limits.ts'
import { restartDefaults } from './restart-policy.ts'
import { count, cpuShare, duration, memory, oneOrMore, port, text } from './schema-parts.ts'
import { type Parsed, parseTarget } from './values.ts'

const restart = z.strictObject({
  failureThreshold: count.min(1).optional().describe('failures in a row after which an alert is raised'),
  backoff: duration
    .optional()
    .describe('wait before the second restart in a row, doubled at each further one'),
  backoffLimit: duration.optional().describe('the longest wait'),
  resetAfter: duration.optional().describe('healthy time after which the back-off begins anew'),
  flappingRestarts: count
    .optional()
    .describe('restarts within flappingWindow that pause restarts; 0 = never'),
  flappingWindow: duration.optional(),
  flappingPause: duration.optional(),
  startTimeout: duration
    .refine((ms) => ms > 0, 'a start takes time; without a limit it cannot be')
    .optional()
    .describe('until a forwarder that was started must be ready'),
  killAfter: duration.optional().describe('from SIGTERM to SIGKILL for a forwarder that hangs'),
})

const limits = z.strictObject({
  memory: memory
    .optional()
    .describe('memory of all processes of a forward together, such as 256M; more is alerted; 0 = no limit'),
  cpu: cpuShare
    .optional()
    .describe('their CPU time, such as 50% of one core or 200% for two; more is alerted; 0 = no limit'),
  action: z
    .enum(['alert', 'restart'])
    .optional()
    .describe('what to do beyond a limit besides the alert: nothing, or a restart by handover'),
})

function counted(range: readonly [least: number, most: number] | undefined): z.ZodNumber {
  return range === undefined ? count : count.min(range[0]).max(range[1])
}

/** The schema of one option, from the table that the command line is made from. */
function optionSchema(specification: OptionSpecification<unknown>): z.ZodType {
  switch (specification.kind) {
    case 'duration':
      return duration.describe(specification.help)
    case 'count':
      return counted(specification.range).describe(specification.help)
    case 'flag':
      return z.boolean().describe(specification.help)
    case 'text':
      return text(specification.parse).describe(specification.help)
    case 'list':
      return oneOrMore(text(specification.parse)).describe(specification.help)
  }
}

const forward = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is 1 to 63 letters, digits, ".", "_" or "-"'),
  listen: port.describe('port to listen on'),
  restart: restart.optional(),
  limits: limits.optional(),
  ...Object.fromEntries(
    optionList.map(({ key, specification }) => [key, optionSchema(specification).optional()]),
  ),
  target: oneOrMore(text(parseTarget))
    .refine((targets) => targets.length > 0, 'a forward needs a target')
    .describe('HOST:PORT or unix:/path to connect to; of several the first that can be reached'),
})

/** A round asks every forwarder and writes the state: without a pause the monitor would do nothing else. */
const shortestIntervalMs = 100

const file = z.strictObject({
  $schema: z.string().optional(),
  interval: duration
    .refine((ms) => ms >= shortestIntervalMs, 'rounds come every 100ms at most')
    .optional()
    .describe('between two rounds of checks; default 10s'),
  restart: restart.optional().describe('for every forward that does not say otherwise'),
  limits: limits.optional().describe('for every forward that does not say otherwise'),
  forwards: z.array(forward),
  alerts: alerts.optional().describe('where incidents are told'),
})

type ForwardEntry = z.output<typeof forward>
type RestartEntry = z.output<typeof restart>
type LimitsEntry = z.output<typeof limits>

/** The JSON Schema for editors, as it is shipped in `schema/`. */
export function configurationJsonSchema(): unknown {
  return z.toJSONSchema(file, { io: 'input', target: 'draft-7' })
}

/** Turns what a file holds into a configuration, or says in words what is wrong and where. */
export function parseConfiguration(
  value: unknown,
  lineOf: (place: Place) => number | undefined = () => undefined,
): Parsed<Configuration> {
  if (value === undefined || value === null) {
    const least = 'forwards: [{ name: web, listen: 8080, target: "localhost:80" }]'
    return { ok: false, problem: `it is empty; the least that works is: ${least}` }
  }
  const result = file.safeParse(value)
  if (!result.success) {
    const problems = problemsOf(result.error.issues, value, keysAt)
    return { ok: false, problem: inKeys(inOneLine(problems, lineOf)) }
  }
  const { forwards, interval } = result.data
  const configured = forwards.map((entry) => forwardConfiguration(entry, result.data))
  const problem = duplicates(forwards) ?? contradictions(configured) ?? alertDuplicates(result.data.alerts)
  if (problem !== undefined) {
    return { ok: false, problem: inOneLine([{ place: placeOf(problem), text: problem }], lineOf) }
  }
  return {
    ok: true,
    value: {
      intervalMs: interval ?? defaultIntervalMs,
      forwards: configured,
      alerts: alertConfiguration(result.data.alerts),
    },
  }
}

function contradictions(forwards: readonly ForwardConfiguration[]): string | undefined {
  for (const [index, { options }] of forwards.entries()) {
    const problem = contradictionIn(options)
    if (problem !== undefined) return `forwards[${index}]: ${inKeys(problem)}`
  }
  return undefined
}

/** A sentence about flags of the command line, with the keys of a file in their place. */
function inKeys(problem: string): string {
  const keys = new Map(optionList.map(({ flag, key }) => [flag, key]))
  return problem.replaceAll(/--[a-z][a-z-]*[a-z]/g, (flag) => keys.get(flag) ?? flag)
}

/** The keys that may stand at a place. */
function keysAt(place: Place): readonly string[] {
  switch (place.findLast((step) => typeof step === 'string')) {
    case undefined:
      return Object.keys(file.shape)
    case 'forwards':
      return Object.keys(forward.shape)
    case 'restart':
      return Object.keys(restart.shape)
    case 'limits':
      return Object.keys(limits.shape)
    case 'alerts':
      return Object.keys(alerts.shape)
    case 'channels':
      return channelKeys
    case 'ping':
      return pingKeys
    default:
      return []
  }
}

/** The place that a sentence begins with: `forwards[1].name: …`. */
function placeOf(problem: string): Place {
  const [written = ''] = /^[\w.[\]]+/.exec(problem) ?? []
  return [...written.matchAll(/(\w+)|\[(\d+)\]/g)].map(([step]) =>
    step.startsWith('[') ? Number(step.slice(1, -1)) : step,
  )
}

function duplicates(forwards: readonly ForwardEntry[]): string | undefined {
  for (const key of ['name', 'listen'] as const) {
    const seen = new Set<unknown>()
    for (const [index, entry] of forwards.entries()) {
      if (seen.has(entry[key])) return `forwards[${index}].${key}: ${entry[key]} is there twice`
      seen.add(entry[key])
    }
  }
  return undefined
}

/** What a file says for all its forwards. */
interface Shared {
  readonly restart?: RestartEntry | undefined
  readonly limits?: LimitsEntry | undefined
}

function forwardConfiguration(entry: ForwardEntry, shared: Shared): ForwardConfiguration {
  const { name, listen, target: targets, restart: ownRestart, limits: ownLimits, ...options } = entry
  const [first = { host: 'localhost', port: listen }, ...further] = targets
  const target = further.map(({ host, port }) => hostAndPort(host, port))
  return {
    name,
    options: withDefaults(
      { listenPort: listen, targetHost: first.host, targetPort: first.port },
      { ...options, target },
    ),
    restart: restartPolicy({ ...shared.restart, ...ownRestart }),
    limits: resourceLimits({ ...shared.limits, ...ownLimits }),
  }
}

function resourceLimits({ memory, cpu, action }: LimitsEntry): ForwardConfiguration['limits'] {
  return {
    memoryBytes: memory ?? limitDefaults.memoryBytes,
    cpuPercent: cpu ?? limitDefaults.cpuPercent,
    action: action ?? limitDefaults.action,
  }
}

function restartPolicy(entry: RestartEntry): ForwardConfiguration['restart'] {
  const defaults = restartDefaults
  return {
    failureThreshold: entry.failureThreshold ?? defaults.failureThreshold,
    backoffMs: entry.backoff ?? defaults.backoffMs,
    backoffLimitMs: entry.backoffLimit ?? defaults.backoffLimitMs,
    resetAfterMs: entry.resetAfter ?? defaults.resetAfterMs,
    flappingRestarts: entry.flappingRestarts ?? defaults.flappingRestarts,
    flappingWindowMs: entry.flappingWindow ?? defaults.flappingWindowMs,
    flappingPauseMs: entry.flappingPause ?? defaults.flappingPauseMs,
    startTimeoutMs: entry.startTimeout ?? defaults.startTimeoutMs,
    killAfterMs: entry.killAfter ?? defaults.killAfterMs,
  }
}
