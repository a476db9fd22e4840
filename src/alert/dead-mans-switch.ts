import path from 'node:path'
import { type PingConfiguration, pingName } from '../config/alert-options.ts'
import { redactor } from '../log/redaction.ts'
import { monotonicMs } from '../os/clock.ts'
import { alertSchemaVersion, type ChannelHealth } from '../record/shapes/alerts.ts'
import { fileNames } from '../record/state-directory.ts'
import type { ChannelSurroundings } from './channel.ts'
import { newHealth } from './channel-records.ts'
import { exchange } from './http-exchange.ts'
import { currentMoment } from './moment.ts'
import { userAgent } from './transport.ts'

/**
 * Fetches a URL as long as the monitor does its work, so that somebody else notices when it does not. It is asked for after every round of
 * checks and never by a timer of its own, which would tick on in a monitor that checks nothing any more.
 */
export class DeadMansSwitch {
  readonly configuration: PingConfiguration
  readonly #around: ChannelSurroundings
  readonly #redact: (text: string) => string
  #health: ChannelHealth = newHealth(pingName, 'ping')
  #lastAt: number | undefined
  #isPinging = false

  constructor(configuration: PingConfiguration, around: ChannelSurroundings) {
    this.configuration = configuration
    this.#around = around
    this.#redact = redactor([configuration.url.reveal()])
    this.#save()
  }

  /** Pings when it is time to. Resolves when that is done; a ping that is under way is not joined by a second one. */
  async roundDone(isTrouble: boolean): Promise<void> {
    const now = monotonicMs()
    const isDue = this.#lastAt === undefined || now - this.#lastAt >= this.configuration.intervalMs
    if (!isDue || this.#isPinging) return
    this.#lastAt = now
    this.#isPinging = true
    await this.#ping(isTrouble && this.configuration.fail)
    this.#isPinging = false
    this.#save()
  }

  async #ping(isFailing: boolean): Promise<void> {
    const outcome = await exchange({
      method: 'GET',
      url: pingUrl(this.configuration.url.reveal(), isFailing),
      headers: { 'user-agent': userAgent },
      body: '',
      timeoutMs: this.#around.tuning.timeoutMs,
    })
    if (outcome.kind === 'delivered') this.#succeeded()
    else this.#failed(this.#redact(outcome.why))
  }

  #succeeded(): void {
    const { failures, delivered } = this.#health
    if (failures > 0) this.#around.log.info({ good: true }, 'The dead man’s switch is reached again')
    this.#health = {
      ...this.#health,
      state: 'ok',
      failures: 0,
      lastError: null,
      delivered: delivered + 1,
      lastDeliveredAt: currentMoment(),
    }
  }

  /** Never disabled: a GET a minute harms nobody, and whoever waits for it sounds the alarm. */
  #failed(why: string): void {
    const failures = this.#health.failures + 1
    if (failures === 1) this.#around.log.warn(`The dead man’s switch is not reached: ${why}`)
    this.#health = { ...this.#health, state: 'retrying', failures, lastError: why }
  }

  #save(): void {
    const { stateDirectory, files } = this.#around
    files.write(path.join(stateDirectory, fileNames.alertChannel(pingName)), () => ({
      schemaVersion: alertSchemaVersion,
      fingerprint: null,
      health: this.#health,
      queue: [],
    }))
  }
}

/** As healthchecks.io and those like it have it: `/fail` after the path. */
function pingUrl(url: string, isFailing: boolean): string {
  const target = new URL(url)
  if (isFailing) target.pathname = `${target.pathname.replace(/\/$/, '')}/fail`
  return target.href
}
