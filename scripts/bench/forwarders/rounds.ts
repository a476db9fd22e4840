// Runs one figure with everybody: all are started, then measured in turn, round after round.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Contender, type Forwarder, startForwarder } from './contenders.ts'
import type { Figure, Site } from './figures/figure.ts'
import { type Row, summarize } from './report.ts'
import type { Sample } from './series.ts'

/** A contender's place in the figure. */
interface Seat {
  readonly contender: Contender
  readonly target: number
  readonly folder: string
  readonly samples: Sample[]
  forwarder: Forwarder | undefined
  starts: number
  failures: number
}

/** One failure may be chance and costs a round; after the second the contender is left out of this figure. */
const FAILURES_ALLOWED = 1

export interface Outcome {
  readonly rows: readonly Row[]
  readonly failures: readonly string[]
}

export async function runFigure(
  figure: Figure,
  everybody: readonly Contender[],
  rounds: number,
  folder: string,
  say: (text: string) => void,
): Promise<Outcome> {
  const field = everybody.filter((contender) => figure.takes(contender))
  const site = await figure.open(field.length, folder)
  const seats = field.map((contender, index) => seat(contender, site, index, folder))
  const { isGated = false } = figure
  const failures: string[] = []

  async function attempt(of: Seat, work: () => Promise<void>): Promise<void> {
    if (of.failures > FAILURES_ALLOWED) return
    try {
      await work()
    } catch (error) {
      of.failures += 1
      const why = `${figure.name}, ${of.contender.name}: ${error instanceof Error ? error.message : String(error)}`
      failures.push(why)
      say(`FAILED ${why}`)
    }
  }

  try {
    if (!figure.fresh) {
      say(`${figure.name}, warming up`)
      for (const one of seats) {
        await attempt(one, async () => site.warm?.(await standing(one, isGated), one.target))
      }
    }
    for (let round = 0; round < rounds; round++) {
      say(`${figure.name}, round ${round + 1} of ${rounds}`)
      for (const one of turned(seats, round)) {
        await attempt(one, async () => {
          one.samples.push(await site.measure(await standing(one, isGated), one.target))
        })
        if (figure.fresh) await leave(one)
      }
    }
    for (const one of seats) {
      const { forwarder } = one
      if (forwarder && site.finish) one.samples.push(site.finish(forwarder))
    }
  } finally {
    for (const one of seats) await leave(one)
    await site.close()
  }
  return { rows: rowsOf(figure, seats), failures }
}

function seat(contender: Contender, site: Site, index: number, folder: string): Seat {
  const target = site.targets[index]
  if (target === undefined) throw new Error(`no target port for ${contender.name}`)
  const own = join(folder, `seat-${index}`)
  return { contender, target, folder: own, samples: [], forwarder: undefined, starts: 0, failures: 0 }
}

/** The seat's forwarder, started when there is none or when it died. */
async function standing(one: Seat, isGated: boolean): Promise<Forwarder> {
  if (one.forwarder?.group && !one.forwarder.group.alive()) await leave(one)
  if (one.forwarder === undefined) {
    one.starts += 1
    const home = join(one.folder, `${one.starts}`)
    // Ours takes no state directory that others can enter.
    mkdirSync(home, { recursive: true, mode: 0o700 })
    one.forwarder = await startForwarder(one.contender, one.target, home, isGated)
  }
  return one.forwarder
}

async function leave(one: Seat): Promise<void> {
  await one.forwarder?.group?.stop()
  one.forwarder = undefined
}

/** Who runs first, or after a heavy neighbour, is another one in every round. */
function turned<T>(all: readonly T[], by: number): T[] {
  const start = by % all.length
  return [...all.slice(start), ...all.slice(0, start)]
}

function rowsOf(figure: Figure, seats: readonly Seat[]): Row[] {
  return figure.series.map((series) => {
    const by = seats.flatMap(({ contender, samples }) => {
      const values = samples.flatMap((sample) => sample[series.id] ?? [])
      return values.length === 0 ? [] : [[contender.name, summarize(values)] as const]
    })
    return { series, by: new Map(by) }
  })
}
