import type { AlertConfiguration, ChannelConfiguration } from '../config/alert-options.ts'
import { childEnvironment, commandVariables } from '../os/child-environment.ts'
import { version } from '../os/version.ts'
import type { QueuedMessage } from '../record/shapes/alerts.ts'
import { runAlertCommand } from './command-run.ts'
import { exchange } from './http-exchange.ts'
import { alertBody, messageText, type Sender } from './message-text.ts'
import type { Outcome } from './outcome.ts'
import { signatureHeaders } from './signature.ts'

/** Delivers one message once. Never rejects. */
export type Transport = (message: QueuedMessage) => Promise<Outcome>

/** Characters that Slack recommends at most, and that Discord takes at most. */
const slackLimit = 4000
const discordLimit = 2000

export const userAgent = `port-watchdog/${version}`

/** @param timeoutMs for one try. */
export function transportOf(channel: ChannelConfiguration, sender: Sender, timeoutMs: number): Transport {
  switch (channel.type) {
    case 'slack':
      return (message) => {
        const text = slackEscaped(messageText(message, sender, slackLimit))
        return post(channel.url.reveal(), { text }, timeoutMs)
      }
    case 'discord':
      return (message) => {
        const content = messageText(message, sender, discordLimit)
        // An error text that happens to hold @everyone must not wake everyone.
        return post(channel.url.reveal(), { content, allowed_mentions: { parse: [] } }, timeoutMs)
      }
    case 'webhook':
      return (message) => postSigned(channel, message, sender, timeoutMs)
    case 'command':
      return (message) => {
        const environment = childEnvironment(process.env, [...commandVariables, ...channel.environment])
        const body = `${JSON.stringify(alertBody(message, sender))}\n`
        return runAlertCommand(channel.command, body, { timeoutMs, environment })
      }
  }
}

/** Every text that must not show up in a log or a report. */
export function secretsOf(channel: ChannelConfiguration): string[] {
  switch (channel.type) {
    case 'slack':
    case 'discord':
      return [channel.url.reveal()]
    case 'webhook':
      return [channel.url.reveal(), ...(channel.secret === undefined ? [] : [channel.secret.reveal()])]
    case 'command':
      return []
  }
}

/** The same for a whole configuration. */
export function alertSecrets({ channels, ping }: AlertConfiguration): string[] {
  return [...channels.flatMap(secretsOf), ...(ping === undefined ? [] : [ping.url.reveal()])]
}

function post(url: string, body: object, timeoutMs: number, headers = {}): Promise<Outcome> {
  return postText(url, JSON.stringify(body), timeoutMs, headers)
}

function postText(
  url: string,
  body: string,
  timeoutMs: number,
  headers: Readonly<Record<string, string>>,
): Promise<Outcome> {
  const always = { 'content-type': 'application/json', 'user-agent': userAgent }
  return exchange({ method: 'POST', url, headers: { ...always, ...headers }, body, timeoutMs })
}

function postSigned(
  { url, secret }: Extract<ChannelConfiguration, { type: 'webhook' }>,
  message: QueuedMessage,
  sender: Sender,
  timeoutMs: number,
): Promise<Outcome> {
  const body = JSON.stringify(alertBody(message, sender))
  const signature =
    secret === undefined ? {} : signatureHeaders(secret.reveal(), message.id, body, Date.now())
  const headers = { 'webhook-id': message.id, 'idempotency-key': message.id, ...signature }
  return postText(url.reveal(), body, timeoutMs, headers)
}

/** https://docs.slack.dev/messaging/formatting-message-text: these three would be read as markup, `<!channel>` among it. */
function slackEscaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
