// Keys in a real PostgreSQL: two gateways behind a forwarder that spreads over them, a database that dies and comes back, and what people
// and databases get wrong.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LastUses } from '../../src/gateway/store/last-uses.ts'
import { Database } from '../../src/gateway/store/postgres/database.ts'
import { PostgresStore } from '../../src/gateway/store/postgres/index.ts'
import { makeKey } from '../../src/record/api-keys.ts'
import { child } from '../support/gateway.ts'
import { canary, noPostgres, Postgres } from '../support/postgres.ts'
import { freePort, run, skipFor, until } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'

const question = '{"jsonrpc":"2.0","method":"tools/list","id":1}'

/** Seconds that known keys are taken without the database. */
const outage = 5

function post(port: number, key: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/mcp`, {
    method: 'POST',
    // Each request is a connection of its own, so that the forwarder chooses a gateway for it.
    headers: { 'content-type': 'application/json', 'x-api-key': key, connection: 'close' },
    body: question,
  })
}

async function statusOf(port: number, key: string): Promise<number> {
  const response = await post(port, key)
  await response.text()
  return response.status
}

describe.skipIf(skipFor(noPostgres()))('Keys in PostgreSQL', () => {
  const watched = new Watched()
  let database: Postgres
  /** Of the two gateways, and of the forward before them. */
  let ports: readonly [number, number]
  let front: number
  const states = () => [1, 2].map((copy) => watched.file(`gateway-${copy}`))

  const key = async (...words: string[]) =>
    watched.run('mcp-proxy', 'key', ...words, '--store', database.url())
  const ofGateway = (...words: string[]) =>
    run(command('mcp-proxy', ...words, '--state-dir', states()[0] ?? ''))
  const made = async (name: string) => (await key('create', name)).stdout.trim()
  const logs = () => states().map((folder) => readFileSync(`${folder}/mcp_proxy.log`, 'utf8'))

  beforeAll(async () => {
    database = await Postgres.begin()
    for (;;) {
      ports = [await freePort(), await freePort()]
      if (ports[1] === ports[0] + 1) break
    }
    front = await freePort()
    process.env.STORE_URL = database.url()
    const gateways = watched.file('gateways.json')
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the gateway resolves it.
    const gateway = { store: { url: '${STORE_URL}', outage: `${outage}s` }, access: { lastUsed: '1s' } }
    writeFileSync(gateways, JSON.stringify({ connectors: { echo: child() }, gateway }), { mode: 0o600 })
    const words = ['start', '--all', '--config', gateways, '--http', '127.0.0.1:{port}']
    const configuration = {
      programs: [
        {
          name: 'gateway-copies',
          command: command('mcp-proxy', ...words, '--state-dir', watched.file('gateway-{instance}')),
          passEnv: ['STORE_URL'],
          ready: { port: ports[0] },
          instances: 2,
        },
      ],
      forwards: [{ name: 'front', listen: front, target: 'program:gateway-copies' }],
    }
    const file = watched.file('configuration.json')
    writeFileSync(file, JSON.stringify(configuration))
    // Both start at once, and find a database without a schema.
    const monitor = watched.start('proxy-monitor', '--config', file)
    await monitor.line(/Monitor started/)
    for (const port of ports)
      await until('both gateways serve', async () => (await statusOf(port, 'none')) === 401 || undefined)
  })

  afterAll(async () => {
    await watched.remove()
    await database.remove()
  })

  it('made with one command work at every gateway at once; the streams of a revoked one end', async () => {
    const secret = await made('laptop')
    for (let round = 0; round < 6; round++) expect(await statusOf(front, secret)).toBe(200)
    for (const port of ports) expect(await statusOf(port, secret)).toBe(200)
    const streams = await Promise.all(
      ports.map((port) =>
        fetch(`http://127.0.0.1:${port}/sse`, {
          headers: { 'x-api-key': secret, accept: 'text/event-stream' },
        }),
      ),
    )
    const connections = await database.sql<{ count: string }>(
      `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mcp-proxy'`,
    )
    expect(Number(connections[0]?.count)).toBeLessThanOrEqual(2 * 11)
    expect((await key('revoke', 'laptop')).stdout).toContain('revoked laptop')
    for (const stream of streams) expect(await stream.text()).toContain('endpoint')
  })

  it('are heard of within a second, whoever changes them', async () => {
    const store = new PostgresStore(new Database(database.url()))
    const took: number[] = []
    try {
      for (const name of ['one', 'two', 'three']) {
        const { secret, key: made } = await store.create({
          name,
          scopes: ['control'],
          units: null,
          expiresAt: null,
        })
        for (const port of ports) expect(await statusOf(port, secret)).toBe(200)
        const revokedAt = performance.now()
        await store.revoke(made.id)
        await until('both refuse it', async () => {
          const statuses = await Promise.all(ports.map((port) => statusOf(port, secret)))
          return statuses.every((status) => status === 401) || undefined
        })
        took.push(performance.now() - revokedAt)
      }
    } finally {
      await store.close()
    }
    // On a machine with other work each may be late.
    expect(Math.min(...took)).toBeLessThan(1000)
  })

  it('are read from memory, not from the database, until a reload asks again', async () => {
    const secret = await made('often')
    const marker = await made('marker')
    expect(await statusOf(ports[0], marker)).toBe(200)
    await key('revoke', 'marker')
    // The database tells of changes in their order: what is known of the first key is not dropped any more.
    await until('the news have come', async () => (await statusOf(ports[0], marker)) === 401 || undefined)
    await statusOf(ports[0], secret)
    const misses = async () => {
      const answer = await fetch(`http://127.0.0.1:${ports[0]}/metrics`, { headers: { 'x-api-key': secret } })
      const text = await answer.text()
      return Number(/cache_lookups_total\{cache="key",result="miss"\} (\d+)/.exec(text)?.[1])
    }
    const before = await misses()
    for (let round = 0; round < 100; round++) await statusOf(ports[0], secret)
    expect(await misses()).toBe(before)
    const { code } = await ofGateway('reload')
    expect(code).toBe(0)
    await statusOf(ports[0], secret)
    expect(await misses()).toBe(before + 1)
  })

  it('are rotated at once, and when they were last used is written', async () => {
    const old = await made('rotated')
    expect(await statusOf(ports[0], old)).toBe(200)
    await until('its use is written', async () => {
      const rows = await database.sql(
        `SELECT 1 FROM mcp_proxy_keys WHERE name = 'rotated' AND last_used_at IS NOT NULL`,
      )
      return rows.length === 1 || undefined
    })
    const fresh = (await key('rotate', 'rotated')).stdout.trim()
    expect(await statusOf(ports[1], fresh)).toBe(200)
    await until('the old one is refused', async () => (await statusOf(ports[1], old)) === 401 || undefined)
  })

  it('may be changed by hand, too: gateways hear of that', async () => {
    const [one, other] = [
      makeKey({ name: 'by hand', scopes: ['control'], units: null, expiresAt: null }),
      await made('goes'),
    ]
    const { id, hash } = one.key
    expect(await statusOf(ports[0], one.secret)).toBe(401)
    expect(await statusOf(ports[0], other)).toBe(200)
    await database.sql(`INSERT INTO mcp_proxy_keys (id, name, hash) VALUES ('${id}', 'by hand', '${hash}')`)
    await until('it is taken', async () => (await statusOf(ports[0], one.secret)) === 200 || undefined)
    await database.sql(`UPDATE mcp_proxy_keys SET expires_at = now() WHERE name = 'goes'`)
    await until('it has expired', async () => (await statusOf(ports[0], other)) === 401 || undefined)
  })

  it('have names that are only text to the database', async () => {
    const hostile = [`x'); DROP TABLE mcp_proxy_keys; --`, `a" OR 1=1; $1`, `\\'; SELECT pg_sleep(9); --`]
    const store = new PostgresStore(new Database(database.url()))
    try {
      for (const name of hostile) {
        const { key: first } = await store.create({
          name,
          scopes: ['control'],
          units: [name],
          expiresAt: null,
        })
        await expect(store.create(first)).rejects.toThrow('already')
        const { key: second } = await store.replace(first.id, first)
        expect(await store.find(second.id)).toMatchObject({ name, units: [name] })
        expect((await store.list()).filter((one) => one.name === name)).toHaveLength(1)
        for (const id of [name, `' OR '1'='1`]) await store.revoke(id)
        expect(await store.find(second.id)).toMatchObject({ name })
        expect(await store.find(name)).toBeUndefined()
      }
    } finally {
      await store.close()
    }
    expect((await key('revoke', `' OR '1'='1`)).code).toBe(64)
    expect((await key('revoke', hostile[0] ?? '')).stdout).toContain(`revoked ${hostile[0]}`)
    for (const shown of [`pwk_aaaaaaaaaa_' OR 1=1`, `' OR 1=1 --`])
      expect(await statusOf(ports[0], shown)).toBe(401)
  })

  it('that are known are taken at once while the database hangs; others are told to wait', async () => {
    const secret = await made('waits')
    const unused = await made('unused before it hangs')
    expect(await statusOf(ports[0], secret)).toBe(200)
    database.freeze()
    try {
      const statuses = await Promise.all([statusOf(ports[0], unused), statusOf(ports[0], secret)])
      expect(statuses).toEqual([503, 200])
    } finally {
      database.freeze('SIGCONT')
    }
    await until('it answers again', async () => (await statusOf(ports[0], unused)) === 200 || undefined)
  })

  it('are taken while the database is dead, for as long as is configured; when it is back, new ones work', async () => {
    const secret = await made('survives')
    const unused = await made('unused')
    for (const port of ports) expect(await statusOf(port, secret)).toBe(200)
    await database.kill()
    const meanwhile = await Promise.all(Array.from({ length: 10 }, () => statusOf(front, secret)))
    expect(new Set(meanwhile)).toEqual(new Set([200]))
    const unknown = await post(front, unused)
    expect(unknown.status).toBe(503)
    expect(unknown.headers.get('retry-after')).toBe('5')
    expect(await unknown.text()).toContain('the store of the keys does not answer')
    const ready = await fetch(`http://127.0.0.1:${ports[0]}/readyz`, { headers: { 'x-api-key': secret } })
    expect(ready.status).toBe(200)
    expect(await ready.json()).toMatchObject({ store: { kind: 'postgres', state: 'down', serves: true } })
    await until(
      'it is over',
      async () => (await statusOf(ports[0], secret)) === 503 || undefined,
      outage * 2000,
    )
    expect((await fetch(`http://127.0.0.1:${ports[0]}/readyz`)).status).toBe(503)
    const status = await ofGateway('status')
    expect(status.stdout).toMatch(
      /Keys: +PostgreSQL at 127\.0\.0\.1:\d+\/postgres\n.*not reachable for \d+s; clients get 503/,
    )
    // A gateway that starts now goes on waiting.
    const late = new PostgresStore(new Database(database.url()))
    const told: string[] = []
    await late.watch({
      changed: () => {},
      lost: (problem) => told.push(problem),
      back: () => told.push('back'),
    })
    expect(told).toEqual([expect.stringContaining('ECONNREFUSED')])
    await database.start()
    await until('the late one has it', async () => told.includes('back') || undefined)
    await late.close()
    for (const port of ports)
      await until('the known one works', async () => (await statusOf(port, secret)) === 200 || undefined)
    const fresh = await made('after')
    for (const one of [fresh, unused]) for (const port of ports) expect(await statusOf(port, one)).toBe(200)
    for (const log of logs()) {
      expect(log).toMatch(/✗ Keys cannot be looked up, those that are known are taken for 5 s/)
      expect(log).toMatch(/none is taken any more/)
      expect(log).toMatch(/Keys can be looked up again, after \d+ s/)
    }
  })

  it('are made where the gateway keeps them: a command that would make them elsewhere is refused', async () => {
    const { code, stderr } = await ofGateway('key', 'create', 'elsewhere')
    expect(code).toBe(64)
    expect(stderr).toMatch(
      /keeps its keys in 127\.0\.0\.1:\d+\/postgres: give --store with its URL, or --config\n$/,
    )
  })

  it('keep the password of the database out of everything that gateways write and say', async () => {
    const [state = ''] = states()
    const files = ['mcp_proxy.log', 'mcp-proxy-logs.jsonl', 'mcp-proxy-runtime-state.json']
    const { stdout } = await ofGateway('status', '--json')
    const wrong = await watched.run(
      'mcp-proxy',
      'key',
      'list',
      '--store',
      database.url('postgres', `postgres:${canary}x`),
    )
    expect(wrong).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('password authentication failed'),
    })
    const broken = await watched.run('mcp-proxy', 'key', 'list', '--store', `postgres:${canary}@nowhere`)
    expect(broken.code).toBe(69)
    const shown = await watched.run('mcp-proxy', 'key', 'list', '--store', `mysql://root:${canary}@db/keys`)
    expect(shown.code).toBe(64)
    const texts = [...files.map((file) => readFileSync(`${state}/${file}`, 'utf8')), stdout]
    for (const text of [...texts, wrong.stderr, broken.stderr, shown.stderr])
      expect(text).not.toContain(canary)
  })

  describe('of which this program may not make what it needs', () => {
    it('are read by a user who may only read, and said so where that is not enough', async () => {
      await database.sql(
        `CREATE ROLE reader LOGIN PASSWORD 'reads'; GRANT SELECT ON mcp_proxy_keys, mcp_proxy_schema TO reader`,
      )
      const url = database.url('postgres', 'reader:reads')
      const secret = await made('read')
      const list = await watched.run('mcp-proxy', 'key', 'list', '--store', url)
      expect(list).toMatchObject({ code: 0, stdout: expect.stringContaining('read  pwk_') })
      const create = await watched.run('mcp-proxy', 'key', 'create', 'x', '--store', url)
      expect(create.code).toBe(78)
      expect(create.stderr).toMatch(/^mcp-proxy: the store .* permission denied for table mcp_proxy_keys\n$/)
      const store = new PostgresStore(new Database(url))
      const said: string[] = []
      const uses = new LastUses(store, 1, (message) => said.push(message))
      try {
        const id = secret.slice(4, 14)
        expect(await store.find(id)).toMatchObject({ name: 'read' })
        uses.used(id)
        await until('it is said', async () => said.length > 0 || undefined)
        await uses.close()
        expect(said).toEqual([expect.stringContaining('permission denied')])
      } finally {
        await store.close()
      }
      await database.sql('CREATE DATABASE empty')
      const empty = await watched.run(
        'mcp-proxy',
        'key',
        'list',
        '--store',
        database.url('empty', 'reader:reads'),
      )
      expect(empty).toMatchObject({ code: 78, stderr: expect.stringContaining('permission denied') })
    })

    it('are left alone where the schema is of a newer version', async () => {
      await database.sql('CREATE DATABASE newer')
      await database.sql('CREATE TABLE mcp_proxy_schema AS SELECT 99 AS version', 'newer')
      const url = database.url('newer')
      const start = [
        'start',
        '--all',
        '--config',
        watched.file('gateways.json'),
        '--http',
        `127.0.0.1:${await freePort()}`,
      ]
      for (const words of [['key', 'list'], start]) {
        const { code, stderr } = await watched.run('mcp-proxy', ...words, '--store', url)
        expect(code).toBe(78)
        expect(stderr).toMatch(/has schema version 99, and this mcp-proxy knows 1: install/)
      }
      expect(await database.sql('SELECT version FROM mcp_proxy_schema', 'newer')).toEqual([{ version: 99 }])
    })
  })
})
