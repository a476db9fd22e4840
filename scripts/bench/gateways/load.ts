// Load by wrk, and what it cost the process that took it.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { processCpuSeconds, runTool } from '../forwarders/processes.ts'
import { ROOT } from '../supervisors/command.ts'

const script = join(ROOT, 'scripts/bench/gateways/calls.lua')

export interface Load {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** In turns, with `@ID@` for the id. */
  readonly bodies: readonly string[]
  readonly connections: number
  readonly seconds: number
  /** Whose processor time is counted. */
  readonly pid: number
}

export interface Loaded {
  readonly callsPerSecond: number
  /** ms. */
  readonly p50: number
  readonly p99: number
  /** Microseconds of processor time for a call, of the process alone: not of its children. */
  readonly cpuMicros: number
  readonly calls: number
}

/** @throws Error when a call was not answered with 200: then there is nothing to compare. */
export async function load({ url, headers, bodies, connections, seconds, pid }: Load): Promise<Loaded> {
  const { origin, pathname } = new URL(url)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const environment = [
    `BENCH_PATH=${pathname}`,
    `BENCH_HEADERS=${lines.join('\n')}`,
    `BENCH_BODIES=${bodies.join('\n')}`,
  ]
  const words = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, origin]
  const before = processCpuSeconds(pid)
  const printed = await runTool(['env', ...environment, 'wrk', ...words], seconds + 20)
  const cpu = processCpuSeconds(pid) - before
  const summary = /^\{"requests".*\}$/m.exec(printed)?.[0]
  if (summary === undefined) throw new Error(`wrk said nothing that can be read: ${printed.slice(-300)}`)
  const {
    requests,
    seconds: took,
    p50,
    p99,
    errors,
  } = JSON.parse(summary) as Readonly<Record<'requests' | 'seconds' | 'p50' | 'p99' | 'errors', number>>
  if (errors > 0) throw new Error(`${errors} of ${requests} calls failed with ${connections} connections`)
  if (requests === 0) throw new Error(`no call was answered with ${connections} connections`)
  return {
    callsPerSecond: requests / took,
    p50: p50 / 1000,
    p99: p99 / 1000,
    cpuMicros: (cpu * 1e6) / requests,
    calls: requests,
  }
}

/** The upstream, compiled. */
export function upstreamCommand(...words: readonly string[]): readonly [string, ...string[]] {
  const file = join(ROOT, 'dist/scripts/bench/gateways/upstream-process.js')
  if (!existsSync(file)) throw new Error(`${file} is missing: the bench was not built`)
  return [process.execPath, file, ...words]
}
