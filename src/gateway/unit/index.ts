/**
 * unit/: the gateway as a unit that the watchdog keeps alive; loaded by the monitor, and never by the gateway itself. `GatewayUnit` is what
 * `watch/` sees. `gateway-process.ts` starts its process, `check.ts` asks it how it is and says what the answer means, `vocabulary.ts` holds the
 * fault codes and their words. A new fault is a code there, and where `check.ts` finds it.
 */
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ConnectorConfiguration } from '../../config/connector-configuration.ts'
import {
  type GatewayConfiguration,
  gatewayName,
  type KeptGateway,
} from '../../config/gateway-configuration.ts'
import { type GatewayProcessOptions, processOptions } from '../../config/gateway-process-options.ts'
import { storeVariable } from '../../config/store-configuration.ts'
import { parseHostAndPort } from '../../config/values.ts'
import { variablesIn } from '../../config/variables.ts'
import { errorText } from '../../os/failure.ts'
import { oneLine } from '../../os/printable.ts'
import { readRegularFile } from '../../os/regular-file.ts'
import { findPortHolder } from '../../process/port-holder.ts'
import type { ProcessSummary } from '../../process/summary.ts'
import { judgePidFile, readPidFile, removeStalePidFile } from '../../record/pid-file.ts'
import {
  conditionInWords,
  type GatewayCondition,
  ruleNames,
  subjectOf,
  titleOf,
} from '../../record/shapes/gateway-conditions.ts'
import { type GatewayHealth, gatewayIdentity } from '../../record/shapes/gateway-health.ts'
import { type GatewayRecord, gatewayId } from '../../record/shapes/runtime-state.ts'
import { fileNames } from '../../record/state-directory.ts'
import { OwnProcessLink, orderReplacement } from '../../watch/own-handover.ts'
import type {
  Handover,
  Probed,
  ProbeRequest,
  ReplaceOutcome,
  Start,
  Told,
  Trouble,
  Unit,
  UnitPolicy,
  Vocabulary,
} from '../../watch/unit.ts'
import { endLeftovers } from '../upstream/leftovers.ts'
import { type Answered, askGateway, diagnoseGateway } from './check.ts'
import { gatewayPlan, gatewayWords, startGateway } from './gateway-process.ts'
import { gatewayVocabulary } from './vocabulary.ts'

/** What the configuration says of the gateway. */
export interface GatewayUnitConfiguration {
  /** The configuration file, absolute: the gateway reads its connectors itself. */
  readonly file: string
  readonly gateway: GatewayConfiguration
  readonly kept: KeptGateway
  readonly connectors: readonly ConnectorConfiguration[]
}

/** What the gateway needs of the monitor around it. */
export interface GatewaySurroundings {
  readonly stateDirectory: string
  /** Makes the state directory when it is gone. Throws when it cannot be used. */
  readonly prepareDirectory: () => void
  /** Says something that a person should hear. */
  readonly warn: (message: string) => void
}

/** ms that its end may take: running calls have 5 s, and its servers what is left. */
const drainMs = 9000

/** Where a client of PostgreSQL finds the password that no URL holds. */
const databaseVariables: readonly string[] = ['PGPASSWORD', 'PGPASSFILE']

/** ms that reading its configuration again may take. */
const rereadMs = 10_000

export class GatewayUnit implements Unit<GatewayHealth> {
  readonly id = gatewayId
  readonly kind = 'gateway'
  readonly name = gatewayName
  readonly outlivesMonitor = true
  readonly files = {}
  readonly labels = {}
  readonly #around: GatewaySurroundings
  readonly #link: OwnProcessLink
  readonly handover: Handover
  #configuration: GatewayUnitConfiguration
  #vocabulary: Vocabulary
  #lost: () => void = () => {}
  /** What the last that answered was started with, as JSON; undefined = none has. */
  #options: string | undefined
  /** As the last that answered has told them. */
  #conditions: readonly GatewayCondition[]

  constructor(configuration: GatewayUnitConfiguration, around: GatewaySurroundings) {
    this.#configuration = configuration
    this.#around = around
    this.#conditions = unknownConditions(configuration.connectors)
    this.#vocabulary = gatewayVocabulary(placeOf(configuration)?.port)
    const link = new OwnProcessLink({
      socket: () => this.#file(fileNames.gatewaySocket),
      pidFile: () => this.#file(fileNames.gatewayPidFile),
      ended: () => this.#lost(),
      read: (answer) => gatewayIdentity.read(answer),
    })
    this.#link = link
    this.handover = {
      replace: (timeoutMs) => this.#replace(timeoutMs),
      successorOf: (identity) => link.successorOf(identity),
      hasLeft: (identity) => link.hasLeft(identity),
    }
  }

  get policy(): UnitPolicy {
    const { restart, limits } = this.#configuration.kept
    return { restart, limits, drainMs }
  }

  get vocabulary(): Vocabulary {
    return this.#vocabulary
  }

  get startsByItself(): boolean {
    return this.#configuration.kept.autostart
  }

  /**
   * Takes another configuration. Connectors are the gateway's own to read: see `reread`.
   * @returns false when it is the one that it has.
   */
  reconfigure(configuration: GatewayUnitConfiguration): boolean {
    if (isDeepStrictEqual(configuration, this.#configuration)) return false
    this.#configuration = configuration
    this.#vocabulary = gatewayVocabulary(placeOf(configuration)?.port)
    return true
  }

  attach(lost: () => void): void {
    this.#lost = lost
  }

  start(): Start {
    const { stateDirectory, prepareDirectory } = this.#around
    return startGateway({
      options: optionsOf(this.#configuration),
      stateDirectory,
      logFile: this.#file(fileNames.gatewayLog),
      variables: this.#variables(),
      prepare: prepareDirectory,
    })
  }

  async #replace(timeoutMs: number): Promise<ReplaceOutcome> {
    const before = this.#options === undefined ? undefined : placeIn(JSON.parse(this.#options))
    const now = placeOf(this.#configuration)
    if (before !== undefined && before.port === now?.port && before.host !== now.host) {
      const message = `port ${now.port} cannot be taken over for ${now.host} while ${before.host} has it`
      return { ok: false, message, reason: 'unsupported' }
    }
    const { stateDirectory } = this.#around
    const options = optionsOf(this.#configuration)
    return await orderReplacement(
      this.#link,
      gatewayPlan({ options, stateDirectory, variables: this.#variables() }),
      timeoutMs,
    )
  }

  /** What its connectors, its issuers and its store refer to: it must get that, and nothing else of what this process knows. */
  #variables(): readonly string[] {
    const { connectors, gateway } = this.#configuration
    const { oauth } = gateway.access
    const ofStore = gateway.store === undefined ? [] : [storeVariable(gateway.store), ...databaseVariables]
    const imported = gateway.import.map((file) => {
      try {
        return readRegularFile(file, { follow: true })
      } catch {
        // The gateway says what is wrong with it.
        return ''
      }
    })
    const texts = [
      JSON.stringify(connectors.map(({ transport }) => transport)),
      JSON.stringify(oauth ?? {}),
      ...imported,
    ]
    return [...texts.flatMap(variablesIn), ...ofStore.filter((name) => name !== undefined)]
  }

  async probe(request: ProbeRequest): Promise<Probed<GatewayHealth>> {
    const holder = request.holder ? this.findHolder() : undefined
    const answered = await this.#ask()
    const diagnosis = diagnoseGateway(answered, readPidFile(this.#file(fileNames.gatewayPidFile)))
    const health = typeof answered === 'string' ? undefined : answered
    const isOurs = health?.isKept === true
    this.#options = isOurs ? health.options : undefined
    return { diagnosis, health: isOurs ? health : undefined, optionsMatch: this.#hasOwnOptions, holder }
  }

  async #ask(): Promise<Answered> {
    const answered = await askGateway(await this.#link.connect())
    if (typeof answered === 'string' || answered.isKept) return answered
    // A client has started it, and it may have left its place to ours since: who holds the socket now is asked.
    this.#link.drop()
    return await askGateway(await this.#link.connect())
  }

  /** The last that answered runs with the options that are configured; true when none has. */
  get #hasOwnOptions(): boolean {
    return (
      this.#options === undefined ||
      // As JSON has both: a key without a value is none.
      isDeepStrictEqual(JSON.parse(this.#options), JSON.parse(JSON.stringify(optionsOf(this.#configuration))))
    )
  }

  findHolder(): ProcessSummary | undefined {
    const place = placeOf(this.#configuration)
    return place && findPortHolder(place.port, place.host)
  }

  removeStalePidFile(): void {
    const file = this.#file(fileNames.gatewayPidFile)
    const found = readPidFile(file)
    const verdict = judgePidFile(found)
    if (verdict === 'alive' || verdict === 'stopped') return
    removeStalePidFile(file, found)
  }

  /** Its process reads the configuration again: only connectors that have changed are restarted. Never rejects. */
  async reread(): Promise<void> {
    try {
      const connection = await this.#link.connect()
      // One that is started later, or replaced by one with other options, reads the file as it is then.
      if (typeof connection === 'string' || !this.#hasOwnOptions) return
      await connection.request('reload', {}, rereadMs)
    } catch (error) {
      this.#around.warn(`The gateway goes on with its connectors as they were: ${errorText(error)}`)
    }
  }

  troubles(health: GatewayHealth | undefined): readonly Trouble[] {
    if (health !== undefined) this.#conditions = health.conditions ?? []
    // Of one that does not answer nothing is known: what was wrong is neither over nor goes on.
    const isKnown = health !== undefined
    return this.#conditions.map((one) => ({
      subject: subjectOf(one),
      condition: isKnown ? one.condition : 'unclear',
      message: conditionInWords(one),
      title: titleOf(one),
    }))
  }

  introduction({ url, keyFile, connectors }: GatewayHealth): readonly Told[] {
    const servers = `${connectors} ${connectors === 1 ? 'connector' : 'connectors'}`
    const where = url === null ? 'clients that start mcp-proxy start --all' : url
    const key = url === null || keyFile === null ? '' : `; the key for clients is in ${keyFile}`
    return [{ level: 'info', good: true, message: `The gateway serves ${servers} at ${where}${key}` }]
  }

  record(
    health: GatewayHealth | undefined,
  ): Pick<GatewayRecord, 'kind' | 'command' | 'readyPort' | 'autostart' | 'keep' | 'health' | 'unwell'> {
    const words = gatewayWords(optionsOf(this.#configuration), this.#around.stateDirectory)
    return {
      kind: 'gateway',
      command: ['mcp-proxy', ...words].join(' '),
      readyPort: placeOf(this.#configuration)?.port ?? null,
      autostart: this.#configuration.kept.autostart,
      keep: true,
      health: health === undefined ? null : { identity: health.identity, uptimeMs: health.uptimeMs },
      unwell: unwellIn(health),
    }
  }

  /** One that had to be killed could not end its servers. */
  atRest(): void {
    void endLeftovers().catch(() => {})
  }

  close(): void {
    this.#link.close()
  }

  #file(name: string): string {
    return path.join(this.#around.stateDirectory, name)
  }
}

/** What is watched of a gateway that has never answered this monitor: incidents that an earlier one has opened go on. */
function unknownConditions(connectors: readonly ConnectorConfiguration[]): readonly GatewayCondition[] {
  const condition = 'unclear'
  return [
    ...connectors
      .filter(({ enabled }) => enabled)
      .flatMap(({ id: connector }): GatewayCondition[] => [
        { about: 'connector', connector, condition, error: null, failures: 0, isPaused: false },
        { about: 'tools', connector, condition, changed: [], isHeld: false },
      ]),
    ...ruleNames.map((about) => {
      return { about, condition, value: null, limit: 0, forMs: 0, cache: null } as const
    }),
  ]
}

/** What readers show of what is failing; null = nothing is. */
function unwellIn(health: GatewayHealth | undefined): NonNullable<GatewayRecord['unwell']> | null {
  const failing = (health?.conditions ?? []).filter(({ condition }) => condition === 'failing')
  const [first, ...others] = failing
  if (first === undefined) return null
  const more = others.length === 0 ? '' : `; and ${others.length} more, see mcp-proxy status`
  return { problem: `${oneLine(conditionInWords(first))}${more}`, failures: 1 }
}

function optionsOf({ file, gateway }: GatewayUnitConfiguration): GatewayProcessOptions {
  return processOptions({ ...gateway, file }, { connectors: null, allowNone: false })
}

interface ListenPlace {
  readonly host: string
  readonly port: number
}

function placeOf({ gateway }: GatewayUnitConfiguration): ListenPlace | undefined {
  return placeIn({ http: gateway.http ?? null })
}

function placeIn({ http }: Pick<GatewayProcessOptions, 'http'>): ListenPlace | undefined {
  if (http === null) return undefined
  const parsed = parseHostAndPort(http.listen)
  if (!parsed.ok) return undefined
  const { host, port } = parsed.value
  return { host: host === 'localhost' ? '127.0.0.1' : host, port }
}
