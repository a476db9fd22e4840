import type { StatusReport } from '../../src/report/status.ts'
import type { Lab } from './namespaces.ts'
import { until } from './tools.ts'
import { command } from './watched.ts'

/** Enough for a machine whose two cores are kept busy by other tests; reached only by a failure. */
const patienceMs = 60_000

/** The state of each forward, by its port. */
export type States = Readonly<Record<number, string>>

export interface Status {
  readonly report: StatusReport
  /** The exit code of `proxy-status`. */
  readonly code: number
}

/** What `proxy-status` says on the lab's host. */
export async function statusIn(lab: Lab, stateDir: string): Promise<Status> {
  const { stdout, code } = await lab.host.run(command('proxy-status', '--state-dir', stateDir, '--json'))
  return { report: JSON.parse(stdout) as StatusReport, code }
}

/** Waits until the forwards are exactly these, in exactly these states. */
export function forwardsAre(expected: States, lab: Lab, stateDir: string): Promise<Status> {
  return until(
    `the forwards to be ${JSON.stringify(expected)}`,
    async () => {
      const now = await statusIn(lab, stateDir)
      const { forwards } = now.report
      const isSo = forwards.every(({ port, state }) => expected[port] === state)
      if (isSo && forwards.length === Object.keys(expected).length) return now
      throw new Error(JSON.stringify(now, null, 2))
    },
    patienceMs,
  )
}
