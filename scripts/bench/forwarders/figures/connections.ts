// A connection for every request, and what the forwarder keeps of them.
import { type Forwarder, NGINX } from '../contenders.ts'
import { memoryBytes } from '../processes.ts'
import { summarize } from '../report.ts'
import type { Figure, Lengths } from './figure.ts'
import { KIB } from './figure.ts'
import { CONNECTIONS, LEAD_IN_SECONDS, web, wrk } from './web.ts'

/** Until code is compiled and a heap has found its size, which takes some 75,000 connections. */
const WARM_SECONDS = 12

/** A run here is so many times as long: memory at rest goes up and down by some MB, and only a longer way shows a slope beside that. */
const LENGTHS = 2

/** A forwarder at rest, between two of its runs. */
interface Rest {
  readonly served: number
  readonly memory: number
}

export function connections({ seconds, summaryScript }: Lengths): Figure {
  const rests = new Map<number, Rest[]>()
  /** Whose first rest is over: a heap takes its size in the run after it. */
  const settled = new Set<number>()
  const served = new Map<number, number>()

  async function load({ port }: Forwarder, length: number): Promise<number> {
    const url = `http://127.0.0.1:${port}/`
    const got = await wrk(summaryScript, url, CONNECTIONS, length, ['-H', 'Connection: close'])
    served.set(port, (served.get(port) ?? 0) + got.requests)
    return got.requests / got.seconds
  }

  /** Read before a run and after the last one, never straight after one: a collector gets the others' time. */
  function noteRest({ port, group }: Forwarder): readonly Rest[] {
    const noted = rests.get(port) ?? []
    if (group) noted.push({ served: served.get(port) ?? 0, memory: memoryBytes(group) })
    rests.set(port, noted)
    return noted
  }

  return {
    name: 'connections',
    series: [
      {
        id: 'connections',
        title: 'new connections',
        unit: '/s',
        better: 'more',
        goal: { kind: 'peer', name: NGINX, ratio: 0.8 },
      },
      {
        id: 'connections-growth',
        title: 'growth, 10,000 open-close',
        unit: 'KiB',
        better: 'less',
        // Two hundred bytes a connection: a forgotten pair of sockets leaves fifty times as much, and below it a
        // collector's moods are all that is seen.
        goal: { kind: 'bound', value: 2048 },
      },
    ],
    takes: ({ only = 'small' }) => only === 'small',
    async open(ports, folder) {
      return {
        ...(await web(ports, folder)),
        warm: async (forwarder) => {
          await load(forwarder, WARM_SECONDS)
        },
        async measure(forwarder) {
          const { port } = forwarder
          if (settled.has(port)) noteRest(forwarder)
          settled.add(port)
          await load(forwarder, LEAD_IN_SECONDS)
          return { connections: await load(forwarder, LENGTHS * seconds) }
        },
        finish(forwarder): Record<string, number> {
          const slopes = slopesOf(noteRest(forwarder))
          if (slopes.length === 0) return {}
          return { 'connections-growth': summarize(slopes).median * (10_000 / KIB) }
        },
      }
    },
  }
}

/** Bytes a connection between any two rests. Their median is a trend that single outliers cannot bend. */
function slopesOf(rests: readonly Rest[]): number[] {
  return rests.flatMap((from, index) =>
    rests
      .slice(index + 1)
      .filter((to) => to.served > from.served)
      .map((to) => (to.memory - from.memory) / (to.served - from.served)),
  )
}
