import path from 'node:path'
import type { ChannelConfiguration } from '../config/alert-options.ts'
import type { LogLevel } from '../log/entry.ts'
import type { Log } from '../log/index.ts'
import { redactor } from '../log/redaction.ts'
import { errorText } from '../os/failure.ts'
import { within } from '../os/time-limit.ts'
import {
  type AlertMessage,
  alertSchemaVersion,
  type ChannelHealth,
  type ChannelRecord,
  channelRecord,
  type QueuedMessage,
} from '../record/shapes/alerts.ts'
import { fileNames } from '../record/state-directory.ts'
import type { AlertFiles } from './alert-files.ts'
import { newHealth } from './channel-records.ts'
import type { Sender } from './message-text.ts'
import { currentMoment, elapsedMs, later } from './moment.ts'
import { longestPauseMs, type Outcome } from './outcome.ts'
import { changesIn, coalesce, enqueue, longestQueue } from './queue.ts'
import { secretsOf, type Transport, transportOf } from './transport.ts'

/** How deliveries are tried. Times in ms. */
export interface DeliveryTuning {
  /** For one try. */
  readonly timeoutMs: number
  /** Wait after the first failure; doubled at each further one. */
  readonly backoffMs: number
  readonly backoffLimitMs: number
  /** Changes that one channel keeps. */
  readonly queueLimit: number
}

export const deliveryDefaults: DeliveryTuning = {
  timeoutMs: 10_000,
  backoffMs: 1_000,
  backoffLimitMs: 300_000,
  queueLimit: longestQueue,
}

export interface ChannelSurroundings {
  readonly stateDirectory: string
  readonly files: AlertFiles
  readonly log: Log
  readonly sender: Sender
  readonly tuning: DeliveryTuning
}

/**
 * Delivers to one receiver, in order, one message at a time, at least once: a message leaves the queue on disk only after the receiver has
 * taken it. One that was taken just before the process was killed goes out again, with the same ids.
 */
export class Channel {
  readonly configuration: ChannelConfiguration
  readonly #around: ChannelSurroundings
  readonly #transport: Transport
  readonly #redact: (text: string) => string
  #health: ChannelHealth
  #queue: readonly QueuedMessage[] = []
  #sending: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false
  /** Its last try took too long: the file belongs to a successor now. */
  #abandoned = false

  constructor(configuration: ChannelConfiguration, around: ChannelSurroundings) {
    this.configuration = configuration
    this.#around = around
    this.#transport = transportOf(configuration, around.sender, around.tuning.timeoutMs)
    this.#redact = redactor(secretsOf(configuration))
    this.#health = newHealth(configuration.name, configuration.type)
    this.#takeOver()
    this.#save()
    this.#next()
  }

  get health(): ChannelHealth {
    return { ...this.#health, queued: changesIn(this.#queue) }
  }

  /** Takes a message over: when this returns it is on disk, or in memory when the disk is full. */
  enqueue(message: AlertMessage): void {
    const isSending = this.#sending !== undefined
    const { queue, dropped } = enqueue(this.#queue, message, isSending, this.#around.tuning.queueLimit)
    if (dropped > 0) this.#tellDropped(dropped)
    this.#queue = queue
    this.#save()
    this.#next()
  }

  /** Ends the sending. What waits stays on disk. @param withinMs how long a try that is under way may take. */
  async close(withinMs: number): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    if (this.#sending !== undefined) await within(this.#sending, withinMs)
    this.#abandoned = this.#sending !== undefined
  }

  /** Sends what is next, now or when it is due. */
  #next(): void {
    if (this.#closed || this.#sending !== undefined || this.#queue.length === 0) return
    if (this.#health.state === 'disabled') return
    clearTimeout(this.#timer)
    const waitMs = this.#waitMs()
    if (waitMs > 0) {
      this.#timer = setTimeout(() => this.#next(), waitMs + 1)
      return
    }
    this.#sending = this.#sendFirst().finally(() => {
      this.#sending = undefined
      this.#next()
    })
  }

  #waitMs(): number {
    const { retryAt } = this.#health
    // Bounded again: across a boot the wall clock counts, and it may have been wrong.
    return retryAt === null ? 0 : Math.min(longestPauseMs, elapsedMs(currentMoment(), retryAt))
  }

  async #sendFirst(): Promise<void> {
    const [first, ...rest] = coalesce(this.#queue)
    if (first === undefined) return
    // Written before it is sent: what may have arrived keeps its id.
    const message: QueuedMessage = { ...first, attempted: true }
    this.#queue = [message, ...rest]
    if (!first.attempted) this.#save()
    const outcome = await this.#try(message)
    if (this.#abandoned) return
    this.#settle(message, outcome)
    this.#save()
  }

  /** Whatever is wrong with one message must not end the monitor. */
  async #try(message: QueuedMessage): Promise<Outcome> {
    try {
      return await this.#transport(message)
    } catch (error) {
      return { kind: 'retry', why: errorText(error), afterMs: undefined }
    }
  }

  #settle(message: QueuedMessage, outcome: Outcome): void {
    switch (outcome.kind) {
      case 'delivered':
        return this.#delivered(message, outcome.pauseMs)
      case 'retry':
        return this.#failed(this.#redact(outcome.why), outcome.afterMs)
      case 'refused':
        return this.#disabled(this.#redact(outcome.why))
    }
  }

  #delivered(message: QueuedMessage, pauseMs: number): void {
    const now = currentMoment()
    this.#queue = this.#queue.filter(({ id }) => id !== message.id)
    if (this.#health.failures > 0) this.#say('info', 'delivers again', true)
    this.#health = {
      ...this.#health,
      state: 'ok',
      delivered: this.#health.delivered + 1,
      lastDeliveredAt: now,
      lastError: null,
      failures: 0,
      retryAt: pauseMs > 0 ? later(now, pauseMs) : null,
      retryAtIsTold: pauseMs > 0,
    }
  }

  #failed(why: string, toldMs: number | undefined): void {
    const failures = this.#health.failures + 1
    const waitMs = toldMs ?? this.#backoffMs(failures)
    // Once a streak: a receiver that is down for a day must not fill the log.
    if (failures === 1) this.#say('warn', `cannot deliver: ${why}; it is tried again`)
    this.#health = {
      ...this.#health,
      state: 'retrying',
      lastError: why,
      failures,
      retryAt: later(currentMoment(), waitMs),
      retryAtIsTold: toldMs !== undefined,
    }
  }

  /** Doubling with jitter between one half and the whole. */
  #backoffMs(failures: number): number {
    const { backoffMs, backoffLimitMs } = this.#around.tuning
    const whole = Math.min(backoffLimitMs, backoffMs * 2 ** Math.min(failures - 1, 30))
    return whole * (0.5 + Math.random() / 2)
  }

  #disabled(why: string): void {
    const { failures } = this.#health
    this.#health = {
      ...this.#health,
      state: 'disabled',
      lastError: why,
      failures: failures + 1,
      retryAt: null,
    }
    const cure = 'correct the configuration, or restart the monitor to try again; alerts are kept meanwhile'
    this.#say('error', `is disabled: ${why}; ${cure}`)
  }

  #tellDropped(dropped: number): void {
    if (this.#health.dropped === 0 || this.#health.lastError === null) {
      this.#say('error', `too many alerts wait: the oldest are dropped (${dropped} now); see proxy-status`)
    }
    this.#health = { ...this.#health, dropped: this.#health.dropped + dropped }
  }

  #takeOver(): void {
    const { type } = this.configuration
    const record = this.#around.files.takeOver(this.#file(), channelRecord)
    if (record === undefined) return
    this.#queue = record.queue
    const isSame = record.fingerprint === this.#fingerprint() && record.health.type === type
    const before = record.health
    const { dropped, delivered, lastDeliveredAt } = before
    const kept = { dropped, delivered, lastDeliveredAt }
    // What a receiver asked for counts for the next monitor too; our own back-off and a refusal do not.
    if (isSame && before.retryAtIsTold && before.state !== 'disabled') {
      const { state, lastError, failures, retryAt, retryAtIsTold } = before
      this.#health = { ...this.#health, ...kept, state, lastError, failures, retryAt, retryAtIsTold }
    } else {
      const wasWell = isSame && before.state === 'ok'
      this.#health = { ...this.#health, ...kept, state: wasWell ? 'ok' : 'untried' }
    }
  }

  #save(): void {
    this.#around.files.write(this.#file(), () => this.#record())
  }

  #record(): ChannelRecord {
    return {
      schemaVersion: alertSchemaVersion,
      fingerprint: this.#fingerprint(),
      health: this.health,
      queue: this.#queue,
    }
  }

  #fingerprint(): string | null {
    return this.configuration.type === 'command' ? null : this.configuration.url.fingerprint
  }

  #file(): string {
    return path.join(this.#around.stateDirectory, fileNames.alertChannel(this.configuration.name))
  }

  #say(level: LogLevel, what: string, good = false): void {
    this.#around.log[level]({ good }, `Alert channel ${this.configuration.name} ${what}`)
  }
}
