// Small requests, one after the other, beside eight streams that take all they can: who is fast must not make others wait.
import { setTimeout as sleep } from 'node:timers/promises'
import { asNginx, type Figure, type Lengths } from './figure.ts'
import { web, wrk } from './web.ts'

const STREAMS = 8

/** Until the streams have come to their speed, in ms. */
const HEAD_START_MS = 500

export function beside({ seconds, summaryScript }: Lengths): Figure {
  async function load(port: number) {
    const streams = wrk(summaryScript, `http://127.0.0.1:${port}/file`, STREAMS, seconds + 1)
    await sleep(HEAD_START_MS)
    const small = await wrk(summaryScript, `http://127.0.0.1:${port}/`, 1, seconds)
    const { bytes, seconds: took } = await streams
    return { 'beside-p50': small.p50, 'beside-p99': small.p99, 'beside-speed': bytes / took / 1e9 }
  }

  return {
    name: 'beside',
    series: [
      { id: 'beside-p50', title: 'request p50 beside 8 streams', unit: 'us', better: 'less', goal: asNginx },
      { id: 'beside-p99', title: 'request p99 beside 8 streams', unit: 'us', better: 'less', goal: asNginx },
      {
        id: 'beside-speed',
        title: 'their speed',
        unit: 'GB/s',
        better: 'more',
        several: true,
        goal: asNginx,
      },
    ],
    takes: ({ only }) => only === undefined,
    async open(ports, folder) {
      return {
        ...(await web(ports, folder)),
        warm: async ({ port }) => {
          await load(port)
        },
        measure: ({ port }) => load(port),
      }
    },
  }
}
