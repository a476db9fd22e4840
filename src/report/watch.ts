import { setTimeout as after } from 'node:timers/promises'
import { localTime } from '../log/entry.ts'
import { monotonicMs, wallTime } from '../os/clock.ts'
import type { StatusReport } from '../record/shapes/status-report.ts'
import { renderChanges } from './render.ts'

type Look = () => Promise<StatusReport>

/** ms from the first look to the second; each further pause is twice as long, up to a second. */
const firstPauseMs = 100
const longestPauseMs = 1000

export interface LookAgainOptions {
  /** 0 = for ever. */
  readonly timeoutMs: number
  /** Ends the looking. */
  readonly signal: AbortSignal
  /** Called after every look that was not good, with how long it has been looked. */
  readonly waiting: (report: StatusReport, forMs: number) => void
}

/**
 * Looks until what was seen is good, or the time is over, or the signal comes: often at first, then every second.
 * @returns the last report.
 */
export async function lookAgain(
  look: Look,
  isGood: (report: StatusReport) => boolean,
  { timeoutMs, signal, waiting }: LookAgainOptions,
): Promise<StatusReport> {
  const begun = monotonicMs()
  const deadline = timeoutMs === 0 ? Number.POSITIVE_INFINITY : begun + timeoutMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
    const report = await look()
    const now = monotonicMs()
    if (isGood(report) || now >= deadline || signal.aborted) return report
    waiting(report, now - begun)
    await pause(Math.min(pauseMs, deadline - now), signal)
  }
}

/**
 * Writes a line for everything at first and then for every change, for logs and programs.
 * @returns the exit code of the last report.
 */
export async function watchInLines(
  look: Look,
  write: (text: string) => void,
  {
    json,
    intervalMs,
    signal,
  }: { readonly json: boolean; readonly intervalMs: number; readonly signal: AbortSignal },
): Promise<number> {
  let before: readonly string[] = []
  let code = 0
  while (!signal.aborted) {
    const report = await look()
    code = report.exitCode
    const now = renderChanges(report)
    const changed = now.filter((line) => !before.includes(line))
    const isChanged = changed.length > 0 || now.length !== before.length
    if (json && isChanged) write(`${JSON.stringify(report)}\n`)
    else if (isChanged) write(changed.map((line) => `${localTime(new Date(wallTime()))} ${line}\n`).join(''))
    before = now
    await pause(intervalMs, signal)
  }
  return code
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await after(ms, undefined, { signal }).catch(() => {})
}
