import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { type AlertConfiguration, pingName } from '../config/alert-options.ts'
import { redactor } from '../log/redaction.ts'
import { errorText } from '../os/failure.ts'
import { deliveryDefaults } from './channel.ts'
import { exchange } from './http-exchange.ts'
import type { Outcome } from './outcome.ts'
import { messageOf } from './queue.ts'
import { secretsOf, transportOf, userAgent } from './transport.ts'

/** How the test of one channel, or of the dead man's switch, went. */
export interface TestedChannel {
  readonly name: string
  readonly type: AlertConfiguration['channels'][number]['type'] | 'ping'
  /** Why the receiver did not take the message, without secrets; undefined = it took it. */
  readonly problem: string | undefined
}

/** The names that can be tested. */
export function testableChannels({ channels, ping }: AlertConfiguration): string[] {
  return [...channels.map(({ name }) => name), ...(ping === undefined ? [] : [pingName])]
}

/**
 * Sends one message that is marked as a test through each channel, and one ping, at once, and waits for every answer. Nothing is queued
 * or tried again, no file is written, and a running monitor does not notice. Never rejects.
 * @param names only these; undefined = all.
 */
export function sendTestAlerts(
  alerts: AlertConfiguration,
  names: readonly string[] = testableChannels(alerts),
  timeoutMs = deliveryDefaults.timeoutMs,
): Promise<TestedChannel[]> {
  const channels = alerts.channels
    .filter(({ name }) => names.includes(name))
    .map(async (channel) => {
      const redact = redactor(secretsOf(channel))
      const send = transportOf(channel, { host: hostname() }, timeoutMs)
      const outcome = await trying(() => send({ ...testMessage(), attempted: false, dropped: 0 }))
      return { name: channel.name, type: channel.type, problem: problemOf(outcome, redact) }
    })
  const { ping } = alerts
  if (ping === undefined || !names.includes(pingName)) return Promise.all(channels)
  const url = ping.url.reveal()
  const request = { method: 'GET', url, headers: { 'user-agent': userAgent }, body: '', timeoutMs } as const
  const pinged = exchange(request).then((outcome) => {
    return { name: pingName, type: 'ping' as const, problem: problemOf(outcome, redactor([url])) }
  })
  return Promise.all([...channels, pinged])
}

/** Every test has an id of its own: a receiver may pass over one that it has seen. */
function testMessage() {
  const at = new Date().toISOString()
  const id = `test-${randomBytes(6).toString('hex')}`
  return messageOf([
    {
      id,
      incident: id,
      event: 'test',
      forward: 'test',
      port: 0,
      subject: 'forward',
      message: 'this is a test alert; nothing is wrong, and nothing needs to be done',
      at,
      since: at,
      durationMs: 0,
      restarts: 0,
      flapping: false,
    },
  ])
}

async function trying(send: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await send()
  } catch (error) {
    return { kind: 'refused', why: errorText(error) }
  }
}

function problemOf(outcome: Outcome, redact: (text: string) => string): string | undefined {
  return outcome.kind === 'delivered' ? undefined : redact(outcome.why)
}
