// Usage: see USAGE below and scripts/soak.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { askControl } from '../../src/control/client.ts'
import { errorText } from '../../src/os/failure.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { fileNames } from '../../src/record/state-directory.ts'
import { table } from '../bench/forwarders/report.ts'
import { runLoad, type Tally } from './load.ts'
import { openTarget } from './target.ts'
import { grows, type Trend, trendOf } from './trend.ts'

const USAGE = 'usage: scripts/soak [--minutes 10]'

const HELP = `${USAGE}

Keeps one forwarder under its monitor at load, and samples its memory and descriptors and the monitor's.

Exit code 0 when all stay flat and every client saw what it should, 1 when not, 64 for a wrong word.
`

// Compiled into dist/scripts/soak-forward/.
const root = resolve(import.meta.dirname, '../../..')

/** The share of the time in which code gets compiled and buffers find their size. */
const warmUp = 0.25
const sampleEveryMs = 1000

interface Sample {
  readonly memoryMB: number
  readonly descriptors: number
}

interface Soaked {
  readonly monitor: ChildProcess
  readonly monitorPid: number
  readonly forwarderPid: number
  readonly port: number
  health(): Promise<ForwarderHealth>
}

async function soak(minutes: number, folder: string): Promise<boolean> {
  const target = await openTarget()
  const soaked = await startForward(folder, target.port)
  const atRest = { forwarder: sampleOf(soaked.forwarderPid), monitor: sampleOf(soaked.monitorPid) }
  const stop = new AbortController()
  const load = runLoad(soaked.port, stop.signal)
  const samples: { forwarder: Sample; monitor: Sample }[] = []
  const end = performance.now() + minutes * 60_000
  while (performance.now() < end) {
    await sleep(sampleEveryMs)
    samples.push({ forwarder: sampleOf(soaked.forwarderPid), monitor: sampleOf(soaked.monitorPid) })
  }
  stop.abort()
  const tallies = await load
  const left = await whatIsLeft(soaked, atRest.forwarder.descriptors)
  target.close()
  soaked.monitor.kill('SIGTERM')
  await once(soaked.monitor, 'exit')

  const settled = samples.slice(Math.floor(samples.length * warmUp))
  const rows = (['forwarder', 'monitor'] as const).flatMap((who) => {
    const memory = trendOf(settled.map((sample) => sample[who].memoryMB))
    const descriptors = trendOf(settled.map((sample) => sample[who].descriptors))
    return [
      { title: `${who}, memory (MB)`, trend: memory, bound: Math.max(4, 0.05 * memory.before) },
      { title: `${who}, descriptors`, trend: descriptors, bound: 4 },
    ]
  })
  process.stdout.write(`${minutes} min on Node ${process.version}, ${settled.length} samples\n\n`)
  process.stdout.write(`${loadTable(tallies)}\n\n${trendTable(rows)}\n\n${left.text}\n`)
  const failures = tallies.filter(({ failed }) => failed > 0)
  for (const { name, lastFailure } of failures) process.stdout.write(`${name}: ${lastFailure}\n`)
  return !rows.some(({ trend, bound }) => grows(trend, bound)) && failures.length === 0 && !left.isLeak
}

async function startForward(folder: string, targetPort: number): Promise<Soaked> {
  const port = await freePort()
  const configuration = join(folder, 'configuration.json')
  const forwards = [{ name: 'soaked', listen: port, target: `127.0.0.1:${targetPort}`, bind: ['127.0.0.1'] }]
  writeFileSync(configuration, JSON.stringify({ interval: '1s', forwards }))
  const program = join(root, 'dist', 'bin', 'proxy-monitor.cjs')
  const words = ['--stop-forwards', '--config', configuration, '--state-dir', folder]
  const monitor = spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'pipe', 'inherit'] })
  monitor.stdout.resume()
  const control = join(folder, fileNames.forwarderSocket(port))
  const health = async () => (await askControl(control, 'health')) as ForwarderHealth
  const deadline = performance.now() + 30_000
  for (;;) {
    try {
      const { identity, target } = await health()
      const { pid } = monitor
      // Reachable, so that neither has anything left to set up.
      if (target.state === 'reachable' && pid !== undefined)
        return { monitor, monitorPid: pid, forwarderPid: identity.pid, port, health }
    } catch (error) {
      if (performance.now() > deadline || monitor.exitCode !== null) throw error
    }
    await sleep(100)
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  return port
}

/** What a process holds of its own (not which pages of its files the kernel keeps), and how many descriptors. */
function sampleOf(pid: number): Sample {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const kilobytes = Number(/^Pss_Anon:\s+(\d+) kB/m.exec(rollup)?.[1])
  return { memoryMB: kilobytes / 1000, descriptors: readdirSync(`/proc/${pid}/fd`).length }
}

/** After the load the forwarder must be as it was before. */
async function whatIsLeft(
  { forwarderPid, health }: Soaked,
  before: number,
): Promise<{ readonly isLeak: boolean; readonly text: string }> {
  const deadline = performance.now() + 30_000
  for (;;) {
    const { connections } = await health()
    const { descriptors } = sampleOf(forwarderPid)
    // The monitor or a check of the target may hold one at the moment of a sample.
    const isLeak = connections.open > 0 || descriptors > before + 2
    if (!isLeak || performance.now() > deadline) {
      const ended = Object.entries(connections.ended).map(([code, count]) => `${code} ${count}`)
      const text =
        `Afterwards: ${connections.open} connections open, ${descriptors} descriptors (${before} before the load); ` +
        `${connections.total} connections in all, ended by code: ${ended.join(', ')}`
      return { isLeak, text }
    }
    await sleep(200)
  }
}

function loadTable(tallies: readonly Tally[]): string {
  return table(
    ['load', 'as it should be', 'not'],
    tallies.map(({ name, done, failed }) => [name, String(done), String(failed)]),
  )
}

function trendTable(rows: readonly { title: string; trend: Trend; bound: number }[]): string {
  return table(
    ['figure', 'first third', 'last third', 'growth', 'allowed', 'certainty', 'flat'],
    rows.map(({ title, trend, bound }) => [
      title,
      trend.before.toFixed(1),
      trend.after.toFixed(1),
      trend.growth.toFixed(2),
      bound.toFixed(1),
      trend.certainty.toFixed(1),
      grows(trend, bound) ? 'NO' : 'yes',
    ]),
  )
}

/** Whatever happens, the forwarder ends with this program. */
function killForwarders(folder: string): void {
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.pid'))) {
    try {
      process.kill(Number.parseInt(readFileSync(join(folder, name), 'utf8'), 10), 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
}

/** What the command line asks for; undefined, and said, when a word is wrong. */
function asked() {
  try {
    return parseArgs({
      options: { minutes: { type: 'string', default: '10' }, help: { type: 'boolean', default: false } },
    }).values
  } catch (error) {
    process.stderr.write(`soak: ${errorText(error)}\n${USAGE}\n`)
    return undefined
  }
}

async function main(): Promise<number> {
  const values = asked()
  if (values === undefined) return 64
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const minutes = Number(values.minutes)
  if (!(minutes > 0)) {
    process.stderr.write(`soak: --minutes wants a number above 0, not "${values.minutes}"\n${USAGE}\n`)
    return 64
  }
  const folder = mkdtempSync(join(tmpdir(), 'pw-soak-'))
  const cleanUp = () => {
    killForwarders(folder)
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      cleanUp()
      process.exit(1)
    })
  }
  try {
    return (await soak(minutes, folder)) ? 0 : 1
  } finally {
    cleanUp()
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`soak: ${errorText(error)}\n${USAGE}\n`)
  process.exitCode = 1
}
