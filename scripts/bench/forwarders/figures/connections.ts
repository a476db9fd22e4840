// A connection for every request, and what the forwarder keeps of them.
import { setTimeout as sleep } from 'node:timers/promises'
import { NGINX } from '../contenders.ts'
import { memoryBytes } from '../processes.ts'
import type { Figure, Lengths } from './figure.ts'
import { KIB } from './figure.ts'
import { CONNECTIONS, web, wrk } from './web.ts'

export function connections({ seconds, summaryScript }: Lengths): Figure {
  const load = (port: number, length: number) =>
    wrk(summaryScript, `http://127.0.0.1:${port}/`, CONNECTIONS, length, ['-H', 'Connection: close'])
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
        goal: { kind: 'bound', value: 256 },
      },
    ],
    takes: ({ bulkOnly }) => !bulkOnly,
    async open(ports, folder) {
      return {
        ...(await web(ports, folder)),
        warm: async ({ port }) => {
          await load(port, 2)
        },
        async measure({ port, group }) {
          const before = group && memoryBytes(group)
          const got = await load(port, seconds)
          const rate = { connections: got.requests / got.seconds }
          if (!group || before === undefined) return rate
          await sleep(100)
          const grown = memoryBytes(group) - before
          return { ...rate, 'connections-growth': (grown / got.requests) * (10_000 / KIB) }
        },
      }
    },
  }
}
