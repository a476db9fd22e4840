import { printable } from '../os/printable.ts'
import { stateWord } from './render-table.ts'
import type { ForwardStatus, StatusReport } from './status.ts'
import { type Output, widthOf } from './terminal.ts'
import { cut } from './text.ts'

/** What can be waited for: `running` = every forward accepts connections, `healthy` = they get through to its target too. */
export const waitGoals = ['running', 'healthy'] as const
export type WaitGoal = (typeof waitGoals)[number]

/** Exit code when the time is over, as of timeout(1). */
export const timedOut = 124

/** True when a monitor runs and every forward is so; one that somebody wants down is not waited for, unless it is the only one. */
export function isReached(goal: WaitGoal, report: StatusReport): boolean {
  const wanted = report.forwards.filter(({ state }) => state !== 'down')
  const isWatched = report.monitor.state === 'RUNNING'
  return isWatched && wanted.length > 0 && wanted.every((forward) => meets(goal, forward))
}

/** In words: what keeps it from being so. */
export function whatIsMissing(goal: WaitGoal, report: StatusReport): string {
  const { monitor, forwards } = report
  if (monitor.state !== 'RUNNING') return `the monitor is ${monitor.state}: ${monitor.reason}`
  const missing = forwards.filter((forward) => !meets(goal, forward))
  if (missing.length === 0) return 'there are no forwards'
  return missing.map(missingInWords).join('; ')
}

function missingInWords({ name, state, reason, target }: ForwardStatus): string {
  if (state === 'waiting') return `${name} is waiting for ${target}`
  return `${name} is ${stateWord(state)}${reason === null ? '' : ` (${reason})`}`
}

/** Tells on stderr what is waited for: one line that is rewritten on a terminal, elsewhere a line when it changes. */
export class WaitProgress {
  readonly #output: WaitOutput
  #last = ''

  constructor(output: WaitOutput) {
    this.#output = output
  }

  tell(missing: string, forMs: number): void {
    const text = `waiting ${Math.floor(forMs / 1000)} s: ${printable(missing).replaceAll('\n', ' ')}`
    if (this.#output.isTTY === true) {
      // Not in the last column: some terminals begin a new line there.
      this.#output.write(`\r${cut(text, widthOf(this.#output) - 1)}\u001b[K`)
    } else if (missing !== this.#last) this.#output.write(`${text}\n`)
    this.#last = missing
  }

  /** Takes the line away. */
  end(): void {
    if (this.#output.isTTY === true && this.#last !== '') this.#output.write('\r\u001b[K')
  }
}

interface WaitOutput extends Output {
  readonly write: (text: string) => unknown
}

function meets(goal: WaitGoal, { state, listen }: ForwardStatus): boolean {
  switch (goal) {
    case 'healthy':
      return state === 'healthy' || state === 'exposed'
    case 'running':
      return (
        state === 'healthy' ||
        state === 'waiting' ||
        state === 'unreachable' ||
        state === 'exposed' ||
        (state === 'degraded' && listen.length > 0)
      )
  }
}
