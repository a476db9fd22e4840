// Usage: see USAGE below and README.md one folder up.
import { openSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { describeMachine } from '../forwarders/machine.ts'
import { short, summarize, table } from '../forwarders/report.ts'
import { ROOT, run, say, UsageError, wholeNumber, writeJson } from '../supervisors/command.ts'
import { inFolder } from '../supervisors/folder.ts'
import type { Rest } from '../supervisors/stages/rest.ts'
import { type Asked, asks } from './asks.ts'
import { type Keeper, keepers, OURS } from './keepers.ts'
import { type Captured, capture, kills, ownStart, rest } from './stages.ts'

const STAGES = ['kills', 'rest', 'output', 'asks'] as const
type Stage = (typeof STAGES)[number]

const USAGE = `usage: scripts/bench/keeping [options]
  --kills N       kills of each program, 30
  --programs N    programs at rest, and beside those that are asked about, 200
  --rest S        seconds to watch each at rest, 30
  --megabytes N   printed by one program; may be repeated; 100 and 1000
  --lines N       megabytes printed with a write for each line; may be repeated; 20
  --only NAME     only this one; may be repeated
  --stage STAGE   only this one of ${STAGES.join(', ')}; may be repeated
  --json FILE     where the figures go, bench-results/keeping.json`

function readOptions() {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '30' },
      programs: { type: 'string', default: '200' },
      rest: { type: 'string', default: '30' },
      megabytes: { type: 'string', multiple: true, default: ['100', '1000'] },
      lines: { type: 'string', multiple: true, default: ['20'] },
      only: { type: 'string', multiple: true, default: [] },
      stage: { type: 'string', multiple: true, default: [] },
      json: { type: 'string', default: join(ROOT, 'bench-results/keeping.json') },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const unknown = values.stage.find((name) => !STAGES.some((stage) => stage === name))
  if (unknown) throw new UsageError(`--stage knows ${STAGES.join(', ')}; not "${unknown}"`)
  const chosen = STAGES.filter((stage) => values.stage.includes(stage))
  return {
    kills: wholeNumber('kills', values.kills),
    programs: wholeNumber('programs', values.programs),
    rest: wholeNumber('rest', values.rest),
    megabytes: values.megabytes.map((text) => wholeNumber('megabytes', text)),
    lines: values.lines.map((text) => wholeNumber('lines', text)),
    only: values.only,
    stages: chosen.length === 0 ? STAGES : chosen,
    json: resolve(values.json),
  }
}

type Options = Exclude<ReturnType<typeof readOptions>, 'help'>

/** What was measured of one keeper; a reason where it failed. */
interface Findings {
  kills?: readonly number[]
  rest?: Rest
  output: Record<string, Captured>
  asks?: Readonly<Record<string, Asked>>
  readonly failures: string[]
}

const lineBytes = 100

/** Numbered lines as a dev server prints them, `megabytes` of 10^6 bytes. @returns the last one. */
function writeText(file: string, megabytes: number): string {
  const count = (megabytes * 1_000_000) / lineBytes
  const opened = openSync(file, 'w')
  let last = ''
  for (let at = 0; at < count; at += 10_000) {
    const lines = Array.from({ length: Math.min(10_000, count - at) }, (_, index) => {
      last = `line ${at + index + 1} of ${count}: GET /api/items/${index} 200 in ${index % 90}ms`.padEnd(
        lineBytes - 1,
        '.',
      )
      return last
    })
    writeSync(opened, `${lines.join('\n')}\n`)
  }
  return last
}

/** What is printed: whole files in large writes, and as most programs print, each line by itself. */
function printed({ megabytes, lines }: Options) {
  return [
    ...megabytes.map((size) => ({ title: `${size} MB of output`, megabytes: size, words: ['cat'] })),
    ...lines.map((size) => ({
      title: `${size} MB, a write for each line`,
      megabytes: size,
      words: ['grep', '--line-buffered', '.'],
    })),
  ]
}

async function measure(
  stage: Stage,
  keeper: Keeper,
  found: Findings,
  options: Options,
  place: { readonly folder: string; readonly next: () => string },
): Promise<void> {
  if (stage === 'kills' && keeper.restarts)
    found.kills = await kills(keeper, ROOT, place.next(), options.kills)
  if (stage === 'rest') found.rest = await rest(keeper, place.next(), options.programs, options.rest)
  if (stage === 'output') {
    for (const { megabytes, words, title } of printed(options)) {
      const text = join(place.folder, `${megabytes}.txt`)
      const last = writeText(text, megabytes)
      found.output[title] = await capture(keeper, place.next(), [...words, text], last)
    }
  }
  if (stage === 'asks' && keeper.name === OURS) {
    const lines = Math.ceil(1_000_000 / options.programs)
    // Of fewer, one collection of garbage decides the p99.
    found.asks = await asks(keeper, ROOT, place.next(), options.programs, lines, 1000)
  }
}

async function bench(options: Options, folder: string): Promise<void> {
  const all = keepers(ROOT)
  const unknown = options.only.find((name) => !all.some((one) => one.name === name))
  if (unknown)
    throw new UsageError(`--only knows ${all.map(({ name }) => name).join(', ')}; not "${unknown}"`)
  const chosen = all.filter(({ name }) => options.only.length === 0 || options.only.includes(name))
  const field = chosen.filter(({ missing }) => missing === undefined)
  const machine = describeMachine(ROOT, {
    supervisord: ['supervisord', '--version'],
    foreman: ['foreman', '--version'],
    pm2: [process.execPath, '-p', `require('${ROOT}/.cache/pm2/node_modules/pm2/package.json').version`],
  })
  if (machine.loadBefore > 0.5)
    say(`load ${machine.loadBefore.toFixed(1)}: other programs run, so the figures will vary`)
  let count = 0
  const next = () => join(folder, `${++count}`)
  const findings = new Map<string, Findings>(field.map(({ name }) => [name, { output: {}, failures: [] }]))
  const own = options.stages.includes('kills') ? await ownStart(ROOT, folder, 20) : []
  for (const stage of options.stages) {
    for (const keeper of field) {
      say(`${stage}: ${keeper.name}`)
      const found = findings.get(keeper.name)
      if (found === undefined) continue
      try {
        await measure(stage, keeper, found, options, { folder, next })
      } catch (error) {
        const why = `${stage}: ${error instanceof Error ? error.message : error}`
        found.failures.push(why)
        say(`FAILED ${keeper.name}: ${why}`)
      }
    }
  }
  const { versions, ...place } = machine
  const { json, ...settings } = options
  const lines = [
    `${place.cpu}, ${place.cores} cores, ${place.memoryGiB} GiB, Linux ${place.kernel}, Node ${place.node}, commit ${place.commit}`,
    Object.entries(versions)
      .map(([tool, version]) => `${tool} ${version}`)
      .join(', '),
    `load before ${place.loadBefore.toFixed(1)}; in brackets ours divided by theirs`,
    '',
    table(['figure', 'unit', ...field.map(({ name }) => name)], rowsOf(findings, own, options)),
    ...chosen.flatMap(({ name, missing }) =>
      missing === undefined ? [] : [`\nnot here: ${name}: ${missing}`],
    ),
    ...[...findings].flatMap(([name, { failures }]) => failures.map((why) => `\nfailed: ${name}: ${why}`)),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  writeJson(json, {
    when: new Date().toISOString(),
    machine,
    settings,
    ownStartMs: own,
    findings: Object.fromEntries(findings),
  })
}

/** A line for each figure, a column for each keeper; less is better in all of them but the speed. */
function rowsOf(
  findings: ReadonlyMap<string, Findings>,
  own: readonly number[],
  options: Options,
): string[][] {
  const ours = findings.get(OURS)
  const row = (title: string, unit: string, of: (found: Findings) => number | undefined): string[][] => {
    const values = [...findings].map(([name, found]) => ({ name, value: of(found) }))
    if (values.every(({ value }) => value === undefined)) return []
    const mine = ours && of(ours)
    const cell = ({ name, value }: { name: string; value: number | undefined }) => {
      const isRatio = name !== OURS && value !== undefined && mine !== undefined && value > 0
      return `${short(value)}${isRatio ? ` (${short(mine / value)}x)` : ''}`
    }
    return [[title, unit, ...values.map(cell)]]
  }
  const middle = (values: readonly number[] | undefined) => values && summarize(values).median
  return [
    ...row('kill -9 to served, median', 'ms', ({ kills }) => middle(kills)),
    ...row('... the most', 'ms', ({ kills }) => kills && summarize(kills).max),
    ...row('... less the app’s own start', 'ms', ({ kills }) => {
      return kills && summarize(kills).median - summarize(own).median
    }),
    ...row(`CPU at rest, ${options.programs} programs`, '%', ({ rest }) => rest?.cpuPercent),
    ...row(`memory (PSS), ${options.programs} programs`, 'MB', ({ rest }) => rest?.pssMB),
    ...printed(options).flatMap(({ megabytes, title }) => [
      ...row(`CPU for ${title}`, 's', ({ output }) => output[title]?.cpuSeconds),
      ...row(`... speed`, 'MB/s', ({ output }) => {
        const one = output[title]
        return one && megabytes / one.seconds
      }),
      ...row(`... growth of memory`, 'MB', ({ output }) => output[title]?.grownMB),
    ]),
    ...Object.keys(ours?.asks ?? {}).map((order) => {
      const asked = ours?.asks?.[order]
      const times = `${short(asked?.p50)} / ${short(asked?.p99)} / ${short(asked?.cpuMs)}`
      return [`${order}, p50 / p99 / CPU`, 'ms', times]
    }),
  ]
}

await run(USAGE, async () => {
  const options = readOptions()
  if (options === 'help') process.stdout.write(`${USAGE}\n`)
  else await inFolder('bench-programs-', (folder) => bench(options, folder))
})
