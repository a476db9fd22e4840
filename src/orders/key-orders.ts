/** Orders about API keys: key-create, key-list, key-revoke. No key may give them, or it could make itself a better one. */
import * as z from '../config/zod.ts'
import { type ApiKey, hasExpired, keyScopes } from '../record/api-keys.ts'
import type { OrderedMonitor } from './monitor.ts'
import { type Order, OrderRefusal, row } from './order.ts'
import { chosen } from './unit-orders.ts'

const day = 86_400_000

/** ms that a key is good for when nobody says how long. */
const usualLifeMs = 90 * day

const keyState = z.object({
  id: z.string().describe('the public part of the key'),
  name: z.string(),
  scopes: z.array(z.enum(keyScopes)),
  units: z.array(z.string()).nullable().describe('the programs and forwards that it is bound to; null = all'),
  createdAt: z.string(),
  expiresAt: z.string().nullable().describe('null = never'),
  expired: z.boolean(),
  lastUsedAt: z.string().nullable().describe('to the minute; null = never'),
})

export type KeyState = ReturnType<typeof stateOf>

function stateOf(key: ApiKey) {
  const { id, name, scopes, units, createdAt, expiresAt, lastUsedAt } = key
  return {
    id,
    name,
    scopes: [...scopes],
    units: units === null ? null : [...units],
    createdAt,
    expiresAt,
    expired: hasExpired(key),
    lastUsedAt,
  }
}

export const keyOrders: readonly Order[] = [
  row({
    name: 'key-create',
    summary: 'Make an API key and show it this once.',
    scope: 'owner',
    changes: true,
    showsSecret: true,
    input: z.strictObject({
      name: z
        .string()
        .regex(/^[\w.-]{1,64}$/, 'a name is 1 to 64 letters, digits, ".", "_" or "-"')
        .describe('whose it is, for lists, journal and audit'),
      scopes: z.array(z.enum(keyScopes)).min(1).default(['read']).describe('what it allows'),
      units: z
        .array(z.string())
        .default([])
        .describe('the programs and forwards that it may see and order; none = all'),
      expiresInMs: z
        .number()
        .int()
        .min(1000)
        .max(10 * 365 * day)
        .nullable()
        .default(usualLifeMs)
        .describe('how long it is good for; null = for ever'),
    }),
    output: z.object({ secret: z.string(), key: keyState }),
    carryOut: ({ name, scopes, units, expiresInMs }, { monitor }) => {
      const keys = monitor.keys()
      if (keys.list().some((one) => one.name === name && !hasExpired(one))) {
        const next = `choose another name, or revoke it first: proxy-ctl key revoke ${name}`
        throw new OrderRefusal('key-exists', `there is a key with the name ${name}`, next)
      }
      const bound = units.length === 0 ? null : boundTo(units, monitor)
      const expiresAt = expiresInMs === null ? null : new Date(Date.now() + expiresInMs).toISOString()
      const made = keys.create({ name, scopes: [...new Set(scopes)], units: bound, expiresAt })
      return { secret: made.secret, key: stateOf(made.key) }
    },
  }),
  row({
    name: 'key-list',
    summary: 'List the API keys, without their secrets.',
    scope: 'owner',
    changes: false,
    input: z.strictObject({}),
    output: z.object({ keys: z.array(keyState) }),
    carryOut: (_input, { monitor }) => ({ keys: monitor.keys().list().map(stateOf) }),
  }),
  row({
    name: 'key-revoke',
    summary: 'Take an API key away; what it has begun goes on, what it asks from now on is refused.',
    scope: 'owner',
    changes: true,
    input: z.strictObject({ key: z.string().describe('its name or id') }),
    output: z.object({ key: keyState }),
    carryOut: ({ key: word }, { monitor }) => {
      const keys = monitor.keys()
      const all = keys.list()
      const isNamed = (one: ApiKey) => one.id === word || one.name === word
      // An expired one may have the name of one that is valid.
      const found = all.find((one) => isNamed(one) && !hasExpired(one)) ?? all.find(isNamed)
      if (found === undefined)
        throw new OrderRefusal('unknown-key', `there is no key "${word}"`, 'proxy-ctl key list')
      keys.revoke(found.id)
      return { key: stateOf(found) }
    },
  }),
]

/** The names that a key is bound to. That of a program stands for its copies, also for those to come. */
function boundTo(units: readonly string[], monitor: OrderedMonitor): string[] {
  const names = units.flatMap((word) => {
    const found = chosen({ units: [word], all: false }, monitor)
    return found.every(({ group }) => group === word) ? [word] : found.map(({ name }) => name)
  })
  return [...new Set(names)]
}
