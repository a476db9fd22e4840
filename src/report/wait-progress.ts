import { printable } from '../os/printable.ts'
import type { StatusReport } from '../record/shapes/status-report.ts'
import { stateWord } from './render-table.ts'
import { type Output, widthOf } from './terminal.ts'
import { cut } from './text.ts'
import { meets, type WaitedFor, type WaitGoal, waitedFor } from './wait.ts'

/** In words: what keeps it from being so. */
export function whatIsMissing(goal: WaitGoal, report: StatusReport): string {
  const { monitor } = report
  if (monitor.state !== 'RUNNING') return `the monitor is ${monitor.state}: ${monitor.reason}`
  const missing = waitedFor(report).filter((unit) => !meets(goal, unit))
  if (missing.length === 0) return 'there are no forwards'
  return missing.map(missingInWords).join('; ')
}

function missingInWords({ name, state, reason, target }: WaitedFor): string {
  if (state === 'waiting') return `${name} is waiting for ${target}`
  return `${name} is ${stateWord(state)}${reason === null ? '' : ` (${reason})`}`
}

/** Shows on stderr what is waited for: one line that is rewritten on a terminal, elsewhere a line when it changes. */
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
