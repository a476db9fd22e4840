import type { ErrorRate, HealthCondition } from '../../config/program-configuration.ts'
import { oneLine } from '../../os/printable.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import type { ProgramRecord } from '../../record/shapes/runtime-state.ts'
import type { Trouble } from '../../watch/unit.ts'
import { ErrorRateWatch } from '../output/error-rate.ts'
import type { ProgramOutput } from '../output/index.ts'
import { HealthWatch } from '../ready/health.ts'
import type { Asked } from '../ready/index.ts'
import { errorRateInWords, type ProgramFault } from './vocabulary.ts'

/** What is asked of a program and counted; undefined = nothing. */
interface Conditions {
  readonly health: HealthCondition | undefined
  readonly errorRate: ErrorRate | undefined
}

/** Whether a program that runs is well: it is asked how it is, and the errors that it prints are counted. */
export class Wellbeing {
  readonly #name: string
  readonly #output: ProgramOutput
  readonly #changed: () => void
  #health: HealthWatch | undefined
  #errors: ErrorRateWatch | undefined

  /** @param changed called when it is not well any more. */
  constructor(name: string, output: ProgramOutput, changed: () => void) {
    this.#name = name
    this.#output = output
    this.#changed = changed
  }

  /** Watches a process for as long as it is the program's. */
  watch(identity: ProcessIdentity, { health, errorRate }: Conditions, asked: () => Asked): void {
    this.end()
    this.#health = health && new HealthWatch(health, identity, asked(), this.#changed)
    this.#errors =
      errorRate && new ErrorRateWatch(errorRate, (ms) => this.#output.told('error', ms), this.#changed)
  }

  /** What is known stays. */
  end(): void {
    this.#health?.end()
    this.#errors?.end()
  }

  /** Why its process is to be started anew; undefined = it is not. */
  get fault(): ProgramFault | undefined {
    const { hasFailed = false, condition, facts } = this.#health ?? {}
    if (hasFailed && condition?.action === 'restart' && facts !== undefined) {
      const { problem = unanswered, failures } = facts
      return { code: 'unhealthy', problem, failures }
    }
    if (this.#errors?.isExceeded && this.#errors.rate.action === 'restart') {
      const { errors, rate } = this.#errors
      const { above, withinMs } = rate
      return { code: 'error-rate', errors, above, withinMs }
    }
    return undefined
  }

  /** What is to be alerted, and no more: that it is not healthy, that it prints too many errors. */
  get troubles(): readonly Trouble[] {
    return [...this.#healthTrouble(), ...this.#errorTrouble()]
  }

  /** The same for its record; null = nothing is. */
  get unwell(): NonNullable<ProgramRecord['unwell']> | null {
    const { condition, facts, hasFailed = false } = this.#health ?? {}
    if (hasFailed && facts !== undefined && condition?.action === 'alert')
      return { problem: oneLine(facts.problem ?? unanswered), failures: facts.failures }
    if (!this.#errors?.isExceeded || this.#errors.rate.action !== 'alert') return null
    const { errors, rate } = this.#errors
    return { problem: errorRateInWords({ errors, ...rate }), failures: 1 }
  }

  #healthTrouble(): readonly Trouble[] {
    const { condition, facts, hasFailed } = this.#health ?? {}
    if (condition?.action !== 'alert' || facts === undefined) return []
    const message = hasFailed
      ? `${this.#name} is not healthy: ${facts.problem}`
      : `${this.#name} is healthy again`
    return [{ subject: 'health', condition: hasFailed ? 'failing' : 'well', message }]
  }

  #errorTrouble(): readonly Trouble[] {
    if (this.#errors?.rate.action !== 'alert') return []
    const { errors, rate, isExceeded } = this.#errors
    const message = isExceeded
      ? `${this.#name} prints too many errors: ${errorRateInWords({ errors, ...rate })}`
      : `${this.#name} no longer prints too many errors`
    return [{ subject: 'errors', condition: isExceeded ? 'failing' : 'well', message }]
  }
}

const unanswered = 'it does not answer'
