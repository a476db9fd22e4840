// Bulk bytes and their cost: iperf3 on both sides.
import { z } from 'zod'
import { cpuSeconds, freePorts, runTool, startUntil } from '../processes.ts'
import type { Goal, Series } from '../series.ts'
import type { Figure, Lengths } from './figure.ts'

const iperfReport = z.object({
  end: z.object({ sum_received: z.object({ bytes: z.number(), bits_per_second: z.number() }) }),
})

export function bulk({ seconds }: Lengths): Figure {
  const shapes = [
    { id: 'down1', title: 'download, 1 stream', several: false, words: ['-R'] },
    { id: 'down8', title: 'download, 8 streams', several: true, words: ['-R', '-P', '8'] },
    { id: 'up1', title: 'upload, 1 stream', several: false, words: [] },
    { id: 'up8', title: 'upload, 8 streams', several: true, words: ['-P', '8'] },
  ]
  const speed: Goal = { kind: 'best', defaults: 1.5, tuned: 1.1 }
  const cost: Goal = { kind: 'best', defaults: 0.6, tuned: 1 }
  return {
    name: 'bulk',
    series: [
      ...shapes.map(
        ({ id, title, several }): Series => ({
          id,
          title,
          unit: 'GB/s',
          better: 'more',
          several,
          goal: speed,
        }),
      ),
      ...shapes.map(
        ({ id, title, several }): Series => ({
          id: `${id}-cpu`,
          title: `CPU, ${title}`,
          unit: 's/GB',
          better: 'less',
          several,
          goal: cost,
        }),
      ),
    ],
    takes: ({ only = 'bulk' }) => only === 'bulk',
    async open(ports) {
      return {
        targets: await freePorts(ports),
        warm: async ({ port }, target) => {
          await iperf(port, target, ['-n', '64M'], 10)
        },
        async measure({ port, group }, target) {
          const sample: Record<string, number> = {}
          for (const { id, words } of shapes) {
            const before = group && cpuSeconds(group)
            const received = await iperf(port, target, ['-t', `${seconds}`, ...words], seconds + 10)
            sample[id] = received.bits_per_second / 8e9
            if (group && before !== undefined) {
              sample[`${id}-cpu`] = (cpuSeconds(group) - before) / (received.bytes / 1e9)
            }
          }
          return sample
        },
        close: async () => {},
      }
    },
  }
}

/** One test with a server of its own, so that a broken one leaves nothing behind for the next. */
async function iperf(port: number, target: number, words: readonly string[], limit: number) {
  const server = await startUntil(
    ['iperf3', '-s', '-1', '--forceflush', '-B', '127.0.0.1', '-p', `${target}`],
    'Server listening',
  )
  try {
    const printed = await runTool(['iperf3', '-c', '127.0.0.1', '-p', `${port}`, '-J', ...words], limit)
    return iperfReport.parse(JSON.parse(printed)).end.sum_received
  } finally {
    await server.stop()
  }
}
