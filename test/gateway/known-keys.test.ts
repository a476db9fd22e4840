// What is known of keys: for how long it holds, what it costs a store, and what becomes of it while the store is away.
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { storePlace } from '../../src/config/store-configuration.ts'
import { FileStore } from '../../src/gateway/store/file-store.ts'
import { KnownKeys, type StoreNews } from '../../src/gateway/store/known-keys.ts'
import { keyOf as keyOfRow } from '../../src/gateway/store/postgres/index.ts'
import { waitBefore } from '../../src/gateway/store/postgres/listener.ts'
import { Lookups } from '../../src/gateway/store/postgres/lookups.ts'
import { type Store, StoreUnavailable, type StoreWatcher } from '../../src/gateway/store/store.ts'
import { type ApiKey, hasExpired } from '../../src/record/api-keys.ts'
import { temporaryDirectory } from '../support/children.ts'
import { until } from '../support/tools.ts'

const second = 1000
const minute = 60 * second

function keyOf(id: string): ApiKey {
  const times = { createdAt: '2026-01-01T00:00:00.000Z', expiresAt: null, lastUsedAt: null }
  return { id, name: id, hash: '0'.repeat(64), scopes: ['control'], units: null, ...times }
}

/** A store whose answers and troubles the test decides, with a clock of its own. */
function world(outageMs = 10 * minute) {
  const kept = new Map<string, ApiKey>()
  const news: StoreNews[] = []
  const counts = { hits: 0, misses: 0, asked: 0 }
  let clock = 0
  let watcher: StoreWatcher | undefined
  let isAway = false
  const unused = () => Promise.reject(new Error('nobody asks for this'))
  const store: Store = {
    kind: 'postgres',
    place: 'test',
    find: async (id) => {
      counts.asked++
      if (isAway) throw new Error('it is away')
      return kept.get(id)
    },
    list: unused,
    create: unused,
    replace: unused,
    revoke: unused,
    touch: unused,
    watch: async (given) => {
      watcher = given
    },
    peek: () => {},
    close: async () => {},
  }
  const keys = new KnownKeys({
    store,
    outageMs,
    counted: (isHit) => {
      counts[isHit ? 'hits' : 'misses']++
    },
    told: (one) => news.push(one),
    now: () => clock,
  })
  void keys.begin()
  return {
    keys,
    kept,
    news,
    counts,
    pass: (ms: number) => {
      clock += ms
    },
    changed: (id?: string) => watcher?.changed(id),
    lose: () => {
      isAway = true
      watcher?.lost('it is away')
    },
    come: () => {
      isAway = false
      watcher?.back()
    },
    vanish: () => {
      isAway = true
    },
    /** Whether a key is found, or why nobody can say. */
    find: async (id: string): Promise<string | undefined> => {
      try {
        return (await keys.find(id))?.name
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error
        return 'unavailable'
      }
    },
  }
}

describe('What is known of keys', () => {
  it('is asked for once a minute, keys and strangers alike, and at once for all who wait', async () => {
    const { keys, kept, counts, pass, find } = world()
    kept.set('a', keyOf('a'))
    expect(await Promise.all([find('a'), find('a'), find('a')])).toEqual(['a', 'a', 'a'])
    expect(counts.asked).toBe(1)
    pass(minute - 1)
    // At once, without a promise: that is how most requests are answered.
    expect(keys.find('a')).toMatchObject({ name: 'a' })
    expect(await find('stranger')).toBeUndefined()
    expect(await find('stranger')).toBeUndefined()
    expect(counts.asked).toBe(2)
    pass(1)
    await find('a')
    expect(counts).toEqual({ asked: 3, hits: 2, misses: 5 })
  })

  it('is forgotten when the store tells of a change, also while an older answer is on its way', async () => {
    const { keys, kept, changed, counts, find } = world()
    kept.set('a', keyOf('a'))
    await find('a')
    kept.delete('a')
    changed('a')
    expect(await find('a')).toBeUndefined()
    kept.set('a', keyOf('a'))
    changed('a')
    const old = keys.find('a')
    changed('a')
    await old
    const before = counts.asked
    await find('a')
    expect(counts.asked).toBe(before + 1)
  })

  it('holds for ten minutes without the store, and then nobody can say', async () => {
    const { kept, news, pass, lose, come, find, keys } = world()
    kept.set('a', keyOf('a'))
    await find('a')
    pass(5 * minute)
    keys.sweep()
    lose()
    expect(keys.health()).toMatchObject({ state: 'down', serves: true, problem: 'it is away' })
    pass(10 * minute - 1)
    expect(await find('a')).toBe('a')
    expect(await find('b')).toBe('unavailable')
    pass(1)
    expect(await find('a')).toBe('unavailable')
    expect(keys.health().serves).toBe(false)
    kept.delete('a')
    come()
    expect(await find('a')).toBeUndefined()
    expect(news).toEqual([
      { kind: 'lost', problem: 'it is away' },
      { kind: 'back', afterMs: 10 * minute },
    ])
  })

  it('is no longer certain after an outage: a second one does not make it so', async () => {
    const { kept, pass, lose, come, find } = world()
    kept.set('a', keyOf('a'))
    await find('a')
    lose()
    pass(6 * minute)
    // It is back for a moment, and nobody asks for the key.
    come()
    lose()
    pass(3 * minute)
    expect(await find('a')).toBe('a')
    pass(minute)
    expect(await find('a')).toBe('unavailable')
  })

  it('is used when a question fails, before anybody has told that the store is lost', async () => {
    const { kept, pass, vanish, find, news } = world()
    kept.set('a', keyOf('a'))
    await find('a')
    pass(2 * minute)
    vanish()
    expect(await find('a')).toBe('a')
    expect(await find('b')).toBe('unavailable')
    expect(news).toHaveLength(1)
  })

  it('lets sessions go on while it is asked for, and ends those of a key that is gone', async () => {
    const { keys, kept, pass, changed, find, lose } = world(minute)
    kept.set('a', keyOf('a'))
    await find('a')
    pass(2 * minute)
    expect(keys.admits('a', 0)).toBe(true)
    kept.delete('a')
    changed('a')
    // The answer is on its way.
    expect(keys.admits('a', 0)).toBe(true)
    await find('a')
    expect(keys.admits('a', 0)).toBe(false)
    kept.set('b', keyOf('b'))
    await find('b')
    lose()
    pass(minute)
    expect(keys.admits('b', 0)).toBe(false)
    expect(keys.admits('b', 1)).toBe(true)
  })

  it('has a bound, and guessed ids drive out no key', async () => {
    const { keys, kept, find, counts, pass } = world()
    kept.set('a', keyOf('a'))
    await find('a')
    for (let id = 0; id < 10_100; id++) await find(`guess ${id}`)
    expect(keys.size).toBe(10_001)
    const { asked } = counts
    await find('a')
    expect(counts.asked).toBe(asked)
    pass(minute)
    keys.sweep()
    expect(keys.size).toBe(1)
  })
})

it('A file of keys that is damaged takes nobody away whom the gateway knows, and what is mended holds', async (t) => {
  const store = new FileStore(temporaryDirectory(t))
  const given = { scopes: ['control'], units: null, expiresAt: null } as const
  const [known, other] = [
    await store.create({ ...given, name: 'known' }),
    await store.create({ ...given, name: 'other' }),
  ]
  const news: string[] = []
  let clock = 0
  const keys = new KnownKeys({
    store,
    outageMs: 10 * minute,
    counted: () => {},
    told: ({ kind }) => news.push(kind),
    now: () => clock,
  })
  await keys.begin()
  expect(keys.find(known.key.id)).toMatchObject({ name: 'known' })
  const whole = readFileSync(store.place, 'utf8')
  writeFileSync(store.place, whole.slice(0, -20))
  await until('it is seen', async () => {
    store.peek()
    return news.length > 0 || undefined
  })
  expect(keys.find(known.key.id)).toMatchObject({ name: 'known' })
  expect(() => keys.find(other.key.id)).toThrow(/cannot be used: .*; mend it, or move it away/)
  clock += 10 * minute
  expect(() => keys.find(known.key.id)).toThrow(StoreUnavailable)
  await expect(store.revoke(known.key.id)).rejects.toThrow('mend it')
  writeFileSync(store.place, whole)
  await until('it is mended', async () => {
    try {
      return keys.find(other.key.id)
    } catch {
      return undefined
    }
  })
  expect(keys.find(known.key.id)).toMatchObject({ name: 'known' })
  expect(news).toEqual(['lost', 'back'])
  keys.close()
})

describe('Questions to a database', () => {
  it('are one at a time, however many ids are asked for meanwhile', async () => {
    const questions: (readonly string[])[] = []
    const lookups = new Lookups(async (ids) => {
      questions.push(ids)
      await new Promise((resolve) => setImmediate(resolve))
      return new Map(ids.filter((id) => id !== 'none').map((id) => [id, `${id}!`]))
    })
    const found = ['a', 'none', 'a', ...Array.from({ length: 600 }, (_, id) => `${id}`)].map((id) =>
      lookups.find(id),
    )
    expect((await Promise.all(found)).slice(0, 4)).toEqual(['a!', undefined, 'a!', '0!'])
    expect(questions.map(({ length }) => length)).toEqual([499, 103])
  })

  it('that fail are told to those who have waited for them, and to nobody else', async () => {
    let isAway = true
    const lookups = new Lookups(async (ids) => {
      if (isAway) throw new Error('away')
      return new Map(ids.map((id) => [id, id]))
    })
    await expect(lookups.find('a')).rejects.toThrow('away')
    isAway = false
    expect(await lookups.find('a')).toBe('a')
  })
})

it('A lost database is tried again after waits that grow to five seconds, each at random', () => {
  expect([0, 1, 2, 9, 1000].map((failed) => waitBefore(failed, 1))).toEqual([200, 400, 800, 5000, 5000])
  expect(waitBefore(0, 0)).toBe(100)
})

it('The place of a store holds neither user nor password', () => {
  expect(storePlace('postgres://me:secret@db.internal/keys?sslmode=verify-full')).toBe(
    'db.internal:5432/keys',
  )
  expect(storePlace('postgresql://me:secret@[::1]:7777/keys')).toBe('[::1]:7777/keys')
  expect(storePlace('postgres:///keys?host=/run/postgresql&user=me&password=secret')).toBe(
    '/run/postgresql/keys',
  )
})

it('reads a row of the database whatever stands in it, and gives no right for what it does not understand', () => {
  const made = new Date('2026-01-01T00:00:00.000Z')
  const times = { created_at: made, expires_at: null, last_used_at: null }
  const row = {
    id: 'a',
    name: 'a',
    hash: '0'.repeat(64),
    scopes: ['control'],
    connectors: null,
    profile: null,
  }
  const read = (more: object) => keyOfRow({ ...row, ...times, ...more })
  const infinity = Number.POSITIVE_INFINITY
  expect(read({ created_at: -infinity, expires_at: infinity, last_used_at: infinity }).expiresAt).toBeNull()
  for (const expires_at of [-infinity, new Date(Number.NaN)])
    expect(hasExpired(read({ expires_at })), String(expires_at)).toBe(true)
  expect(read({ connectors: [null, ['x'], 'echo'] }).units).toEqual(['echo'])
  expect(read({ scopes: [null, 'later', 'read'] }).scopes).toEqual(['read'])
})
