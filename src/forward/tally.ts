import type { RefusalReason } from '../record/shapes/forwarder-health.ts'
import type { ForwarderEvent } from './forwarder-events.ts'
import { RefusalReport } from './limits/refusal-report.ts'
import type { StepFailure } from './steps/steps.ts'
import type { EndCause } from './termination.ts'

/** Counts the connections of a process and how they ended, and reports refusals and failed steps: one line of many that are alike. */
export class Tally {
  /** Connections that were let in. */
  total = 0
  /** Connections that were turned away, by reason. */
  readonly refused: Record<RefusalReason, number> = {
    admission: 0,
    'max-connections': 0,
    'max-connections-per-source': 0,
    'max-rate-per-source': 0,
    descriptors: 0,
    'source-ports': 0,
    memory: 0,
    resolver: 0,
    'no-route': 0,
    'target-not-ready': 0,
    'target-refused': 0,
    'target-timeout': 0,
    'target-error': 0,
    'self-dial': 0,
    'not-a-proxy': 0,
  }
  /** Connections that have ended, by the code of their termination. */
  readonly endedByCode = new Map<string, number>()
  readonly #report: (event: ForwarderEvent) => void
  readonly #lines = new RefusalReport()

  constructor(report: (event: ForwarderEvent) => void) {
    this.#report = report
  }

  /**
   * Counts a connection that has ended.
   * @param source the address of its client.
   * @param code of its termination.
   * @param isFull there is no room for connections, as the log says already.
   */
  ended(source: string, cause: EndCause, code: string, isFull: boolean): void {
    this.endedByCode.set(code, (this.endedByCode.get(code) ?? 0) + 1)
    if (cause.kind === 'refused') this.#refusal(source, cause.reason, cause.message, isFull)
    if (cause.kind === 'step-failed') this.#failedStep(source, cause.failure)
  }

  #refusal(source: string, reason: RefusalReason, message: string, isFull: boolean): void {
    this.refused[reason]++
    // Said once, at the beginning; after that the counter tells.
    if (isFull && (reason === 'max-connections' || reason === 'descriptors')) return
    const untold = this.#lines.next(reason)
    if (untold === undefined) return
    this.#report({ kind: 'refused', source, reason, message, untold })
  }

  #failedStep(source: string, failure: StepFailure): void {
    const untold = this.#lines.next(`${failure.step.side} ${failure.step.name} ${failure.reason}`)
    if (untold === undefined) return
    this.#report({ kind: 'step-failed', source, failure, untold })
  }
}
