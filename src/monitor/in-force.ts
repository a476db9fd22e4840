import { isDeepStrictEqual } from 'node:util'
import { alertSecrets } from '../alert/transport.ts'
import { compareConfigurations, differenceInWords } from '../config/compare.ts'
import type { Configuration } from '../config/configuration.ts'
import type { NewConfiguration } from '../config/configuration-file.ts'
import { withInstances } from '../config/instances.ts'
import type { ConfigurationSource } from '../config/load.ts'
import type { SetAside } from '../config/ordered-changes.ts'
import type { ProgramConfiguration } from '../config/program-configuration.ts'
import type { MonitorRecords } from './monitor-records.ts'

/** What a monitor begins with. */
export interface FirstConfiguration {
  readonly configuration: Configuration
  /** Undefined = there is no file. */
  readonly source: (ConfigurationSource & { readonly problem?: string }) | undefined
  /** Changes of orders that do not hold. */
  readonly setAside: readonly SetAside[]
}

/** A configuration that comes into force in the place of another one. */
export interface ConfigurationChange {
  readonly configuration: Configuration
  /** What led to it, and what differs, in words. */
  readonly reason: string
  readonly renamed: ReturnType<typeof compareConfigurations>['renamed']
  readonly hasOtherAlerts: boolean
}

export interface InForceParts {
  readonly records: MonitorRecords
  /** Nothing takes effect any more. */
  readonly isEnding: () => boolean
  /** Settles when it has taken effect. */
  readonly takeEffect: (change: ConfigurationChange) => Promise<void>
  /** What units read themselves is read again. */
  readonly reread: () => Promise<unknown>
  /** Says something that a person should hear. */
  readonly warn: (message: string) => void
}

/** The configuration that is in force: as the file says, and with a program for each copy of it that is wanted. One change after another. */
export class InForce {
  readonly #parts: InForceParts
  /** As the file says. */
  #written: Configuration
  /** With a program for each copy. */
  #current: Configuration
  /** What it was read from; undefined = there is no file. */
  #source: ConfigurationSource | undefined
  #applied: Promise<void> = Promise.resolve()

  constructor({ configuration, source }: FirstConfiguration, parts: InForceParts) {
    this.#parts = parts
    this.#written = configuration
    this.#source = source
    this.#current = this.#withInstances(configuration)
  }

  /** Says what does not hold of the first one, and keeps it. */
  begin({ source, setAside }: FirstConfiguration): void {
    if (source?.problem !== undefined) this.#parts.warn(`Changes of orders do not hold: ${source.problem}`)
    this.#saySetAside(setAside)
    if (source !== undefined)
      this.#parts.records.keepConfiguration(source, { why: 'start', order: null, by: null })
  }

  get written(): Configuration {
    return this.#written
  }

  get current(): Configuration {
    return this.#current
  }

  get source(): ConfigurationSource | undefined {
    return this.#source
  }

  /** Settles when every change so far has taken effect. */
  get applied(): Promise<void> {
    return this.#applied
  }

  /** The file says something else, or was read again. */
  take(found: NewConfiguration): void {
    this.#applied = this.#applied.then(() => this.#apply(found))
  }

  #saySetAside(setAside: readonly SetAside[]): void {
    for (const { program, why } of setAside)
      this.#parts.warn(`A change that an order made of ${program} does not hold: ${why}`)
  }

  async #apply({
    configuration: written,
    source,
    setAside,
    cause,
    isAsked,
  }: NewConfiguration): Promise<void> {
    if (this.#parts.isEnding()) return
    this.#written = written
    this.#source = source
    this.#saySetAside(setAside)
    this.#parts.records.keepConfiguration(source, cause)
    const hasChanged = await this.#become(this.#withInstances(written))
    // What a unit reads itself may have changed although this file has not.
    if (hasChanged || isAsked) await this.#parts.reread()
    if (!hasChanged && isAsked)
      this.#parts.records.log.info('The configuration file was read again; nothing has changed')
  }

  /** A program for each copy that is wanted: as an order says, as long as the file says what it said then. */
  #withInstances(written: Configuration): Configuration {
    return { ...written, programs: withInstances(written.programs, (program) => this.#instancesOf(program)) }
  }

  #instancesOf({ name, instances }: ProgramConfiguration): number {
    if (instances === undefined) return 1
    const wanted = this.#parts.records.wantedInstances(name)
    return wanted?.instead === instances.count ? Math.min(wanted.count, instances.most) : instances.count
  }

  /** An order. Settles when the new copies were looked at once. @returns false when the next monitor will not know of it. */
  async scale(program: ProgramConfiguration, count: number, by: string): Promise<boolean> {
    const { name, instances: { count: instead } = { count: 1 } } = program
    const wanted = count === instead ? undefined : { count, instead, by }
    const isSaved = this.#parts.records.wantInstances(name, wanted)
    this.#applied = this.#applied.then(async () => {
      const what = `${by} has scaled ${name} to ${count} ${count === 1 ? 'copy' : 'copies'}`
      await this.#become(this.#withInstances(this.#written), what)
    })
    await this.#applied
    return isSaved
  }

  /** @param what led to it; missing = the file has changed. @returns false when it is the one that is in force. */
  async #become(configuration: Configuration, what?: string): Promise<boolean> {
    if (this.#parts.isEnding()) return true
    const { renamed } = compareConfigurations(this.#current, configuration)
    const hasOtherAlerts = !isDeepStrictEqual(configuration.alerts, this.#current.alerts)
    const difference = differenceInWords(this.#current, configuration)
    this.#current = configuration
    this.#parts.records.hide(alertSecrets(configuration.alerts))
    if (difference === undefined) return false
    const reason = what === undefined ? difference : `${what}: ${difference}`
    await this.#parts.takeEffect({ configuration, reason, renamed, hasOtherAlerts })
    return true
  }
}
