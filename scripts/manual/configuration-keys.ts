import { alertDefaults, pingDefaults } from '../../src/config/alert-options.ts'
import { defaultIntervalMs } from '../../src/config/configuration.ts'
import type { TunableOptions } from '../../src/config/forward-options.ts'
import { groupOf, optionGroups } from '../../src/config/option-groups.ts'
import { type OptionSpecification, optionList } from '../../src/config/option-table.ts'
import { limitDefaults } from '../../src/config/resource-limits.ts'
import { type RestartPolicy, restartDefaults } from '../../src/config/restart-policy.ts'
import { optionExamples, otherExamples } from './examples.ts'

/** What is read of a JSON schema. */
export interface Schema {
  readonly description?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly string[]
  readonly const?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly additionalProperties?: Schema
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
}

/** One key of the configuration file, as the manual page and docs/configuration.md show it. */
export interface Key {
  readonly key: string
  readonly meaning: string
  /** In words; empty = there is none. */
  readonly byDefault: string
  /** A value in YAML. */
  readonly example: string
}

/** Keys that stand in one place of the file. */
export interface Section {
  /** Where: empty for the top level. */
  readonly place: string
  /** Heading among the keys of that place; undefined = those that come first. */
  readonly group?: string
  readonly keys: readonly Key[]
}

/** Every key of the file, from the schema that checks it and the table of options. */
export function configurationSections(schema: Schema): Section[] {
  const {
    restart,
    limits,
    output,
    alerts,
    http,
    configChange,
    forwards,
    programs,
    connectors,
    gateway,
    $schema: _,
    ...general
  } = schema.properties ?? {}
  const forward = forwards?.items?.properties ?? {}
  const own = ['name', 'listen', 'target', 'restart', 'limits'].map((key) =>
    keyOf('forwards[]', key, forward[key]),
  )
  const options = optionGroups.map((group) => ({
    place: 'forwards[]',
    group,
    keys: optionList
      .filter(({ name, key }) => groupOf[name] === group && !own.some((one) => one.key === key))
      .map(optionKey),
  }))
  return [
    section('', {
      ...general,
      ...pick(schema, [
        'forwards',
        'programs',
        'restart',
        'limits',
        'output',
        'alerts',
        'http',
        'connectors',
        'gateway',
        'configChange',
      ]),
    }),
    { place: 'forwards[]', keys: own },
    ...options,
    ...programSections(programs?.items?.properties ?? {}),
    section('restart', restart?.properties ?? {}),
    section('limits', limits?.properties ?? {}),
    section('output', output?.properties ?? {}),
    section('http', http?.properties ?? {}),
    section('connectors', connectorKeys(connectors)),
    section('gateway', gateway?.properties ?? {}),
    section('gateway.http', proxyKeys(gateway?.properties?.http?.properties)),
    section('gateway.alerts', gateway?.properties?.alerts?.properties ?? {}),
    section('gateway.access', gateway?.properties?.access?.properties ?? {}),
    section('gateway.store', gateway?.properties?.store?.properties ?? {}),
    section('configChange', configChange?.properties ?? {}),
    ...alertSections(alerts?.properties ?? {}),
  ]
}

/** Those of one connector: the names of connectors are a person's own. */
function connectorKeys(connectors: Schema | undefined): Readonly<Record<string, Schema>> {
  return connectors?.additionalProperties?.properties ?? {}
}

/** Of `http` of the gateway what `http` of the monitor has not. */
function proxyKeys(properties: Readonly<Record<string, Schema>> = {}): Readonly<Record<string, Schema>> {
  return Object.fromEntries(Object.entries(properties).filter(([key]) => key === 'trustedProxies'))
}

/** A program, and what stands below its keys. What the top level has, too, has a section of its own. */
function programSections(program: Readonly<Record<string, Schema>>): Section[] {
  const below = Object.entries(program).flatMap(([key, { properties: only, anyOf = [] }]) => {
    const properties = only ?? anyOf.find((form) => form.properties !== undefined)?.properties
    const isOwn = properties !== undefined && !['restart', 'limits', 'output'].includes(key)
    return isOwn ? [section(`programs[].${key}`, properties)] : []
  })
  return [section('programs[]', program), ...below]
}

function pick({ properties = {} }: Schema, keys: readonly string[]): Record<string, Schema> {
  return Object.fromEntries(keys.map((key) => [key, properties[key] ?? {}]))
}

function section(place: string, properties: Readonly<Record<string, Schema>>): Section {
  return { place, keys: Object.entries(properties).map(([key, schema]) => keyOf(place, key, schema)) }
}

/** `alerts` and what stands below its keys. */
function alertSections(properties: Readonly<Record<string, Schema>>): Section[] {
  const below = Object.entries(properties).flatMap(([key, schema]) => {
    const forms = schema.items?.oneOf ?? (schema.properties === undefined ? [] : [schema])
    return forms.map((form) => {
      const kind = form.properties?.type
      const kinds = kind?.enum ?? (kind?.const === undefined ? [] : [kind.const])
      const { type: _, ...rest } = form.properties ?? {}
      return kinds.length === 0
        ? section(`alerts.${key}`, form.properties ?? {})
        : { ...section('alerts.channels[]', rest), group: `type: ${kinds.join(' or ')}` }
    })
  })
  return [section('alerts', properties), ...below]
}

function optionKey({ name, key, specification }: (typeof optionList)[number]): Key {
  const { meaning, byDefault } = splitDefault(inKeys(specification.help))
  return { key, meaning, byDefault: byDefault ?? valueInWords(specification), example: optionExamples[name] }
}

function valueInWords({ kind, default: value }: OptionSpecification<unknown>): string {
  if (kind === 'duration') return time(Number(value))
  if (kind === 'count') return String(value)
  return kind === 'flag' ? 'false' : 'none'
}

function keyOf(place: string, key: string, schema: Schema | undefined): Key {
  const path = place === '' ? key : `${place}.${key}`
  const { meaning, byDefault } = splitDefault(schema?.description ?? '')
  const example = otherExamples[path]
  if (example === undefined || meaning === '') throw new Error(`${path} has no example or no description`)
  return { key, meaning, byDefault: byDefault ?? otherDefaults[path] ?? '', example }
}

/** A text that ends with `(default: VALUE)`, `(default: VALUE; 0 = MEANING)` or `; default VALUE`. */
function splitDefault(text: string): { meaning: string; byDefault: string | undefined } {
  const [, before, value, rest = ''] = /^(.*?);? \(?default:? (.*?)(?:; (0 = [^)]*))?\)?$/s.exec(text) ?? []
  if (before === undefined || value === undefined) return { meaning: text, byDefault: undefined }
  return { meaning: rest === '' ? before : `${before}; ${rest}`, byDefault: value }
}

/** A sentence about flags of the command line, with the keys of a file in their place. */
function inKeys(text: string): string {
  const keys = new Map(optionList.map(({ flag, key }) => [flag, key]))
  return text
    .replaceAll(/--[a-z][a-z-]*[a-z]/g, (flag) => keys.get(flag) ?? flag)
    .replaceAll('TARGET_HOST', 'the host of target')
}

/** `12h`, `1m`, `250ms`: as a person writes it into the file. */
function time(ms: number): string {
  if (ms === 0) return 'off'
  for (const [unit, size] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const) {
    if (ms % size === 0) return `${ms / size}${unit}`
  }
  return `${ms}ms`
}

const otherDefaults: Readonly<Record<string, string>> = {
  interval: time(defaultIntervalMs),
  ...Object.fromEntries(
    (Object.keys(restartDefaults) as (keyof RestartPolicy)[]).map((name) => [
      `restart.${name.replace(/Ms$/, '')}`,
      name.endsWith('Ms') ? time(restartDefaults[name]) : String(restartDefaults[name]),
    ]),
  ),
  'limits.memory': limitDefaults.memoryBytes === 0 ? 'no limit' : String(limitDefaults.memoryBytes),
  'limits.cpu': limitDefaults.cpuPercent === 0 ? 'no limit' : String(limitDefaults.cpuPercent),
  'limits.openFiles': 'no limit',
  'limits.action': limitDefaults.action,
  'alerts.reminder': alertDefaults.reminderMs === 0 ? 'never' : time(alertDefaults.reminderMs),
  'alerts.group': time(alertDefaults.groupMs),
  'alerts.channels': 'none',
  'alerts.ping': 'none',
  'alerts.ping.interval': time(pingDefaults.intervalMs),
  'alerts.ping.fail': String(pingDefaults.fail),
  'alerts.channels[].secret': 'unsigned',
  'alerts.channels[].environment': 'none',
  connectors: 'none',
  gateway: 'stdio alone',
  'gateway.http': 'none',
  'gateway.http.trustedProxies': 'none',
  'gateway.import': 'none',
  'gateway.alerts': 'see below',
  'gateway.alerts.errorRate': '{ above: 0.05, for: 5m }',
  'gateway.alerts.latency': '{ above: 5s, for: 5m }',
  'gateway.alerts.inFlight': '{ above: 0.8, for: 5m }',
  'gateway.alerts.cacheHits': '{ below: 0.9, for: 15m }',
  'gateway.access': 'a key',
  'gateway.access.oauth': 'none',
  'gateway.access.profiles': 'none',
  'gateway.access.requests': '2000 at once, 1500 of one key or address',
  'gateway.store': 'files of the state directory',
  'gateway.autostart': 'true',
  'gateway.restart': 'the restart of the top level, with a startTimeout of 20s',
  'gateway.limits': 'the limits of the top level',
  'connectors.env': 'none',
  'connectors.envFile': 'none',
  'connectors.auth': 'none',
  'connectors.headers': 'none',
  'connectors.authType': 'what gateway.access says',
  'connectors.scopes': 'none',
  'connectors.toolScopes': 'none',
  'connectors.args': 'none',
  'connectors.restart': 'the restart of the top level',
  restart: 'see below',
  limits: 'none',
  alerts: 'none',
  programs: 'none',
  'programs[].env': 'none',
  'programs[].dependsOn': 'none',
  'programs[].envFile': 'none',
  'programs[].passEnv': 'none',
  'programs[].cwd': 'the folder of the file',
  'programs[].restart': 'the restart of the top level',
  'programs[].limits': 'the limits of the top level',
  'programs[].stop': 'SIGTERM, 10s',
  'programs[].output': 'the output of the top level',
  output: 'see below',
  'output.patterns': 'the usual ones alone',
  'programs[].actions': 'none',
  'programs[].socket': 'none',
  'programs[].watch': 'none',
  'programs[].watch.ignore': 'none',
  'programs[].input.allow': 'none',
  'programs[].input.deny': 'none',
  'forwards[].restart': 'the restart of the top level',
  'forwards[].limits': 'the limits of the top level',
}

/** The options that an example of one option needs beside it. */
export const companions: { readonly [Name in keyof TunableOptions]?: readonly (keyof TunableOptions)[] } = {
  gateHost: ['gate'],
  gateTokenFile: ['gate'],
  gateSessionMs: ['gate'],
  tlsCert: ['tlsKey'],
  tlsKey: ['tlsCert'],
  tlsClientCa: ['tlsCert', 'tlsKey'],
  tlsAlpn: ['tlsCert', 'tlsKey'],
  targetTlsCa: ['targetTls'],
  targetTlsName: ['targetTls'],
  targetTlsInsecure: ['targetTls'],
  targetAlpn: ['targetTls'],
}
