import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'vitest'
import { Alerts } from '../../src/alert/alerts.ts'
import type { DeliveryTuning } from '../../src/alert/channel.ts'
import { readChannelHealth } from '../../src/alert/channel-records.ts'
import type { Facts } from '../../src/alert/incident.ts'
import { type AlertConfiguration, alertDefaults } from '../../src/config/alert-options.ts'
import { plainLog } from '../../src/log/index.ts'
import type { ChannelHealth } from '../../src/record/shapes/alerts.ts'
import { inTime } from './tools.ts'

/** Short enough for a test, long enough to be told apart. */
export const quick: Partial<DeliveryTuning> = { timeoutMs: 10_000, backoffMs: 5, backoffLimitMs: 20 }

/** An alert room with a state directory and a log of its own; every change is a message of its own. */
export class AlertRoom {
  readonly directory: string
  readonly log: string[] = []
  readonly alerts: Alerts
  #waiting: (() => void)[] = []

  constructor(
    t: TestContext,
    configuration: Partial<AlertConfiguration>,
    tuning: Partial<DeliveryTuning> = {},
    directory = mkdtempSync(join(tmpdir(), 'pw-alert-')),
  ) {
    this.directory = directory
    this.alerts = new Alerts(
      { ...alertDefaults, groupMs: 0, ...configuration },
      {
        stateDirectory: directory,
        log: plainLog((level, message) => {
          this.log.push(`${level} ${message}`)
          for (const resolve of this.#waiting.splice(0)) resolve()
        }),
        tuning: { ...quick, ...tuning },
      },
    )
    t.onTestFinished(async () => {
      await this.alerts.close()
      rmSync(directory, { recursive: true, force: true })
    })
  }

  open(forward: string, message = `Proxy ${forward} is not running`): void {
    this.alerts.report('opened', factsOf(forward, message))
  }

  resolve(forward: string, message = `Proxy ${forward} works again`): void {
    this.alerts.report('resolved', factsOf(forward, message))
  }

  /** Waits until a line like this was said. */
  said(pattern: RegExp): Promise<string> {
    return inTime(this.#found(pattern), () => `no ${pattern} in:\n${this.log.join('\n')}`)
  }

  async #found(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.log.find((line) => pattern.test(line))
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** Health as proxy-status reads it. */
  health(name: string): ChannelHealth | undefined {
    return readChannelHealth(this.directory).find((channel) => channel.name === name)
  }
}

export function factsOf(forward: string, message: string): Facts {
  return {
    unit: `forward-${forward}`,
    forward,
    port: 6274,
    subject: 'forward',
    title: forward,
    message,
    failingForMs: 0,
    restarts: 0,
    restartsWhileFailing: 0,
  }
}
