// Usage: see USAGE below and README.md one folder up.
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { parseArgs } from 'node:util'
import { Classifier } from '../../../src/program/output/classifier.ts'
import { compilePatterns, type LogQuery, ProgramOutput } from '../../../src/program/output/index.ts'
import { scanner } from '../../../src/program/output/scan.ts'
import { Splitter } from '../../../src/program/output/splitter.ts'
import { table } from '../forwarders/report.ts'

const USAGE = `usage: scripts/bench/lines [options]
  --lines N    lines that are given classes and kept, 1,000,000
  --reads N    how often each question is asked, 300`

const { values } = parseArgs({
  options: { lines: { type: 'string' }, reads: { type: 'string' }, help: { type: 'boolean' } },
})
if (values.help === true) {
  process.stdout.write(`${USAGE}\n`)
  process.exit(0)
}
const lineCount = Number(values.lines ?? 1_000_000)
const reads = Number(values.reads ?? 300)

/** What programs print: half of the lines match nothing. */
const mixes: Readonly<Record<string, readonly string[]>> = {
  'dev server': [
    'GET /api/items/42 200 in 5ms',
    '12:01:07 [vite] hmr update /src/App.tsx',
    'INFO request served in 12ms user=alice',
    'some words that a program prints now and then',
    'DEBUG cache hit key=abc ttl=30',
    'compiled client and server in 87 ms (912 modules)',
    'WARN slow query 120ms select * from items',
    'ERROR connect ECONNREFUSED 127.0.0.1:5432',
  ],
  'nothing matches': ['GET /api/items/42 200 in 5ms', 'some words that a program prints now and then'],
  'every line matches': ['INFO request served in 12ms user=alice', 'DEBUG cache hit key=abc ttl=30'],
  coloured: ['\u001b[32mINFO\u001b[0m request served in 12ms', '\u001b[2m12:01:07\u001b[0m GET /api 200'],
}

function chunksOf(mix: readonly string[], lines: number): Buffer[] {
  const text = Array.from(
    { length: 1000 },
    (_, index) => `${mix[index % mix.length]} ${index * 7919}\n`,
  ).join('')
  const whole = Buffer.from(text.repeat(Math.ceil(lines / 1000)))
  // As they come from a pipe, also within a line.
  const chunks: Buffer[] = []
  for (let at = 0; at < whole.length; at += 65_536) chunks.push(whole.subarray(at, at + 65_536))
  return chunks
}

const cpuMs = () => process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000

function classify(chunks: readonly Buffer[], patterns: ReturnType<typeof compilePatterns>): number {
  const scans = scanner()
  const splitter = new Splitter(scans && { scanner: scans, tables: patterns.tables })
  const classifier = new Classifier(patterns)
  const marks = new Uint8Array(65_536)
  let count = 0
  for (const chunk of chunks) {
    const lines = splitter.push(chunk)
    if (lines === undefined) continue
    classifier.classify(lines.bytes, lines.ends, lines.count, marks, lines.scan)
    count += lines.count
  }
  return count
}

function classesTable(): string {
  const own = compilePatterns({
    ready: [{ regex: 'ready on port \\d+', priority: 0 }],
    slow: [{ regex: 'slow query (\\d+)ms', priority: 1 }],
  })
  const rows = Object.entries(mixes).flatMap(([name, mix]) => {
    const chunks = chunksOf(mix, lineCount)
    return (
      [
        ['the usual', compilePatterns()],
        ['and two own', own],
      ] as const
    ).map(([which, patterns]) => {
      classify(chunks.slice(0, 100), patterns)
      const rounds = Array.from({ length: 3 }, () => {
        const before = cpuMs()
        const count = classify(chunks, patterns)
        return count / (cpuMs() - before) / 1000
      })
      return [name, which, (rounds.sort((a, b) => a - b)[1] ?? 0).toFixed(1)]
    })
  })
  return table(['lines', 'patterns', 'million a CPU second'], rows)
}

async function keep(directory: string): Promise<{ output: ProgramOutput; row: readonly string[] }> {
  const chunks = chunksOf(mixes['dev server'] ?? [], lineCount)
  const output = new ProgramOutput({
    directory,
    name: 'bench',
    maxBytes: 1 << 30,
    maxLines: lineCount * 2,
    patterns: compilePatterns(),
  })
  const stdout = new PassThrough({ highWaterMark: 1 << 20 })
  const followed = output.follow(stdout, null)
  const before = cpuMs()
  const bytes = chunks.reduce((sum, { length }) => sum + length, 0)
  for (const chunk of chunks)
    if (!stdout.write(chunk)) await new Promise((resolve) => stdout.once('drain', resolve))
  stdout.end()
  await followed
  const seconds = (cpuMs() - before) / 1000
  const { lines, lost } = output.counts()
  const speed = (bytes / 1e6 / seconds).toFixed(0)
  return { output, row: [`${lines}`, (bytes / 1e6).toFixed(0), speed, `${lost.lines}`] }
}

function readsTable(output: ProgramOutput): string {
  const { cursor } = output.read({ tail: 1 })
  const questions: Readonly<Record<string, () => LogQuery>> = {
    'the last 100': () => ({ tail: 100 }),
    'from a cursor, 32 KB': () => ({
      cursor: 1 + Math.floor(Math.random() * (cursor - 1000)),
      maxBytes: 32_000,
    }),
    'the last 100 errors': () => ({ tail: 100, class: ['error'] }),
    'the last 100 of a class that never came': () => ({ tail: 100, class: ['none'] }),
    'the last 100 with a text': () => ({ tail: 100, contains: 'ECONNREFUSED' }),
    'the last 20 that match, with 2 lines around': () => ({
      tail: 20,
      regex: 'slow query \\d+ms',
      before: 2,
      after: 2,
    }),
  }
  const rows = Object.entries(questions).map(([name, question]) => {
    const times = Array.from({ length: reads }, () => {
      const began = performance.now()
      output.read(question())
      return performance.now() - began
    }).sort((a, b) => a - b)
    const at = (share: number) => (times[Math.floor(times.length * share)] ?? 0).toFixed(2)
    return [name, at(0.5), at(0.99)]
  })
  return table(['question', 'p50 ms', 'p99 ms'], rows)
}

async function searchesTable(output: ProgramOutput): Promise<string> {
  const rows: string[][] = []
  const timed = async (name: string, ask: () => Promise<unknown>) => {
    const began = performance.now()
    await ask()
    rows.push([name, (performance.now() - began).toFixed(0)])
  }
  await timed('a text that is nowhere, in all lines', () => output.readInTurns({ contains: 'nowhere' }))
  await timed('an expression that is nowhere, in all lines', () => output.readInTurns({ regex: '[xyz]{9}$' }))
  await timed('ranked search of the newest 50,000', () =>
    output.search({ words: 'slow query items', top: 20 }),
  )
  return table(['question that reads everything, in turns', 'ms'], rows)
}

const cpuName = cpus()[0]?.model ?? 'unknown CPU'
const [load = 0] = loadavg()
const directory = mkdtempSync(join(tmpdir(), 'bench-lines-'))
try {
  process.stdout.write(`${cpuName}, Node ${process.version}, load ${load.toFixed(1)}\n\n${classesTable()}\n`)
  const before = process.memoryUsage().rss
  const { output, row } = await keep(directory)
  process.stdout.write(`${table(['lines kept', 'MB', 'MB a CPU second', 'lines lost'], [row])}\n`)
  process.stdout.write(`${readsTable(output)}\n${await searchesTable(output)}\n`)
  process.stdout.write(`memory grew by ${((process.memoryUsage().rss - before) / 1e6).toFixed(0)} MB\n`)
  output.close()
} finally {
  rmSync(directory, { recursive: true })
}
