import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { StatusReport } from '../../src/record/shapes/status-report.ts'
import { fileNames } from '../../src/record/state-directory.ts'
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
async function statusIn(lab: Lab, stateDir: string): Promise<Status> {
  const { stdout, code } = await lab.host.run(command('proxy-status', '--state-dir', stateDir, '--json'))
  return { report: JSON.parse(stdout) as StatusReport, code }
}

/** ms after which `proxy-status` is asked again though the monitor has written nothing new: what it sees itself may have changed. */
const anotherLookMs = 1500

/**
 * Waits until `proxy-status` says what `found` looks for: it gives something, or throws what to tell when nothing comes. Each look starts a
 * program, so it is taken when there is news.
 */
export function statusUntil<T>(
  what: string,
  lab: Lab,
  stateDir: string,
  found: (now: Status) => T,
): Promise<T> {
  let seen: { readonly written: number; readonly at: number } | undefined
  return until(
    what,
    async () => {
      const written = statSync(join(stateDir, fileNames.runtimeState)).mtimeMs
      if (written === seen?.written && performance.now() < seen.at + anotherLookMs) return undefined
      seen = { written, at: performance.now() }
      return found(await statusIn(lab, stateDir))
    },
    patienceMs,
  )
}

/** Waits until the forwards are exactly these, in exactly these states. @param isWanted what must hold besides. */
export function forwardsAre(
  expected: States,
  lab: Lab,
  stateDir: string,
  isWanted: (now: Status) => boolean = () => true,
): Promise<Status> {
  return statusUntil(`the forwards to be ${JSON.stringify(expected)}`, lab, stateDir, (now) => {
    const { forwards } = now.report
    const isSo = forwards.every(({ port, state }) => expected[port] === state)
    if (isSo && forwards.length === Object.keys(expected).length && isWanted(now)) return now
    throw new Error(JSON.stringify(now, null, 2))
  })
}
