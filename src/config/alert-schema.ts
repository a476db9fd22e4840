import type { z as Zod } from 'zod'
import {
  type AlertConfiguration,
  alertDefaults,
  type ChannelConfiguration,
  pingDefaults,
  pingName,
  shortestReminderMs,
} from './alert-options.ts'
import type { Problem } from './problems.ts'
import { duration, text } from './schema-parts.ts'
import { Secret } from './secret.ts'
import { signingKey } from './signing-key.ts'
import type { Parsed } from './values.ts'
import * as z from './zod.ts'

/** `${NAME}` and nothing else: a secret comes whole from the environment or stands whole in the file. */
function parseSecret(written: string): Parsed<Secret> {
  const variable = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(written)?.[1]
  if (variable === undefined) {
    return written === '' ? { ok: false, problem: 'it is empty' } : { ok: true, value: new Secret(written) }
  }
  const value = process.env[variable]
  if (!value) return { ok: false, problem: `the environment variable ${variable} is not set` }
  return { ok: true, value: new Secret(value) }
}

/** The problem never repeats what was written: it may be most of a secret. */
function parseSecretUrl(written: string): Parsed<Secret> {
  const secret = parseSecret(written)
  if (!secret.ok) return secret
  const url = secret.value.reveal()
  const isUrl = URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol)
  return isUrl ? secret : { ok: false, problem: 'it is not an http or https URL' }
}

/** The problem never repeats what was written. */
function parseSigningKey(written: string): Parsed<Secret> {
  const secret = parseSecret(written)
  if (!secret.ok || signingKey(secret.value.reveal()) !== undefined) return secret
  const make = 'echo "whsec_$(openssl rand -base64 32)"'
  return { ok: false, problem: `it is not a key of 24 to 64 bytes in base64; ${make} makes one` }
}

const reminder = duration.refine((ms) => ms === 0 || ms >= shortestReminderMs, 'the shortest reminder is 30m')

const url = text(parseSecretUrl).describe(
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
  'a secret URL: written here, or ${NAME} for an environment variable',
)
const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is 1 to 63 letters, digits, ".", "_" or "-"')
  .refine((value) => value !== pingName, `"${pingName}" is the name of the dead man's switch`)
  .optional()
  .describe('its name in status and in --test-alert; default: its type')

const channel = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.enum(['slack', 'discord']), name, url }),
    z.strictObject({
      type: z.literal('webhook'),
      name,
      url,
      secret: text(parseSigningKey)
        .optional()
        .describe(
          'signs every message (standardwebhooks.com): a key of 24 to 64 bytes in base64, with or without whsec_',
        ),
    }),
    z.strictObject({
      type: z.literal('command'),
      name,
      command: z
        .array(z.string().min(1))
        .min(1)
        .describe('program and arguments, without a shell; JSON comes on stdin'),
      environment: z
        .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable is named by letters, digits and "_"'))
        .optional()
        .describe(
          'variables that the command needs besides PATH, HOME, LANG and the like; no others are passed on',
        ),
    }),
  ],
  { error: 'a channel has a type: slack, discord, webhook or command' },
)

const ping = z.strictObject({
  url,
  interval: duration.optional().describe('time between two pings; default 1m'),
  fail: z.boolean().optional().describe('fetch URL/fail while an incident is open'),
})

/** The keys of a channel, whatever its type, and of the dead man's switch. */
export const channelKeys = [...new Set(channel.options.flatMap(({ shape }) => Object.keys(shape)))]
export const pingKeys = Object.keys(ping.shape)

export const alerts = z.strictObject({
  reminder: reminder
    .optional()
    .describe(
      'send an open incident again after this time (at least 30m), then after twice as long each time, up to 6h; 0 = never',
    ),
  group: duration.optional().describe('collect changes of this time into one message; default 5s'),
  channels: z.array(channel).optional().describe('where alerts are sent'),
  ping: ping.optional().describe('a dead man’s switch: a URL that is fetched as long as the monitor works'),
})

type AlertsEntry = Zod.output<typeof alerts> | undefined
type ChannelEntry = Zod.output<typeof channel>

/** What the schema cannot express: channels whose names differ only in case would share a file on some file systems. */
export function alertDuplicates(entry: AlertsEntry): Problem[] {
  const names = (entry?.channels ?? []).map((channel) => nameOf(channel).toLowerCase())
  return names.flatMap((name, index) => {
    const first = names.indexOf(name)
    if (first === index) return []
    const text = `alerts.channels[${index}].name: ${name} is used twice`
    return [{ place: ['alerts', 'channels', index, 'name'], text }]
  })
}

export function alertConfiguration(entry: AlertsEntry): AlertConfiguration {
  const ping = entry?.ping
  return {
    channels: (entry?.channels ?? []).map(channelConfiguration),
    ping:
      ping === undefined
        ? undefined
        : {
            url: ping.url,
            intervalMs: ping.interval ?? pingDefaults.intervalMs,
            fail: ping.fail ?? pingDefaults.fail,
          },
    reminderMs: entry?.reminder ?? alertDefaults.reminderMs,
    groupMs: entry?.group ?? alertDefaults.groupMs,
  }
}

function channelConfiguration(entry: ChannelEntry): ChannelConfiguration {
  const ownName = nameOf(entry)
  switch (entry.type) {
    case 'webhook':
      return { ...entry, name: ownName, secret: entry.secret }
    case 'command':
      return { ...entry, name: ownName, environment: entry.environment ?? [] }
    default:
      return { ...entry, name: ownName }
  }
}

function nameOf(entry: ChannelEntry): string {
  return entry.name ?? entry.type
}
