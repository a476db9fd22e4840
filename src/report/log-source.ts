import { readdirSync } from 'node:fs'
import path from 'node:path'
import { exitCode, Failure } from '../os/failure.ts'
import { readRuntimeState } from '../record/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'

/** One log: whose it is, and its current file. Older parts lie beside it as FILE.1, FILE.2 (or FILE.2.gz), … */
export interface LogSource {
  readonly name: string
  /** The forward's port; undefined for the monitor and the gateway. */
  readonly port: number | undefined
  readonly file: string
}

/** The name under which the monitor's own log is asked for. */
export const monitorSource = 'monitor'

/** The name under which that of the MCP gateway is. */
export const gatewaySource = 'gateway'

/** Every log there is in a state directory: the monitor's first, then the gateway's, then the forwards' by port. */
export function logSources(stateDirectory: string): LogSource[] {
  const names = forwardNames(stateDirectory)
  const files = new Set(list(stateDirectory).map((file) => file.replace(/(?:\.\d+(?:\.gz)?)$/, '')))
  const sources: LogSource[] = []
  if (files.has(fileNames.monitorLog)) sources.push(source(stateDirectory, monitorSource, undefined))
  if (files.has(fileNames.gatewayLog))
    sources.push({
      name: gatewaySource,
      port: undefined,
      file: path.join(stateDirectory, fileNames.gatewayLog),
    })
  const ports = [...files].flatMap((file) => portOf(file) ?? []).sort((a, b) => a - b)
  return [...sources, ...ports.map((port) => source(stateDirectory, names.get(port) ?? String(port), port))]
}

/**
 * The logs that a name or a port asks for; undefined asks for all.
 * @throws Failure (64) that names what there is, when there is no such log.
 */
export function chooseSources(all: readonly LogSource[], asked: string | undefined): readonly LogSource[] {
  if (asked === undefined) return all
  const chosen = all.filter(({ name, port }) => name === asked || String(port) === asked)
  if (chosen.length > 0) return chosen
  const known = all.map(({ name, port }) =>
    port === undefined || name === String(port) ? name : `${name} (${port})`,
  )
  const what = known.length === 0 ? 'there are no logs yet' : `there are ${known.join(', ')}`
  throw new Failure(`no log of "${asked}"; ${what}`, exitCode.usage)
}

function source(stateDirectory: string, name: string, port: number | undefined): LogSource {
  const file = port === undefined ? fileNames.monitorLog : fileNames.forwarderLog(port)
  return { name, port, file: path.join(stateDirectory, file) }
}

function portOf(file: string): number | undefined {
  const port = /^tcp_proxy_(\d+)\.log$/.exec(file)?.[1]
  return port === undefined ? undefined : Number(port)
}

function forwardNames(stateDirectory: string): Map<number, string> {
  const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
  if (reading.kind !== 'read') return new Map()
  return new Map(reading.state.forwards.map(({ port, name }) => [port, name]))
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
