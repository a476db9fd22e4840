import type { z as Zod } from 'zod'
import { hostAndPort } from '../os/interfaces.ts'
import { alertConfiguration, alertDuplicates, alerts, channelKeys, pingKeys } from './alert-schema.ts'
import {
  type Configuration,
  defaultConfiguration,
  defaultIntervalMs,
  type ForwardConfiguration,
} from './configuration.ts'
import { conflictsIn, type OwnMachine } from './conflicts.ts'
import { contradictionIn } from './contradiction.ts'
import { type OptionSpecification, optionList, withDefaults } from './option-table.ts'
import { type Place, type Problem, placeText, problemsOf } from './problems.ts'
import { referencesIn } from './references.ts'
import { limitDefaults } from './resource-limits.ts'
import { restartDefaults } from './restart-policy.ts'
import { count, cpuShare, duration, memory, oneOrMore, port, text } from './schema-parts.ts'
import { parseTarget } from './values.ts'
import { z } from './zod.ts'

const restart = z.strictObject({
  failureThreshold: count.min(1).optional().describe('failures in a row after which an alert is raised'),
  backoff: duration
    .optional()
    .describe('wait before the second restart in a row, doubled for each further one'),
  backoffLimit: duration.optional().describe('longest wait between two restarts'),
  resetAfter: duration
    .optional()
    .describe('healthy time after which the waits begin again at once; 0 = at each healthy check'),
  flappingRestarts: count
    .optional()
    .describe('restarts within flappingWindow that pause restarts; 0 = never'),
  flappingWindow: duration.optional().describe('time in which flappingRestarts are counted'),
  flappingPause: duration.optional().describe('how long restarts pause once a forward is flapping'),
  startTimeout: duration
    .refine((ms) => ms > 0, 'a start takes time; give it more than 0')
    .optional()
    .describe('time allowed for a forwarder to start'),
  killAfter: duration.optional().describe('time from SIGTERM to SIGKILL for a forwarder that hangs'),
})

const limits = z.strictObject({
  memory: memory
    .optional()
    .describe('alert when all processes of a forward together use more memory, such as 256M; 0 = no limit'),
  cpu: cpuShare
    .optional()
    .describe('alert when they use more CPU time, such as 50% of one core or 200% for two; 0 = no limit'),
  action: z
    .enum(['alert', 'restart'])
    .optional()
    .describe('what to do above a limit: alert, or restart, which alerts and restarts by handover'),
})

function counted(range: readonly [least: number, most: number] | undefined): Zod.ZodNumber {
  return range === undefined ? count : count.min(range[0]).max(range[1])
}

/** The schema of one option, from the table that the command line is made from. */
function optionSchema(specification: OptionSpecification<unknown>): Zod.ZodType {
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
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is 1 to 63 letters, digits, ".", "_" or "-"')
    .describe('its name in status, logs and alerts: 1 to 63 letters, digits, ".", "_" or "-"'),
  listen: port.describe('port to listen on'),
  restart: restart.optional().describe('how this forward is restarted'),
  limits: limits.optional().describe('memory and CPU time that this forward may use'),
  ...Object.fromEntries(
    optionList.map(({ key, specification }) => [key, optionSchema(specification).optional()]),
  ),
  target: oneOrMore(z.union([z.string(), z.number()]).transform(String).pipe(text(parseTarget)))
    .refine((targets) => targets.length > 0, 'a forward needs a target')
    .describe(
      'HOST:PORT, a port of localhost, or unix:/path to connect to; of several the first that can be reached',
    ),
})

/** A round asks every forwarder and writes the state: without a pause the monitor would do nothing else. */
const shortestIntervalMs = 100

const file = z.strictObject({
  $schema: z.string().optional(),
  interval: duration
    .refine((ms) => ms >= shortestIntervalMs, 'rounds come every 100ms at most')
    .optional()
    .describe('time between two rounds of checks, at least 100ms; default 10s'),
  restart: restart.optional().describe('how every forward is restarted, unless it has its own values'),
  limits: limits.optional().describe('limits of every forward, unless it has its own'),
  forwards: z
    .array(forward)
    .optional()
    .describe(
      'the forwards; default: ports 6274, 6275 and 6277 of the MCP Inspector, to the same ports of localhost',
    ),
  alerts: alerts.optional().describe('where to send alerts'),
})

type ForwardEntry = Zod.output<typeof forward>
type RestartEntry = Zod.output<typeof restart>
type LimitsEntry = Zod.output<typeof limits>

/** The JSON Schema for editors, as it is shipped in `schema/`. */
export function configurationJsonSchema(): unknown {
  return z.toJSONSchema(file, { io: 'input', target: 'draft-7' })
}

/** A configuration, or everything that is wrong with a file, in words. */
export type ParsedConfiguration =
  | { readonly ok: true; readonly value: Configuration }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/**
 * Turns what a file holds into a configuration, or says in words what is wrong and where.
 * @param machine what is this machine's, for circles of forwards.
 */
export function parseConfiguration(
  value: unknown,
  machine: OwnMachine = { addresses: [], hostname: '' },
): ParsedConfiguration {
  if (value === undefined || value === null) {
    const least = 'forwards: [{ name: web, listen: 8080, target: "localhost:80" }]'
    const text = `it is empty; the least that works is: ${least}`
    return { ok: false, problems: [{ place: [], text }] }
  }
  const references = referencesIn(value)
  const result = file.safeParse(value)
  if (!result.success) {
    const explained = new Set(references.map(({ place }) => placeText(place)))
    const others = problemsOf(result.error.issues, value, keysAt)
      .filter(({ place }) => !explained.has(placeText(place)))
      .map(({ place, text }) => ({ place, text: inKeys(text) }))
    return { ok: false, problems: [...references, ...others] }
  }
  const { forwards = [], interval } = result.data
  const configured =
    result.data.forwards === undefined
      ? defaultConfiguration.forwards.map((one) => withShared(one, result.data))
      : forwards.map((entry) => forwardConfiguration(entry, result.data))
  const names = nameProblems(forwards)
  const problems = [
    ...references,
    ...names,
    ...contradictions(configured),
    // Of a port that is there twice that is said alone.
    ...(names.length > 0 ? [] : conflictsIn(configured, machine)),
    ...alertDuplicates(result.data.alerts),
  ]
  if (problems.length > 0) return { ok: false, problems }
  return {
    ok: true,
    value: {
      intervalMs: interval ?? defaultIntervalMs,
      forwards: configured,
      alerts: alertConfiguration(result.data.alerts),
    },
  }
}

function contradictions(forwards: readonly ForwardConfiguration[]): Problem[] {
  return forwards.flatMap(({ options }, index) => {
    const problem = contradictionIn(options)
    return problem === undefined
      ? []
      : [{ place: ['forwards', index], text: `forwards[${index}]: ${inKeys(problem)}` }]
  })
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

/** What `proxy-log` and `proxy-status` understand as something else. */
const reservedNames = ['monitor', 'alerts']

/** Names and ports that are there twice, and names that mean something else. */
function nameProblems(forwards: readonly ForwardEntry[]): Problem[] {
  return forwards.flatMap((entry, index) => {
    const at = (key: 'name' | 'listen', text: string): Problem => ({
      place: ['forwards', index, key],
      text: `forwards[${index}].${key}: ${text}`,
    })
    const [twice] = (['name', 'listen'] as const).flatMap((key) => {
      const first = forwards.findIndex((other) => other[key] === entry[key])
      return first < index ? [at(key, `${entry[key]} is used twice`)] : []
    })
    if (twice !== undefined) return [twice]
    if (reservedNames.includes(entry.name.toLowerCase())) {
      const what = 'means something else to proxy-status and proxy-log'
      return [at('name', `"${entry.name}" ${what}; take another name`)]
    }
    if (/^\d+$/.test(entry.name) && entry.name !== String(entry.listen)) {
      const what = `reads as a port, and this forward listens on ${entry.listen}`
      return [at('name', `"${entry.name}" ${what}; take another name`)]
    }
    return []
  })
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

/** A forward that no file describes, with what the file says for all. */
function withShared(forward: ForwardConfiguration, shared: Shared): ForwardConfiguration {
  return {
    ...forward,
    restart: restartPolicy(shared.restart ?? {}),
    limits: resourceLimits(shared.limits ?? {}),
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
