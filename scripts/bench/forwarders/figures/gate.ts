// HTTP behind a login: the gate beside a plain forward, and nginx that asks another server about each request (auth_request).
import { GATE_TOKEN, NGINX, PLAIN } from '../contenders.ts'
import type { Figure, Lengths } from './figure.ts'
import { LEAD_IN_SECONDS, web, wrk } from './web.ts'

/** As many as a few browsers keep. */
const CONNECTIONS = 16

/** Node compiles what is used most within the first seconds, on the very cores that are measured. */
const WARM_SECONDS = 5

const AUTHORIZATION = ['-H', `Authorization: Bearer ${GATE_TOKEN}`]

export function gate({ seconds, summaryScript }: Lengths): Figure {
  const load = async (port: number, file: string, length: number) => {
    const url = `http://127.0.0.1:${port}/${file}`
    const got = await wrk(summaryScript, url, CONNECTIONS, length, AUTHORIZATION)
    return got.requests / got.seconds
  }
  return {
    name: 'gate',
    series: [
      {
        id: 'gate-large',
        title: 'gate, 300 kB',
        unit: '/s',
        better: 'more',
        goal: { kind: 'peer', name: PLAIN, ratio: 0.5 },
      },
      {
        id: 'gate-small',
        title: 'gate, 200 bytes',
        unit: '/s',
        better: 'more',
        goal: { kind: 'peer', name: NGINX, ratio: 1 },
      },
    ],
    isGated: true,
    takes: ({ gated }) => gated !== undefined,
    async open(ports, folder) {
      return {
        ...(await web(ports, folder)),
        warm: async ({ port }) => {
          await load(port, 'small', WARM_SECONDS)
          await load(port, 'large', WARM_SECONDS)
        },
        async measure({ port }) {
          await load(port, 'large', LEAD_IN_SECONDS)
          const large = await load(port, 'large', seconds)
          return { 'gate-large': large, 'gate-small': await load(port, 'small', seconds) }
        },
      }
    },
  }
}
