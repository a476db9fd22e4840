import type { z as Zod } from 'zod'
import { hostAndPort } from '../os/interfaces.ts'
import { accessKeys, accessProblems } from './access-schema.ts'
import { alertConfiguration, alertDuplicates, alerts, channelKeys, pingKeys } from './alert-schema.ts'
import { changePermission, configChange } from './change-permission.ts'
import {
  type Configuration,
  defaultConfiguration,
  defaultIntervalMs,
  type ForwardConfiguration,
} from './configuration.ts'
import { conflictsIn, type OwnMachine } from './conflicts.ts'
import {
  connector,
  connectorConfigurations,
  connectorKeys,
  connectorProblems,
  connectors,
} from './connector-schema.ts'
import { contradictionIn } from './contradiction.ts'
import { gatewayName } from './gateway-configuration.ts'
import { gateway, gatewayConfiguration, gatewayKeys, gatewayProblems } from './gateway-schema.ts'
import { http, httpConfiguration, httpProblems } from './http-schema.ts'
import { instanceName, servedPort } from './instances.ts'
import { keyOf, type OptionSpecification, optionList, withDefaults } from './option-table.ts'
import { output, PatternFiles } from './output-schema.ts'
import { type Place, type Problem, placeText, problemsOf } from './problems.ts'
import type { ProgramConfiguration } from './program-configuration.ts'
import {
  commandProblems,
  dependencyProblems,
  instanceProblems,
  keepProblems,
  program,
  programConfiguration,
  programKeys,
  writtenProgram,
} from './program-schema.ts'
import { ptyProblems } from './pty-schema.ts'
import { referencesIn } from './references.ts'
import { count, duration, oneOrMore, port, text } from './schema-parts.ts'
import { socketProblems } from './socket-schema.ts'
import {
  type LimitsEntry,
  limits,
  type RestartEntry,
  resourceLimits,
  restart,
  restartPolicy,
} from './unit-schema.ts'
import { forwardName, parseTarget, targetProgram } from './values.ts'
import * as z from './zod.ts'

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
    .regex(forwardName, 'a name is 1 to 63 letters, digits, ".", "_" or "-"')
    .describe('its name in status, logs and alerts: 1 to 63 letters, digits, ".", "_" or "-"'),
  listen: port.describe('port to listen on'),
  restart: restart.optional().describe('how this forward is restarted'),
  limits: limits.optional().describe('memory, CPU time and open files that this forward may use'),
  ...Object.fromEntries(
    optionList.map(({ key, specification }) => [key, optionSchema(specification).optional()]),
  ),
  target: oneOrMore(z.union([z.string(), z.number()]).transform(String).pipe(text(parseTarget)))
    .refine((targets) => targets.length > 0, 'a forward needs a target')
    .describe(
      'HOST:PORT, a port of localhost, or unix:/path to connect to; of several the first that can be reached; or program:NAME for the copies of a program that are ready',
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
  restart: restart.optional().describe('how every unit is restarted, unless it has its own values'),
  limits: limits.optional().describe('limits of every unit, unless it has its own'),
  forwards: z
    .array(forward)
    .optional()
    .describe(
      'the forwards; default, when there are no programs either: ports 6274, 6275 and 6277 of the MCP Inspector, to the same ports of localhost',
    ),
  programs: z.array(program).optional().describe('programs that the monitor starts and keeps running'),
  output: output.optional().describe('what becomes of what programs print, for all of them'),
  alerts: alerts.optional().describe('where to send alerts'),
  http: http.optional().describe('the HTTP API; left out = none is served'),
  connectors: connectors
    .optional()
    .describe('MCP servers that the gateway (mcp-proxy) serves as one, by name'),
  gateway: gateway
    .optional()
    .describe(
      'the MCP gateway, which the monitor keeps running: where it serves, who may use it, and which files it reads besides',
    ),
  configChange: configChange
    .optional()
    .describe(
      'what proxy-ctl config change, agents and API keys may change in this configuration; left out = nothing',
    ),
})

/** As a person writes it. */
const written = file.extend({
  programs: z
    .array(writtenProgram)
    .optional()
    .describe(file.shape.programs.description ?? ''),
})

type ForwardEntry = Zod.output<typeof forward>

/** The JSON Schema for editors, as it is shipped in `schema/`. */
export function configurationJsonSchema(): unknown {
  return z.toJSONSchema(written, { io: 'input', target: 'draft-7' })
}

/** A configuration, or everything that is wrong with a file, in words. */
export type ParsedConfiguration =
  | { readonly ok: true; readonly value: Configuration }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/**
 * Turns what a file holds into a configuration, or says in words what is wrong and where.
 * @param machine what is this machine's, for circles of forwards.
 * @param folder of the file, in which the relative folders of programs begin.
 * @param mayRead which files that it names are read; see `ReadingRules`.
 */
export function parseConfiguration(
  value: unknown,
  machine: OwnMachine = { addresses: [], hostname: '' },
  folder = '/',
  mayRead: (file: string) => boolean = () => true,
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
    const others = problemsOf(result.error.issues, value, keysAt).filter(
      ({ place }) => !explained.has(placeText(place)),
    )
    return { ok: false, problems: [...references, ...others] }
  }
  const { forwards = [], programs = [], interval } = result.data
  const patternFiles = new PatternFiles(folder, mayRead)
  const kept = programs.map((entry, index) => {
    const output = patternFiles.configuration(
      [result.data.output, ['output']],
      [entry.output, ['programs', index, 'output']],
    )
    return programConfiguration(entry, folder, result.data, output)
  })
  const configured =
    result.data.forwards === undefined && programs.length === 0 && !hasGateway(result.data)
      ? defaultConfiguration.forwards.map((one) => withShared(one, result.data))
      : forwards.map((entry) => forwardConfiguration(entry, result.data, kept))
  const names = [
    ...nameProblems(forwards),
    ...programNameProblems(kept, configured),
    ...gatewayNameProblems(result.data.gateway !== undefined, forwards, programs),
  ]
  const problems = [
    ...references,
    ...names,
    ...patternFiles.problems,
    ...dependencyProblems(
      programs,
      configured.map(({ name }) => name),
    ),
    ...keepProblems(programs),
    ...socketProblems(programs),
    ...commandProblems(programs),
    ...instanceProblems(programs, kept),
    ...targetProblems(forwards, kept),
    ...ptyProblems(programs),
    ...contradictions(configured),
    // Of a port that is there twice that is said alone.
    ...(names.length > 0 ? [] : conflictsIn(configured, kept, machine)),
    ...alertDuplicates(result.data.alerts),
    ...httpProblems(result.data.http),
    ...connectorProblems(result.data.connectors),
    ...gatewayProblems(result.data.gateway),
    ...accessProblems(result.data.gateway?.access, authTypesOf(result.data.connectors)),
  ]
  if (problems.length > 0) return { ok: false, problems }
  return {
    ok: true,
    value: {
      intervalMs: interval ?? defaultIntervalMs,
      forwards: configured,
      programs: kept,
      alerts: alertConfiguration(result.data.alerts),
      ...(result.data.http === undefined ? {} : { http: httpConfiguration(result.data.http) }),
      connectors: connectorConfigurations(
        result.data.connectors ?? {},
        folder,
        'connectors',
        result.data.restart,
      ),
      gateway: gatewayConfiguration(result.data.gateway, folder, result.data),
      ...(result.data.configChange === undefined
        ? {}
        : { configChange: changePermission(result.data.configChange, folder) }),
    },
  }
}

function authTypesOf(connectors: Zod.output<typeof file>['connectors'] = {}) {
  return Object.fromEntries(Object.entries(connectors).map(([name, { authType }]) => [name, authType]))
}

/** A file that is about the gateway alone does not mean the forwards that there are without a file. */
function hasGateway({ connectors, gateway }: Zod.output<typeof file>): boolean {
  return connectors !== undefined || gateway !== undefined
}

function contradictions(forwards: readonly ForwardConfiguration[]): Problem[] {
  return forwards.flatMap(({ options }, index) => {
    const problem = contradictionIn(options, keyOf)
    return problem === undefined
      ? []
      : [{ place: ['forwards', index], text: `forwards[${index}]: ${problem}` }]
  })
}

/** The keys that may stand at a place. */
function keysAt(place: Place): readonly string[] {
  const at = place.findLast((step) => typeof step === 'string')
  if (place[0] === 'connectors' && place.length > 1)
    return place.length === 2 ? Object.keys(connector.shape) : (connectorKeys[String(at)] ?? [])
  if (place[0] === 'gateway' && place[1] === 'access') return accessKeys[String(at)] ?? []
  if (place[0] === 'gateway' && at !== undefined && at in gatewayKeys) return gatewayKeys[at] ?? []
  switch (at) {
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
    case 'http':
      return Object.keys(http.shape)
    case 'configChange':
      return Object.keys(configChange.shape)
    case 'channels':
      return channelKeys
    case 'ping':
      return pingKeys
    case 'connectors':
      return []
    case 'gateway':
      return Object.keys(gateway.shape)
    default:
      return programKeys[at] ?? []
  }
}

/** What `proxy-log` and `proxy-status` understand as something else. */
const reservedNames = ['monitor', 'alerts']

/** Names and ports that are there twice, and names that mean something else. */
function nameProblems(forwards: readonly ForwardEntry[]): Problem[] {
  // A name is a text and a port is a number: neither is taken for the other.
  const used = new Set<unknown>()
  return forwards.flatMap((entry, index) => {
    const at = (key: 'name' | 'listen', text: string): Problem => ({
      place: ['forwards', index, key],
      text: `forwards[${index}].${key}: ${text}`,
    })
    const [twice] = (['name', 'listen'] as const).flatMap((key) => {
      const isFirst = !used.has(entry[key])
      used.add(entry[key])
      return isFirst ? [] : [at(key, `${entry[key]} is used twice`)]
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

/** Names that are there twice, over both kinds of units, and names that mean something else. */
function programNameProblems(
  programs: readonly ProgramConfiguration[],
  forwards: readonly ForwardConfiguration[],
): Problem[] {
  return programs.flatMap((program, index) => {
    const { name } = program
    const at = (text: string): Problem[] => [
      { place: ['programs', index, 'name'], text: `programs[${index}].name: ${text}` },
    ]
    const isTwice =
      programs.findIndex((other) => other.name === name) < index || forwards.some((one) => one.name === name)
    if (isTwice) return at(`${name} is used twice; names are unique over forwards and programs`)
    if (reservedNames.includes(name.toLowerCase()))
      return at(`"${name}" means something else to proxy-status and proxy-log; take another name`)
    const others = [...programs.filter((other) => other !== program), ...forwards]
    const taken = copyNames(program).find((copy) => others.some((other) => other.name === copy))
    if (taken !== undefined)
      return at(`a copy of it may be called ${taken}, which is the name of another unit; take another name`)
    return /^\d+$/.test(name) ? at(`"${name}" reads as a port; take another name`) : []
  })
}

/** The gateway is a unit like the others, and has no other name. */
function gatewayNameProblems(
  isThere: boolean,
  forwards: readonly { readonly name: string }[],
  programs: readonly { readonly name: string }[],
): Problem[] {
  if (!isThere) return []
  const named = (list: 'forwards' | 'programs', units: readonly { readonly name: string }[]) =>
    units.flatMap(({ name }, index): Problem[] =>
      name === gatewayName
        ? [
            {
              place: [list, index, 'name'],
              text: `${list}[${index}].name: "${name}" is the MCP gateway of this file; take another name`,
            },
          ]
        : [],
    )
  return [...named('forwards', forwards), ...named('programs', programs)]
}

/** The names that its copies may have. */
function copyNames({ name, instances }: ProgramConfiguration): readonly string[] {
  return Array.from({ length: instances?.most ?? 0 }, (_, index) => instanceName(name, index + 1))
}

/** Targets that are programs: a program of that name with a port, and nothing else besides. */
function targetProblems(
  forwards: readonly ForwardEntry[],
  programs: readonly ProgramConfiguration[],
): Problem[] {
  return forwards.flatMap(({ target }, index): Problem[] => {
    const wrong = (text: string): Problem[] => [
      { place: ['forwards', index, 'target'], text: `forwards[${index}].target: ${text}` },
    ]
    const names = target.flatMap(({ host }) => targetProgram(host) ?? [])
    const [name] = names
    if (name === undefined) return []
    if (target.length > 1) return wrong(`program:${name} stands alone; leave the other targets out`)
    const program = programs.find((one) => one.name === name)
    if (program === undefined) return wrong(`there is no program "${name}"`)
    return servedPort(program) === undefined
      ? wrong(`the program ${name} has no port; give it ready: { port: 3000 }, or PORT in env`)
      : []
  })
}

/** What a file says for all its units. */
interface Shared {
  readonly restart?: RestartEntry | undefined
  readonly limits?: LimitsEntry | undefined
}

function forwardConfiguration(
  entry: ForwardEntry,
  shared: Shared,
  programs: readonly ProgramConfiguration[],
): ForwardConfiguration {
  const { name, listen, target: targets, restart: ownRestart, limits: ownLimits, ...options } = entry
  const [first = { host: 'localhost', port: listen }, ...further] = targets
  const target = further.map(({ host, port }) => hostAndPort(host, port))
  const program = programs.find(({ name }) => name === targetProgram(first.host))
  const targetPort = program === undefined ? first.port : (servedPort(program) ?? first.port)
  return {
    name,
    options: withDefaults({ listenPort: listen, targetHost: first.host, targetPort }, { ...options, target }),
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
