import { setTimeout as after } from 'node:timers/promises'
import { monotonicMs, wallTime } from '../os/clock.ts'
import { localTime } from '../record/log-entry.ts'
import { renderChanges } from './render.ts'
import type { StatusReport } from './status.ts'

type Look = () => Promise<StatusReport>

export interface WatchOptions {
  readonly intervalMs: number
  /** Ends the watching. */
  readonly signal: AbortSignal
}

/** A terminal, as far as watching needs one. */
export interface Screen {
  readonly write: (text: string) => void
  /** Undefined when nobody knows. */
  readonly rows: () => number | undefined
  readonly onResize: (redraw: () => void) => void
}

/**
 * Looks until what was seen is good, or the time is over, or the signal comes.
 * @param options.timeoutMs 0 = for ever.
 * @returns the last report.
 */
export async function lookAgain(
  look: Look,
  isGood: (report: StatusReport) => boolean,
  { intervalMs, timeoutMs, signal }: WatchOptions & { readonly timeoutMs: number },
): Promise<StatusReport> {
  const deadline = timeoutMs === 0 ? Number.POSITIVE_INFINITY : monotonicMs() + timeoutMs
  for (;;) {
    const report = await look()
    const left = deadline - monotonicMs()
    if (isGood(report) || left <= 0 || signal.aborted) return report
    await pause(Math.min(intervalMs, left), signal)
  }
}

/**
 * Shows the report on a terminal again and again, each picture by one write over the one before: nothing flickers, nothing of a
 * longer one stays, and what was there before the command is still there after it.
 * @returns the exit code of the last report.
 */
export async function watchOnTerminal(
  look: Look,
  render: (report: StatusReport) => string,
  screen: Screen,
  { intervalMs, signal }: WatchOptions,
): Promise<number> {
  let last: StatusReport | undefined
  const draw = () => {
    if (last !== undefined && !signal.aborted) screen.write(frame(render(last), screen.rows()))
  }
  screen.onResize(draw)
  while (!signal.aborted) {
    last = await look()
    draw()
    await pause(intervalMs, signal)
  }
  return last?.exitCode ?? 0
}

/** A picture from the top left corner: every line cleared to its end as it is written, and all below. */
export function frame(text: string, rows: number | undefined): string {
  const lines = text.trimEnd().split('\n')
  // The last row stays free: a newline in it would scroll the picture.
  const room = rows === undefined ? lines.length : Math.max(1, rows - 1)
  const shown = lines.length > room ? [...lines.slice(0, room - 1), '…'] : lines
  return `\u001b[H${shown.map((line) => `${line}\u001b[K\n`).join('')}\u001b[J`
}

/**
 * Writes a line for everything at first and then for every change, for logs and programs.
 * @returns the exit code of the last report.
 */
export async function watchInLines(
  look: Look,
  write: (text: string) => void,
  { json, intervalMs, signal }: WatchOptions & { readonly json: boolean },
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
