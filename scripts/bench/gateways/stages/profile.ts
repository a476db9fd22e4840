// Where the time of a call goes, by the profiler of Node, under load.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { callBody, callHeaders } from '../client.ts'
import { startOurs } from '../contenders.ts'
import { load, upstreamCommand } from '../load.ts'
import type { Field } from '../rounds.ts'

export const parts = ['access and routing', 'messages', 'other code', 'garbage', 'Node and system'] as const

export type Part = (typeof parts)[number]

export interface Profile {
  readonly calls: number
  /** Microseconds of processor time of one call. */
  readonly micros: Readonly<Record<Part, number>>
  /** The same by the source file whose code ran, or which had called it. */
  readonly bySource: Readonly<Record<string, number>>
}

/** Sources whose work is access and routing: who asks, from where, what may he see, which server does a name lead to. */
const access =
  /^src\/(gateway\/(access|views|directory|names|principal)|gateway\/face\/(http|place|limits|cors)|gateway\/oauth\/\w+|web\/[\w-]+|record\/api-keys|os\/interfaces)\.ts$/

interface Node {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

interface CpuProfile {
  /** Microseconds of the clock that only rises, as `process.hrtime` has it. */
  readonly startTime: number
  readonly nodes: readonly Node[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

export async function profile(field: Field, connections: number, seconds: number): Promise<Profile> {
  const folder = field.folder()
  const words = ['--cpu-prof', '--cpu-prof-interval', '250', '--cpu-prof-dir', folder]
  const standing = await startOurs(folder, { echo: { command: upstreamCommand() } }, words)
  const { url, tool, pid, group } = standing
  try {
    const headers = await callHeaders('legacy', standing, tool)
    const bodies = [callBody('legacy', tool)]
    const asked = { url, headers, bodies, connections, pid }
    await load({ ...asked, seconds: 2 })
    const began = monotonicMicros()
    const { calls, cpuMicros } = await load({ ...asked, seconds })
    const ended = monotonicMicros()
    process.kill(pid, 'SIGTERM')
    for (const until = performance.now() + 30_000; group.alive() && performance.now() < until; )
      await sleep(50)
    const file = readdirSync(folder).find((name) => name.endsWith('.cpuprofile'))
    if (file === undefined) throw new Error('Node wrote no profile')
    const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile
    const bySource = microsBySource(profile, began, ended)
    const micros = Object.fromEntries(parts.map((part) => [part, 0])) as Record<Part, number>
    // The profiler looks at the clock. Beside other programs much of that time is theirs, so that only the shares can be believed.
    const whole = [...bySource.values()].reduce((sum, one) => sum + one, 0)
    const each = [...bySource].map(([source, one]) => [source, (one / whole) * cpuMicros] as const)
    for (const [source, one] of each) micros[partOf(source)] += one
    return { calls, micros, bySource: Object.fromEntries(each.sort(([, a], [, b]) => b - a)) }
  } finally {
    await group.stop()
  }
}

function monotonicMicros(): number {
  return Number(process.hrtime.bigint() / 1000n)
}

const garbage = '(garbage collector)'
const others = 'Node'

function partOf(source: string): Part {
  if (source === garbage) return 'garbage'
  if (source === others) return 'Node and system'
  if (access.test(source)) return 'access and routing'
  return source.startsWith('src/gateway/') ? 'messages' : 'other code'
}

/** Between two times. A function of Node or of the engine counts for the source that has called it; but to send an answer is Node's own work. */
function microsBySource(
  { startTime, nodes, samples, timeDeltas }: CpuProfile,
  from: number,
  until: number,
): ReadonlyMap<string, number> {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const sources = new Map<number, string>()
  const visit = (id: number, inherited: string) => {
    const node = byId.get(id)
    if (node === undefined) return
    const source = sourceOf(node.callFrame) ?? inherited
    sources.set(id, source)
    for (const child of node.children ?? []) visit(child, source)
  }
  const [root] = nodes
  if (root !== undefined) visit(root.id, others)
  const total = new Map<string, number>()
  let at = startTime
  for (const [index, id] of samples.entries()) {
    at += timeDeltas[index] ?? 0
    if (at < from || at > until || byId.get(id)?.callFrame.functionName === '(idle)') continue
    const source = sources.get(id) ?? others
    total.set(source, (total.get(source) ?? 0) + (timeDeltas[index] ?? 0))
  }
  return total
}

function sourceOf({ functionName, url, lineNumber }: Node['callFrame']): string | undefined {
  if (functionName === garbage) return garbage
  if (/^node:(_http|net|internal\/(stream|timers|process\/task))/.test(url)) return others
  if (!url.includes('/dist/')) return undefined
  // A command knows itself by the folder that it was built in.
  const file = fileURLToPath(url).replace(/\/dist\/new\.\d+\//, '/dist/bin/')
  return sourcesOf(file).findLast(({ line }) => line <= lineNumber)?.source
}

const known = new Map<string, readonly { readonly line: number; readonly source: string }[]>()

/** The build puts many sources into one file, with a line before each that names it. */
function sourcesOf(file: string) {
  const found =
    known.get(file) ??
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((text, line) => {
        const source = /^\/\/ ((?:src|node_modules)\/\S+)$/.exec(text)?.[1]
        return source === undefined ? [] : [{ line, source }]
      })
  known.set(file, found)
  return found
}
