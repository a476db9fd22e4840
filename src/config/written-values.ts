/** A configuration in the shape of its file, every default included: how the values that hold are shown to people. */
import { hostAndPort } from '../os/interfaces.ts'
import type { Configuration, ForwardConfiguration } from './configuration.ts'
import type { ConnectorConfiguration } from './connector-configuration.ts'
import { targetsOf } from './forward-options.ts'
import type { GatewayConfiguration } from './gateway-configuration.ts'
import { optionList } from './option-table.ts'
import type { HealthCondition, ProgramConfiguration, ReadyCondition } from './program-configuration.ts'
import { unixPath } from './values.ts'

type Keys = Readonly<Record<string, unknown>>

/** @returns as `port-watchdog.yaml` would have it, with times and sizes as texts. What is not set is left out. */
export function asWritten({
  intervalMs,
  forwards,
  programs,
  alerts,
  http,
  configChange,
  connectors,
  gateway,
}: Configuration): Keys {
  const { channels, ping, reminderMs, groupMs } = alerts
  return withUnits({
    intervalMs,
    forwards: forwards.map(forwardAsWritten),
    programs: programs.map(programAsWritten),
    alerts: { reminderMs, groupMs, channels, ping },
    http,
    configChange,
    connectors: Object.fromEntries(connectors.map((one) => [one.name, connectorAsWritten(one)])),
    gateway: gatewayAsWritten(gateway),
  }) as Keys
}

function gatewayAsWritten({ kept, ...gateway }: GatewayConfiguration): Keys {
  return { ...gateway, ...kept }
}

function forwardAsWritten({ name, options, restart, limits }: ForwardConfiguration): Keys {
  const target = targetsOf(options).map(({ host, port }) =>
    unixPath(host) === undefined ? hostAndPort(host, port) : host,
  )
  const tuned = optionList.map(({ name: option, key, specification }) => {
    const value = options[option]
    return [key, specification.kind === 'duration' ? timeText(Number(value)) : value]
  })
  const written = { name, listen: options.listenPort, ...Object.fromEntries(tuned), target, restart, limits }
  return { ...written, target: target.length === 1 ? target[0] : target }
}

function programAsWritten(program: ProgramConfiguration): Keys {
  const { ready, health, restart, stop, output, input, ordered: _ordered, ...rest } = program
  const { startTimeoutMs, killAfterMs: _, ...policy } = restart
  const { maxBytes, ...kept } = output
  return {
    ...rest,
    ready: ready && probed(ready),
    health: health && probed(health),
    readyWithin: timeText(startTimeoutMs),
    restart: policy,
    stop: { signal: stop.signal, graceMs: stop.graceMs },
    output: { maxSize: sizeText(maxBytes), ...kept },
    input: input ?? false,
  }
}

function connectorAsWritten({ transport, ...connector }: ConnectorConfiguration): Keys {
  const { kind: type, ...reached } = transport
  const { id: _id, name: _name, source: _source, tools, ...rest } = connector
  const offered = { ...tools, prefix: tools.prefix === '' ? false : tools.prefix }
  return { ...(type === 'stdio' ? {} : { type }), ...reached, ...rest, tools: offered }
}

function probed({ probe, ...rest }: ReadyCondition | HealthCondition): Keys {
  switch (probe.kind) {
    case 'port':
      return { port: probe.port, ...rest }
    case 'http':
      return { http: probe.url, ...rest }
    case 'command':
      return { command: probe.command, ...rest }
    case 'log':
      return { log: probe.pattern, ...rest }
  }
}

/** Names and values as a file has them: `backoffMs: 1000` is `backoff: 1s`. */
function withUnits(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withUnits)
  if (!isPlain(value)) return value
  const entries = Object.entries(value).flatMap(([key, one]): [string, unknown][] => {
    if (one === undefined || one === null) return []
    if (typeof one !== 'number') return [[key, withUnits(one)]]
    if (key.endsWith('Ms')) return [[key.slice(0, -2), timeText(one)]]
    if (key.endsWith('Bytes')) return [[key.slice(0, -5), sizeText(one)]]
    if (key === 'cpuPercent') return [['cpu', one === 0 ? 0 : `${one}%`]]
    return [[key, one]]
  })
  return Object.fromEntries(entries)
}

/** Keys with values, and no object of a class, such as a secret. */
export function isPlain(value: unknown): value is Keys {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

const timeUnits = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const

/** `90s`, exact, as a file may have it; 0 stays 0. */
function timeText(ms: number): string | number {
  const unit = timeUnits.find(([, size]) => ms > 0 && ms % size === 0)
  return unit === undefined ? (ms === 0 ? 0 : `${ms}ms`) : `${ms / unit[1]}${unit[0]}`
}

const sizeUnits = [
  ['G', 1024 ** 3],
  ['M', 1024 ** 2],
] as const

function sizeText(bytes: number): string | number {
  const unit = sizeUnits.find(([, size]) => bytes > 0 && bytes % size === 0)
  return unit === undefined ? (bytes === 0 ? 0 : `${bytes / 1024}K`) : `${bytes / unit[1]}${unit[0]}`
}
