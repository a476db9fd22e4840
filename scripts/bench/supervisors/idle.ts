// Usage: see USAGE below and README.md one folder up.
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { readRuntimeState } from '../../../src/record/runtime-state.ts'
import { fileNames } from '../../../src/record/state-directory.ts'
import { describeMachine } from '../forwarders/machine.ts'
import { short, table } from '../forwarders/report.ts'
import { startTarget } from './client.ts'
import { ROOT, run, say, wholeNumber, writeJson } from './command.ts'
import { inFolder } from './folder.ts'
import { forwarderPid, makeForwards, stateDirectory } from './forwards.ts'
import { FEW, MANY } from './report.ts'
import { type Rest, restOf } from './stages/rest.ts'
import { OURS, post, supervisors } from './supervisors.ts'

const USAGE = `usage: scripts/bench/idle [options]
  --seconds S     seconds at rest, 60
  --forwards N    beside ${FEW}, ${MANY}
  --json FILE     where the figures go, bench-results/idle.json`

interface Figure {
  readonly title: string
  readonly unit: string
  readonly value: number | undefined
  readonly bound: number | undefined
}

/** The monitor and its forwards at rest, and how long its last round of checks took. */
async function measure(count: number, seconds: number, folder: string, target: number): Promise<Figure[]> {
  const ours = supervisors(ROOT).find(({ name }) => name === OURS)
  if (ours === undefined) throw new Error(`${OURS} is missing`)
  say(`${count} forwards at rest, ${seconds} s`)
  const own = join(folder, `${count}`)
  const one = await post(ours, await makeForwards(count, target), own, 'shipped')
  try {
    const forwarders = one.forwards.flatMap((forward) => forwarderPid(forward) ?? [])
    const [monitor, all] = await restOf([[one.pid], [one.pid, ...forwarders]], seconds)
    const figure = (title: string, unit: string, value: number | undefined, bound?: number): Figure => {
      return { title: `${title}, ${count} forwards`, unit, value, bound }
    }
    const few = (bound: number) => (count === FEW ? bound : undefined)
    const cpu = (of: Rest | undefined) => of?.cpuPercent
    return [
      figure('CPU, monitor', '% of a core', cpu(monitor), few(0.3)),
      figure('CPU, monitor and forwarders', '% of a core', cpu(all), few(1)),
      figure('memory (PSS), monitor', 'MB', monitor?.pssMB),
      figure('memory (PSS), monitor and forwarders', 'MB', all?.pssMB, few(200)),
      figure('memory (RSS), monitor and forwarders', 'MB', all?.rssMB),
      figure('first to last check of a round', 'ms', roundMs(own)),
    ]
  } finally {
    await one.stop()
  }
}

/** Every forward is checked in every round, all at once, so the span of their last checks is the round's but for its first one. */
function roundMs(folder: string): number | undefined {
  const reading = readRuntimeState(join(stateDirectory(folder), fileNames.runtimeState))
  if (reading.kind !== 'read') return undefined
  const checks = reading.state.forwards.flatMap(({ lastCheckAt }) => lastCheckAt ?? [])
  return Math.max(...checks) - Math.min(...checks)
}

function figureTable(figures: readonly Figure[]): string {
  return table(
    ['figure', 'unit', 'value', 'goal', 'met'],
    figures.map(({ title, unit, value, bound }) => {
      const isMet = bound === undefined || value === undefined ? undefined : value <= bound
      return [
        title,
        unit,
        short(value),
        bound === undefined ? '-' : `<= ${bound}`,
        isMet === undefined ? '-' : isMet ? 'yes' : 'NO',
      ]
    }),
  )
}

await run(USAGE, async () => {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      forwards: { type: 'string', default: `${MANY}` },
      json: { type: 'string', default: join(ROOT, 'bench-results/idle.json') },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(`${USAGE}\n`)
  const seconds = wholeNumber('seconds', values.seconds)
  const many = wholeNumber('forwards', values.forwards)
  const machine = describeMachine(ROOT, {})
  const target = await startTarget()
  try {
    await inFolder('bench-idle-', async (folder) => {
      const figures = await measure(FEW, seconds, folder, target.port)
      if (many !== FEW) figures.push(...(await measure(many, seconds, folder, target.port)))
      process.stdout.write(
        `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, commit ${machine.commit}\n\n`,
      )
      process.stdout.write(`${figureTable(figures)}\n`)
      writeJson(resolve(values.json), { when: new Date().toISOString(), machine, seconds, figures })
    })
  } finally {
    target.server.close()
  }
})
