import { describe, expect, it } from 'vitest'
import * as z from '../../src/config/zod.ts'
import { carryOut, orders, ordersOf } from '../../src/orders/index.ts'
import { actorInWords } from '../../src/orders/order.ts'
import { keyPrincipal, ownerPrincipal, type Principal } from '../../src/orders/principal.ts'
import type { ApiKey } from '../../src/record/api-keys.ts'
import { type NamedEvent, namedEvents } from '../../src/record/journal.ts'
import type { JournalEvent } from '../../src/record/shapes/journal.ts'
import type { ForwardRecord } from '../../src/record/shapes/runtime-state.ts'
import { fakeMonitor } from '../support/fake-monitor.ts'
import { wellRecord } from '../support/status-facts.ts'

const actor = { user: 'alice', uid: 1000, via: 'mcp' } as const
const owner = ownerPrincipal(actor)
const gone = new AbortController().signal

/** Whoever holds a key with this scope, bound to these units. */
function holderOf(scopes: ApiKey['scopes'], units: ApiKey['units'] = null): Principal {
  const key: ApiKey = {
    id: 'abcdefghij',
    name: 'agent',
    hash: '',
    scopes,
    units,
    createdAt: '2026-11-26T12:00:00.000Z',
    expiresAt: null,
    lastUsedAt: null,
  }
  return keyPrincipal(key, 'http', '192.0.2.7')
}

/** Events of the past, a millisecond apart. */
function eventsOf(...events: JournalEvent[]): NamedEvent[] {
  const stamped = events.map((event, index) => {
    return { time: '2026-11-26T12:00:00.000Z', bootId: '0123456789', monotonicMs: 100 + index, ...event }
  })
  return namedEvents(stamped)
}

function monitorOf(...records: Partial<ForwardRecord>[]) {
  const fake = fakeMonitor(records)
  const give = (name: string, input: unknown = {}, principal = owner) =>
    carryOut(name, input, { monitor: fake.monitor, principal, gone })
  return { ...fake, give }
}

describe('The table of orders', () => {
  it('names each order once, in kebab-case, with a sentence, and describes input and output', () => {
    const names = orders.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    for (const { name, summary, input, output } of orders) {
      expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/)
      expect(summary).toMatch(/^[A-Z].*\.$/)
      expect(z.toJSONSchema(input, { io: 'input' })).toMatchObject({
        type: 'object',
        additionalProperties: false,
      })
      expect(z.toJSONSchema(output, { io: 'input', unrepresentable: 'any' })).toHaveProperty('type')
    }
  })

  it('has a scope for each that changes nothing, or is journalled', () => {
    for (const { name, scope, changes } of orders) {
      expect(changes, name).toBe(scope !== 'read' && !['key-list', 'config-check'].includes(name))
    }
  })

  it('says of each whether a key that is bound to some units may give it', () => {
    const aboutMonitor = orders.filter(({ perUnit }) => perUnit !== true).map(({ name }) => name)
    expect(aboutMonitor).toEqual([
      'reload',
      'stop-monitor',
      'test-alert',
      'config-show',
      'config-check',
      'config-diff',
      'config-history',
      'config-change',
      'config-undo',
      'config-restore',
      'key-create',
      'key-list',
      'key-revoke',
    ])
  })
})

describe('carryOut', () => {
  it('remembers what is wanted before it is done, and journals who wanted it', async () => {
    const { give, told, journalled } = monitorOf({ name: 'web', port: 1 })
    const answer = await give('stop', { units: ['1'], wait: false })
    expect(answer).toMatchObject({
      done: true,
      output: { units: [{ outcome: 'ordered', remembered: true }] },
    })
    const who = actorInWords(actor)
    expect(told).toEqual([
      'web is wanted down',
      `web: stop, ordered by ${who}`,
      `Order of ${who}: stop web: under way`,
    ])
    expect(journalled).toMatchObject([
      { event: 'order', order: 'stop', actor, units: ['web'], outcome: 'done', code: null, message: null },
    ])
  })

  it('says when it cannot be done, and does nothing', async () => {
    const supervised = { memory: { ...wellRecord.memory, supervisor: 'systemd' as const } }
    const { give, told } = monitorOf(
      { name: 'a', ...supervised },
      { name: 'b', phase: 'down', identity: null },
    )
    for (const [order, unit, code] of [
      ['stop', 'a', 'supervised'],
      ['drain', 'a', 'supervised'],
      ['restart', 'a', 'supervised'],
      ['hand-over', 'b', 'not-running'],
      ['retry', 'b', 'stopped'],
    ] as const) {
      const answer = await give(order, { units: [unit] })
      expect(answer).toMatchObject({
        done: false,
        output: { units: [{ outcome: 'failed', error: { code } }] },
      })
    }
    expect(told.filter((line) => !line.startsWith('Order of '))).toEqual([])
  })

  it('gives up waiting in time, and says how it stands', async () => {
    const { give } = monitorOf({
      name: 'web',
      phase: 'backoff',
      identity: null,
      reason: 'it ended with code 1',
    })
    const answer = await give('start', { units: ['web'], timeoutMs: 20 })
    expect(answer).toMatchObject({
      done: false,
      output: {
        units: [
          {
            error: {
              code: 'timed-out',
              message: 'start of web is not done yet: backoff (it ended with code 1)',
            },
          },
        ],
      },
    })
  })

  it('refuses what it does not know, with what there is', async () => {
    const { give } = monitorOf({ name: 'web' }, { name: 'api' })
    expect(await give('sotp')).toMatchObject({ error: { code: 'unknown-order' } })
    expect(await give('stop', { units: ['wbe'] })).toMatchObject({
      error: { code: 'unknown-unit', next: 'name one of web, api' },
    })
    expect(await give('reload')).toMatchObject({ error: { code: 'no-configuration-file' } })
  })
})

describe('What a principal may', () => {
  it('refuses an order whose scope the key does not have, and audits it', async () => {
    const { give, told, audited } = monitorOf({ name: 'web' })
    const reader = holderOf(['read'])
    expect(await give('stop', { units: ['web'] }, reader)).toMatchObject({
      error: {
        code: 'not-permitted',
        message: 'stop needs the scope "control", which this key does not have',
      },
    })
    expect(told).toEqual([])
    expect(audited).toMatchObject([
      {
        actor: { user: 'agent', uid: null, via: 'http' },
        key: 'abcdefghij',
        from: '192.0.2.7',
        order: 'stop',
        units: ['web'],
        outcome: 'refused',
        code: 'not-permitted',
      },
    ])
  })

  it('gives no key an order of the owner, whatever its scopes', async () => {
    const { give } = monitorOf()
    const strong = holderOf(['read', 'control', 'input', 'config'])
    for (const name of ['key-create', 'key-list', 'key-revoke'])
      expect(await give(name, {}, strong)).toMatchObject({ error: { code: 'not-permitted' } })
    expect(ordersOf(strong).map(({ name }) => name)).not.toContain('key-list')
  })

  it('shows a bound key its units alone, in lists, orders for all and mistakes', async () => {
    const { give, told, audited } = monitorOf({ name: 'web', port: 1 }, { name: 'api', port: 2 })
    const bound = holderOf(['read', 'control'], ['web'])
    expect(await give('list', {}, bound)).toMatchObject({ output: { units: [{ name: 'web' }] } })
    await give('stop', { all: true, wait: false }, bound)
    expect(told.filter((line) => line.includes('api'))).toEqual([])
    for (const unit of ['api', '2', 'nothing']) {
      expect(await give('stop', { units: ['web', unit] }, bound)).toMatchObject({
        error: {
          code: 'unknown-unit',
          message: `there is no forward or program "${unit}"`,
          next: 'name one of web',
        },
      })
    }
    expect(audited.slice(-3).map(({ outcome }) => outcome)).toEqual(['refused', 'refused', 'refused'])
  })

  it('refuses a bound key what is about the whole monitor', async () => {
    const { give, told } = monitorOf({ name: 'web' })
    const bound = holderOf(['read', 'control', 'config'], ['web'])
    for (const name of ['reload', 'stop-monitor', 'test-alert'])
      expect(await give(name, {}, bound)).toMatchObject({ error: { code: 'not-permitted' } })
    expect(told).toEqual([])
  })

  it('tells a bound key only the events of its units', async () => {
    const order = (units: string[]): JournalEvent => ({
      ...{ event: 'order', order: 'stop', actor, units, outcome: 'done' },
      ...{ code: null, message: null, tookMs: 1 },
    })
    const { give, past } = monitorOf({ name: 'web' }, { name: 'api' })
    past.push(...eventsOf(order(['web']), order(['api']), order(['web', 'api']), order([])))
    const told = async (principal: Principal) => {
      const answer = await give('follow-events', { last: 10, forMs: 0 }, principal)
      return (answer as { output: { events: NamedEvent[] } }).output.events.map(({ id }) => id)
    }
    expect(await told(holderOf(['read'], ['web']))).toEqual(['01234567.100.0'])
    expect(await told(holderOf(['read']))).toHaveLength(4)
  })

  it('goes on after an event, and says when that one is not known any more', async () => {
    const { give, past } = monitorOf()
    past.push(...eventsOf(...[1, 2, 3].map((): JournalEvent => ({ event: 'monitor-stopped', reason: 'x' }))))
    expect(await give('follow-events', { after: '01234567.100.0', forMs: 0 })).toMatchObject({
      output: { events: [{ id: '01234567.101.0' }, { id: '01234567.102.0' }], leftOut: 0 },
    })
    expect(await give('follow-events', { after: '01234567.999.0', forMs: 0 })).toMatchObject({
      output: { events: [], leftOut: null },
    })
  })

  it('audits what changes something with what was asked for, without secrets', async () => {
    const { give, audited } = monitorOf({ name: 'web' })
    await give('stop', { units: ['web'], wait: false })
    await give('stop', { units: ['token=abcdefgh'] })
    await give('list')
    expect(audited).toMatchObject([
      { actor, key: null, from: null, order: 'stop', input: { wait: false }, outcome: 'done', code: null },
      { input: { units: ['token=[redacted]'] }, outcome: 'failed', code: 'unknown-unit' },
    ])
    expect(audited).toHaveLength(2)
  })

  it('masks secrets in what it answers', async () => {
    const { give } = monitorOf({
      name: 'web',
      target: 'http://me:hunter2@db',
      failures: 1,
      reason: 'TOKEN=abc',
    })
    expect(await give('list')).toMatchObject({
      output: { units: [{ target: 'http://[redacted]@db', reason: 'TOKEN=[redacted]' }] },
    })
  })
})
