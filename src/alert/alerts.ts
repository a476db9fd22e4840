/**
 * alert/: tells people elsewhere what is wrong.
 *
 *   what happens to units -> incident.ts (pure: when to speak, how often) -> a queue on disk for each channel -> transport.ts -> outside
 *
 * message-text.ts writes what is sent; outcome.ts judges what came back. A new kind of channel is a line of config/alert-schema.ts and its
 * request in transport.ts.
 */
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type AlertConfiguration, pingName } from '../config/alert-options.ts'
import type { Log } from '../log/index.ts'
import { removeQuietly } from '../os/atomic-file.ts'
import {
  alertSchemaVersion,
  type ChannelHealth,
  channelRecord,
  type Incident,
  type IncidentChange,
  type IncidentRecord,
  type IncidentState,
  incidentRecord,
} from '../record/shapes/alerts.ts'
import { fileNames } from '../record/state-directory.ts'
import { AlertFiles, readRecord } from './alert-files.ts'
import { Channel, type ChannelSurroundings, type DeliveryTuning, deliveryDefaults } from './channel.ts'
import { channelOfFile } from './channel-records.ts'
import { DeadMansSwitch } from './dead-mans-switch.ts'
import {
  byUnit,
  decideIncidents,
  type Facts,
  flushDueInMs,
  type IncidentEvent,
  type IncidentPolicy,
  incidentDefaults,
  initialIncidents,
  subjectKey,
} from './incident.ts'
import { endingText } from './message-text.ts'
import { currentMoment } from './moment.ts'
import { changesIn } from './queue.ts'

export interface AlertSurroundings {
  readonly stateDirectory: string
  readonly log: Log
  /** Hears of each change, for the journal. */
  readonly changed?: (change: IncidentChange) => void
  /** What tests shorten. */
  readonly tuning?: Partial<DeliveryTuning>
  readonly policy?: Partial<IncidentPolicy>
}

/** How one subject is after a round. */
export interface SubjectCondition {
  readonly condition: Extract<IncidentEvent, { kind: 'seen' }>['condition']
  readonly facts: Facts
}

/** ms that a delivery under way may take when the monitor ends. */
const patienceMs = 2_000

/**
 * The way out of the house: turns what happens to forwards into incidents, tells each once, and delivers to every channel. Three things
 * go to disk, in this order: the changes as pending, the queues with them, and that they are pending no more. Nothing is sent before
 * it is queued; a monitor that is killed in between hands changes in again, and a queue passes over those it has.
 */
export class Alerts {
  readonly #around: AlertSurroundings
  readonly #channelAround: ChannelSurroundings
  readonly #files: AlertFiles
  #policy: IncidentPolicy
  #state: IncidentState
  #channels: readonly Channel[] = []
  #ping: DeadMansSwitch | undefined
  #flushTimer: NodeJS.Timeout | undefined
  #savePlanned = false
  /** One change of the configuration after another. */
  #reconfigured: Promise<void> = Promise.resolve()
  #closed = false

  constructor(configuration: AlertConfiguration, around: AlertSurroundings) {
    this.#around = around
    this.#files = new AlertFiles(around.log)
    this.#channelAround = {
      stateDirectory: around.stateDirectory,
      files: this.#files,
      log: around.log,
      sender: { host: hostname() },
      tuning: { ...deliveryDefaults, ...around.tuning },
    }
    this.#policy = this.#policyOf(configuration)
    const left = this.#files.takeOver(this.#file(fileNames.alerts), incidentRecord)
    this.#state =
      left !== undefined ? byUnit(left.incidents) : initialIncidents(randomBytes(4).toString('hex'))
    this.#sweep(configuration)
    this.#connect(configuration)
    this.#planFlush()
  }

  get openIncidents(): readonly Incident[] {
    return this.#state.incidents
  }

  get health(): readonly ChannelHealth[] {
    return this.#channels.map((channel) => channel.health)
  }

  /** News about a forward, the moment it is known. */
  report(kind: 'opened' | 'flapping' | 'resolved', facts: Facts): void {
    this.#decide({ kind, facts })
  }

  /** After a round of checks, with everything that is watched: what news has missed is mended, what is due is sent. */
  roundDone(conditions: readonly SubjectCondition[]): void {
    for (const { condition, facts } of conditions) this.#decide({ kind: 'seen', condition, facts })
    this.#decide({ kind: 'watched', keys: conditions.map(({ facts }) => subjectKey(facts)) })
    this.#decide({ kind: 'tick' })
    this.#files.retry()
    void this.#ping?.roundDone(this.#state.incidents.length > 0)
  }

  /** Writes again what could not be written, or was removed. */
  keepFiles(): void {
    this.#files.retry()
  }

  /**
   * Takes another configuration. Channels that are the same go on undisturbed; a disabled one that has changed is tried again.
   */
  reconfigure(configuration: AlertConfiguration): Promise<void> {
    this.#reconfigured = this.#reconfigured.then(() => this.#reconfigure(configuration))
    return this.#reconfigured
  }

  async #reconfigure(configuration: AlertConfiguration): Promise<void> {
    this.#policy = this.#policyOf(configuration)
    const isKept = (channel: Channel) =>
      configuration.channels.some((wanted) => isDeepStrictEqual(wanted, channel.configuration))
    const gone = this.#channels.filter((channel) => !isKept(channel))
    // Until the last try of the old one is over it takes alerts, and its successor finds them in the file.
    await Promise.all(gone.map((channel) => channel.close(this.#channelAround.tuning.timeoutMs)))
    if (this.#closed) return
    this.#channels = this.#channels.filter(isKept)
    this.#sweep(configuration)
    this.#connect(configuration)
  }

  /** Ends all sending. What waits is on disk, and the next monitor delivers it. */
  async close(): Promise<void> {
    this.#closed = true
    this.#policy = { ...this.#policy, groupMs: 0 }
    this.#decide({ kind: 'tick' })
    clearTimeout(this.#flushTimer)
    this.#save()
    await Promise.all(this.#channels.map((channel) => channel.close(patienceMs)))
  }

  #decide(event: IncidentEvent): void {
    const before = this.#state
    const { state, changes, messages } = decideIncidents(before, event, currentMoment(), this.#policy)
    if (state === before) return
    // The ids of changes must be on disk before anybody is told them: the next monitor would give them to other changes.
    if (messages.length > 0 && this.#savePlanned) this.#save()
    this.#state = state
    for (const message of messages) {
      for (const channel of this.#channels) channel.enqueue(message)
    }
    if (messages.length > 0) this.#save()
    else this.#planSave()
    for (const change of changes) {
      this.#sayChange(change)
      this.#around.changed?.(change)
    }
    this.#planFlush()
    if (flushDueInMs(state, currentMoment(), this.#policy) === 0) this.#decide({ kind: 'tick' })
  }

  /** What many forwards bring in one turn of the event loop is written once; until then `roundDone` can mend a loss. */
  #planSave(): void {
    if (this.#savePlanned) return
    this.#savePlanned = true
    setImmediate(() => {
      if (this.#savePlanned) this.#save()
    })
  }

  #planFlush(): void {
    clearTimeout(this.#flushTimer)
    const dueInMs = flushDueInMs(this.#state, currentMoment(), this.#policy)
    if (dueInMs === undefined) return
    this.#flushTimer = setTimeout(() => {
      this.#decide({ kind: 'tick' })
      // A timer may come a moment before its time by this clock; then nothing was delivered, and it is planned again.
      this.#planFlush()
    }, dueInMs + 1)
  }

  #sayChange(change: IncidentChange): void {
    const { event, message, incident, forward } = change
    const isGood = event === 'resolved'
    const ending = isGood ? endingText(change) : ''
    const log = this.#around.log.child({ unit: forward })
    log[isGood ? 'info' : 'error']({ good: isGood }, `ALERT ${event}: ${message}${ending} [${incident}]`)
  }

  #policyOf({ reminderMs, groupMs }: AlertConfiguration): IncidentPolicy {
    return { ...incidentDefaults, reminderMs, groupMs, ...this.#around.policy }
  }

  #connect({ channels, ping }: AlertConfiguration): void {
    const running = new Set(this.#channels.map(({ configuration }) => configuration.name))
    const added = channels.filter(({ name }) => !running.has(name))
    this.#channels = [...this.#channels, ...added.map((channel) => new Channel(channel, this.#channelAround))]
    if (isDeepStrictEqual(ping, this.#ping?.configuration)) return
    this.#ping = ping === undefined ? undefined : new DeadMansSwitch(ping, this.#channelAround)
  }

  /** Removes the files of channels that are not configured any more, and tells what is lost with them. */
  #sweep({ channels, ping }: AlertConfiguration): void {
    const wanted = new Set([...channels.map(({ name }) => name), ...(ping === undefined ? [] : [pingName])])
    for (const name of this.#fileNames()) {
      const channel = channelOfFile(name)
      if (channel === undefined || wanted.has(channel)) continue
      const record = readRecord(this.#file(name), channelRecord)
      const lost = typeof record === 'object' ? changesIn(record.queue) : 0
      if (lost > 0) this.#around.log.warn(`Alert channel ${channel} is gone, and ${lost} alerts with it`)
      this.#files.forget(this.#file(name))
      removeQuietly(this.#file(name))
    }
  }

  #fileNames(): string[] {
    try {
      return readdirSync(this.#around.stateDirectory)
    } catch {
      return []
    }
  }

  #save(): void {
    this.#savePlanned = false
    this.#files.write(this.#file(fileNames.alerts), (): IncidentRecord => {
      return { schemaVersion: alertSchemaVersion, incidents: this.#state }
    })
  }

  #file(name: string): string {
    return path.join(this.#around.stateDirectory, name)
  }
}
