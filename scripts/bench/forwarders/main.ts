// Usage: see USAGE below and README.md one folder up.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { BEFORE, type Contender, contenders, OURS } from './contenders.ts'
import type { Figure } from './figures/figure.ts'
import { figures } from './figures.ts'
import { describeMachine } from './machine.ts'
import { killEverything } from './processes.ts'
import { judge, manyProcessesLines, matrixTable, type Row, verdictTable } from './report.ts'
import { runFigure } from './rounds.ts'

const USAGE = `usage: scripts/bench/forward [options]
  --rounds N        interleaved rounds, 5
  --seconds S       whole seconds that one loaded run lasts, 1
  --idle N          idle connections to hold, 3000
  --buffer BYTES    what "tuned" gives the peers, 262144
  --only FIGURE     bulk, requests, beside, slow, idle, connections or gate; may be repeated
  --contender NAME  only this one beside ${OURS}; may be repeated
  --ours "WORDS"    more words for ${OURS}'s command line
  --before DIR      another checkout of this project, already built: runs in the same rounds as "${BEFORE}"
  --quick           one round without the floors, about two minutes
  --json FILE       where the figures go, bench-results/forward.json`

// Compiled into dist/scripts/bench/forwarders/.
const ROOT = resolve(import.meta.dirname, '../../../..')

class UsageError extends Error {}

interface Options {
  readonly rounds: number
  readonly seconds: number
  readonly idle: number
  readonly buffer: number
  readonly only: readonly string[]
  readonly with: readonly string[]
  readonly ourArgs: readonly string[]
  readonly before: string | undefined
  readonly quick: boolean
  readonly json: string
}

/** Takes the word after an option for its value although it begins with a dash, which parseArgs does not. */
function joined(words: readonly string[], option: string): string[] {
  const at = words.indexOf(option)
  const [, value] = words.slice(at)
  if (at < 0 || value === undefined) return [...words]
  return [...words.slice(0, at), `${option}=${value}`, ...words.slice(at + 2)]
}

function readOptions(): Options | 'help' {
  const { values } = parseArgs({
    args: joined(process.argv.slice(2), '--ours'),
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string', default: '1' },
      idle: { type: 'string', default: '3000' },
      buffer: { type: 'string', default: '262144' },
      only: { type: 'string', multiple: true, default: [] },
      contender: { type: 'string', multiple: true, default: [] },
      ours: { type: 'string', default: '' },
      before: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string', default: join(ROOT, 'bench-results/forward.json') },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const number = (name: 'seconds' | 'idle' | 'buffer' | 'rounds', text: string) => {
    if (!/^[1-9]\d*$/.test(text))
      throw new UsageError(`--${name} wants a whole number above 0, not "${text}"`)
    return Number(text)
  }
  return {
    rounds: number('rounds', values.rounds ?? (values.quick ? '1' : '5')),
    seconds: number('seconds', values.seconds),
    idle: number('idle', values.idle),
    buffer: number('buffer', values.buffer),
    only: values.only,
    with: values.contender,
    ourArgs: values.ours.split(' ').filter((word) => word !== ''),
    before: values.before === undefined ? undefined : resolve(values.before),
    quick: values.quick,
    json: resolve(values.json),
  }
}

function chooseFigures(options: Options): Figure[] {
  const summaryScript = join(ROOT, 'scripts/bench/forwarders/wrk-summary.lua')
  const all = figures({ seconds: options.seconds, idle: options.idle, summaryScript })
  const unknown = options.only.find((name) => !all.some((figure) => figure.name === name))
  if (unknown)
    throw new UsageError(`--only knows ${all.map(({ name }) => name).join(', ')}; not "${unknown}"`)
  return options.only.length === 0 ? all : all.filter(({ name }) => options.only.includes(name))
}

function chooseContenders(options: Options): Contender[] {
  const { buffer, ourArgs, before } = options
  const all = contenders({ root: ROOT, buffer, ourArgs, before })
  const unknown = options.with.find((name) => !all.some((contender) => contender.name === name))
  if (unknown)
    throw new UsageError(`--contender knows ${all.map(({ name }) => name).join(', ')}; not "${unknown}"`)
  if (options.with.length > 0)
    return all.filter(({ name, kind }) => kind === 'ours' || name === BEFORE || options.with.includes(name))
  return options.quick ? all.filter(({ name, kind }) => kind !== 'floor' || name === BEFORE) : all
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`)
}

/** Returns whether ours has a value in every figure. */
async function bench(options: Options, folder: string): Promise<boolean> {
  const chosen = chooseFigures(options)
  const everybody = chooseContenders(options)
  const machine = describeMachine(ROOT)
  const began = performance.now()
  if (machine.loadBefore > 0.5)
    say(`load ${machine.loadBefore.toFixed(1)}: other programs run, so the figures will vary`)

  const groups: { figure: Figure; rows: readonly Row[] }[] = []
  const failures: string[] = []
  for (const figure of chosen) {
    const home = join(folder, figure.name)
    mkdirSync(home)
    const result = await runFigure(figure, everybody, options.rounds, home, say)
    groups.push({ figure, rows: result.rows })
    failures.push(...result.failures)
  }

  const minutes = (performance.now() - began) / 60_000
  const rows = groups.flatMap((group) => group.rows)
  const verdicts = rows.map((row) => judge(row, everybody))
  const { versions, ...place } = machine
  const lines = [
    `${place.cpu}, ${place.cores} cores, ${place.memoryGiB} GiB, Linux ${place.kernel}, Node ${place.node}, commit ${place.commit}`,
    Object.entries(versions)
      .map(([tool, version]) => `${tool} ${version}`)
      .join(', '),
    `medians of ${options.rounds} rounds, ${options.seconds} s a run, tuned = ${options.buffer} bytes of buffer, ${minutes.toFixed(1)} minutes, load before ${place.loadBefore.toFixed(1)}`,
    '',
    verdictTable(verdicts),
    ...manyProcessesLines(verdicts),
    ...groups.map(
      (group) => `\n${group.figure.name}: median (least..most)\n${matrixTable(group.rows, everybody)}`,
    ),
    ...failures.map((why) => `\nfailed: ${why}`),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)

  mkdirSync(dirname(options.json), { recursive: true })
  const { json, ...settings } = options
  const results = rows.map(({ series, by }) => ({ ...series, contenders: Object.fromEntries(by) }))
  writeFileSync(
    json,
    `${JSON.stringify({ when: new Date().toISOString(), machine, settings, verdicts, results, failures }, undefined, 2)}\n`,
  )
  say(`wrote ${json}`)
  return groups.every((group) => group.rows.some(({ by }) => by.has(OURS)))
}

async function main(): Promise<number> {
  const options = readOptions()
  if (options === 'help') {
    process.stdout.write(`${USAGE}\n`)
    return 0
  }
  const folder = mkdtempSync(join(tmpdir(), 'bench-forward-'))
  const cleanUp = () => {
    killEverything()
    rmSync(folder, { recursive: true, force: true })
  }
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.once(signal, () => {
      cleanUp()
      process.exit(code)
    })
  }
  try {
    return (await bench(options, folder)) ? 0 : 1
  } finally {
    cleanUp()
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  const wrongWords =
    error instanceof UsageError ||
    (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
  if (wrongWords) process.stderr.write(`bench: ${error.message}\n${USAGE}\n`)
  else
    process.stderr.write(
      `bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
  process.exitCode = 1
}
