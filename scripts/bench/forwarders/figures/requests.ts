// Small requests and answers over connections that are kept.
import { asNginx, type Figure, type Lengths } from './figure.ts'
import { CONNECTIONS, LEAD_IN_SECONDS, web, wrk } from './web.ts'

/** Node compiles what is used most within the first seconds, on the very cores that are measured. */
const WARM_SECONDS = 5

/** A run here is so many times as long: the first moments are the scheduler's, which finds a place for three programs on two cores. */
const LENGTHS = 3

export function requests({ seconds, summaryScript }: Lengths): Figure {
  const load = (port: number, length: number) =>
    wrk(summaryScript, `http://127.0.0.1:${port}/`, CONNECTIONS, length)
  return {
    name: 'requests',
    series: [
      { id: 'requests', title: 'requests, 32 kept', unit: '/s', better: 'more', goal: asNginx },
      { id: 'requests-p50', title: 'request p50', unit: 'us', better: 'less', goal: asNginx },
      { id: 'requests-p99', title: 'request p99', unit: 'us', better: 'less', goal: asNginx },
    ],
    takes: ({ only = 'small' }) => only === 'small',
    async open(ports, folder) {
      return {
        ...(await web(ports, folder)),
        warm: async ({ port }) => {
          await load(port, WARM_SECONDS)
        },
        async measure({ port }) {
          await load(port, LEAD_IN_SECONDS)
          const got = await load(port, LENGTHS * seconds)
          return { requests: got.requests / got.seconds, 'requests-p50': got.p50, 'requests-p99': got.p99 }
        },
      }
    },
  }
}
