import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import type { AlertBody } from '../../src/alert/message-text.ts'
import type { ChannelConfiguration } from '../../src/config/alert-options.ts'
import { Secret } from '../../src/config/secret.ts'
import { AlertReceiver, type Answer, fine } from '../support/alert-receiver.ts'
import { AlertRoom, quick } from '../support/alert-room.ts'
import { until } from '../support/tools.ts'

const webhook = (url: string, secret?: string): ChannelConfiguration => ({
  type: 'webhook',
  name: 'hook',
  url: new Secret(url),
  secret: secret === undefined ? undefined : new Secret(secret),
})

const bodyOf = ({ body }: { body: string }) => JSON.parse(body) as AlertBody
const idsOf = (received: { body: string }) => bodyOf(received).changes.map(({ id }) => id)

/** Answers in turn to one alert; resolves when it was delivered. */
async function deliver(t: TestContext, answers: readonly Answer[], tuning = quick) {
  const receiver = await AlertReceiver.start(t, answers)
  const room = new AlertRoom(t, { channels: [webhook(receiver.url())] }, tuning)
  room.open('inspector')
  const received = await receiver.count(answers.length)
  await until('delivered', async () => room.health('hook')?.queued === 0 || undefined)
  return { receiver, room, received }
}

/** No file, no line of the log holds a piece of the URL. */
function assertNoSecret(room: AlertRoom): void {
  const files = readdirSync(room.directory).map((name) => readFileSync(join(room.directory, name), 'utf8'))
  assert.doesNotMatch([...files, ...room.log].join('\n'), /secretsecretsecret|T0123456789|B0123456789/)
}

describe('a webhook that answers', () => {
  it('200: has it once, and the channel is well', async (t) => {
    const { room, received } = await deliver(t, [fine])
    assert.equal(received.length, 1)
    const health = room.health('hook')
    assert.equal(health?.state, 'ok')
    assert.equal(health?.delivered, 1)
    assertNoSecret(room)
  })

  it('429 with Retry-After: is left alone for so long', async (t) => {
    const { received } = await deliver(t, [{ status: 429, headers: { 'retry-after': '1' } }, fine])
    const [first, second] = received
    assert.ok((second?.at ?? 0) - (first?.at ?? 0) >= 1000)
    assert.equal(second?.body, first?.body, 'the same message, byte for byte')
  })

  it('429 as Discord does: X-RateLimit-Reset-After in fractions of a second', async (t) => {
    const headers = { 'x-ratelimit-reset-after': '0.4', 'x-ratelimit-remaining': '0' }
    const { received } = await deliver(t, [{ status: 429, headers, body: '{"retry_after":0.4}' }, fine])
    const waited = (received[1]?.at ?? 0) - (received[0]?.at ?? 0)
    assert.ok(waited >= 400)
  })

  it('500, 503, then 200: has it once more each time, and it is said once that it failed and once that it works', async (t) => {
    const { room, received } = await deliver(t, [{ status: 500 }, { status: 503 }, fine])
    assert.equal(new Set(received.map((request) => bodyOf(request).id)).size, 1)
    assert.equal(room.log.filter((line) => line.includes('cannot deliver: HTTP 500')).length, 1)
    assert.equal(room.log.filter((line) => line.includes('delivers again')).length, 1)
  })

  it('nothing in time: is tried again', async (t) => {
    const { room } = await deliver(t, ['hang', fine], { ...quick, timeoutMs: 100 })
    assert.match(room.log.join('\n'), /no answer within 0\.1 s/)
  })

  it('and tears the connection within the answer: is tried again', async (t) => {
    const { received, room } = await deliver(t, ['reset', fine])
    assert.equal(idsOf(received[0] ?? assert.fail())[0], idsOf(received[1] ?? assert.fail())[0])
    assert.match(room.log.join('\n'), /the connection broke off/)
  })

  for (const status of [400, 404, 410]) {
    it(`${status}: is disabled loudly, keeps what comes, and the next monitor tries again`, async (t) => {
      const body = 'Cannot POST /services/T0123456789/B0123456789/secretsecretsecret'
      const receiver = await AlertReceiver.start(t, [{ status, body }])
      const channels = [webhook(receiver.url())]
      const room = new AlertRoom(t, { channels })
      room.open('inspector')
      const said = await room.said(/is disabled/)
      assert.match(
        said,
        new RegExp(`^error .*HTTP ${status}: "Cannot POST \\[redacted\\]"; correct the config`),
      )
      room.resolve('inspector')
      assert.equal(room.health('hook')?.state, 'disabled')
      assert.equal(room.health('hook')?.queued, 2)
      assertNoSecret(room)
      await room.alerts.close()
      assert.equal(receiver.received.length, 1, 'not tried again by the same monitor')

      const next = new AlertRoom(t, { channels }, {}, room.directory)
      const received = await receiver.count(3)
      assert.deepEqual(idsOf(received[1] ?? assert.fail()), idsOf(received[0] ?? assert.fail()))
      await until('well again', async () => next.health('hook')?.state === 'ok' || undefined)
    })
  }

  it('404: works again as soon as its URL is corrected', async (t) => {
    const wrong = await AlertReceiver.start(t, [{ status: 404 }])
    const right = await AlertReceiver.start(t)
    const room = new AlertRoom(t, { channels: [webhook(wrong.url())] })
    room.open('inspector')
    await room.said(/is disabled/)
    const ping = undefined
    await room.alerts.reconfigure({ channels: [webhook(right.url())], ping, reminderMs: 0, groupMs: 0 })
    const [received] = await right.count(1)
    assert.deepEqual(idsOf(received ?? assert.fail()), idsOf(wrong.received[0] ?? assert.fail()))
  })

  it('302: is disabled, because the secret would go elsewhere', async (t) => {
    const elsewhere = await AlertReceiver.start(t)
    const receiver = await AlertReceiver.start(t, [{ status: 302, headers: { location: elsewhere.url() } }])
    const room = new AlertRoom(t, { channels: [webhook(receiver.url())] })
    room.open('inspector')
    await room.said(/is disabled: HTTP 302: redirects are not followed/)
    assert.equal(elsewhere.received.length, 0)
  })
})

describe('a webhook that cannot be reached', () => {
  it('connection refused: is tried again until somebody listens', async (t) => {
    const unused = createServer()
    const port = await new Promise<number>((resolve) => {
      unused.listen(0, '127.0.0.1', () => {
        const address = unused.address()
        const free = typeof address === 'object' && address !== null ? address.port : 0
        unused.close(() => resolve(free))
      })
    })
    const url = `http://127.0.0.1:${port}/services/T0123456789/B0123456789/secretsecretsecret`
    const room = new AlertRoom(t, { channels: [webhook(url)] })
    room.open('inspector')
    await room.said(/cannot deliver: connection refused/)
    const receiver = await AlertReceiver.start(t, [], port)
    await receiver.count(1)
    await room.said(/delivers again/)
    assertNoSecret(room)
  })

  it('a name that does not exist: is tried again, and the name of the host is told', async (t) => {
    const url = 'http://hooks.invalid/services/T0123456789/B0123456789/secretsecretsecret'
    const room = new AlertRoom(t, { channels: [webhook(url)] }, { ...quick, timeoutMs: 20_000 })
    room.open('inspector')
    await room.said(/cannot deliver: its name cannot be resolved/)
    assert.equal(room.health('hook')?.state, 'retrying')
    assertNoSecret(room)
  })
})

describe('many alerts', () => {
  it('that waited are delivered as few messages, in order, none lost', async (t) => {
    const receiver = await AlertReceiver.start(t, [{ status: 503, headers: { 'retry-after': '1' } }])
    const room = new AlertRoom(t, { channels: [webhook(receiver.url())] })
    room.open('first')
    await receiver.count(1)
    for (let number = 0; number < 50; number++) room.open(`forward-${number}`)
    const received = await receiver.count(3)
    const forwards = received
      .slice(1)
      .flatMap((request) => bodyOf(request).changes.map(({ forward }) => forward))
    assert.deepEqual(forwards, ['first', ...Array.from({ length: 50 }, (_, number) => `forward-${number}`)])
  })

  it('beyond the limit: the oldest go, which is said, counted and told', async (t) => {
    const receiver = await AlertReceiver.start(t, [{ status: 503, headers: { 'retry-after': '5' } }])
    const room = new AlertRoom(t, { channels: [webhook(receiver.url())] }, { ...quick, queueLimit: 10 })
    room.open('first')
    await room.said(/cannot deliver/)
    for (let number = 0; number < 25; number++) room.open(`forward-${number}`)
    assert.match(await room.said(/oldest are dropped/), /^error/)
    assert.equal(room.health('hook')?.dropped, 16)
    assert.equal(room.health('hook')?.queued, 10)
    const received = await receiver.count(2)
    assert.equal(bodyOf(received[1] ?? assert.fail()).dropped, 16)
  })

  it('of one round are one message to each channel', async (t) => {
    const receiver = await AlertReceiver.start(t)
    const url = new Secret(receiver.url())
    const room = new AlertRoom(t, {
      groupMs: 50,
      channels: [
        { type: 'slack', name: 'slack', url },
        { type: 'discord', name: 'discord', url },
      ],
    })
    room.open('a', 'no <!channel> & no @everyone')
    room.open('b')
    const received = await receiver.count(2)
    const bodies = received.map(({ body }) => JSON.parse(body) as Record<string, unknown>)
    const slack = bodies.find(({ text }) => text !== undefined)
    const discord = bodies.find(({ content }) => content !== undefined)
    assert.match(
      String(slack?.text),
      /2 new problems\n✗ critical: no &lt;!channel&gt; &amp; no @everyone .*\n✗ /,
    )
    assert.match(String(discord?.content), /2 new problems\n✗ critical: no <!channel> & no @everyone .*\n✗ /)
    assert.deepEqual(discord?.allowed_mentions, { parse: [] })
  })
})

describe('a signed webhook', () => {
  it('can be verified by what is documented', async (t) => {
    const receiver = await AlertReceiver.start(t)
    const room = new AlertRoom(t, {
      channels: [webhook(receiver.url(), 'whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtMTIz')],
    })
    room.open('inspector')
    const [request] = await receiver.count(1)
    const { headers, body } = request ?? assert.fail()
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
    const mac = createHmac('sha256', 'secret-secret-secret-123').update(signed).digest('base64')
    assert.equal(headers['webhook-signature'], `v1,${mac}`)
    assert.equal(headers['webhook-id'], (JSON.parse(body) as AlertBody).id)
    assert.equal(headers['idempotency-key'], headers['webhook-id'])
    assert.ok(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1000) < 60)
  })
})

describe('a command', () => {
  function script(room: { directory: string }, text: string): string {
    const file = join(room.directory, 'notify')
    writeFileSync(file, `#!/bin/sh\n${text}\n`)
    chmodSync(file, 0o700)
    return file
  }

  async function withCommand(
    t: TestContext,
    text: string,
    words: readonly string[] = [],
    timeoutMs = 10_000,
  ) {
    const scripts = new AlertRoom(t, {})
    const command = [script(scripts, text), ...words]
    const room = new AlertRoom(
      t,
      { channels: [{ type: 'command', name: 'script', command, environment: [] }] },
      { timeoutMs },
    )
    return { room, directory: scripts.directory }
  }

  it('gets its words as they are and JSON on stdin', async (t) => {
    const { room, directory } = await withCommand(t, 'cat > "$0.in"; printf %s "$1" > "$0.word"', [
      '$(id); *',
    ])
    room.open('inspector')
    await until('delivered', async () => room.health('script')?.delivered === 1 || undefined)
    const body = JSON.parse(readFileSync(join(directory, 'notify.in'), 'utf8')) as AlertBody
    assert.equal(body.changes[0]?.forward, 'inspector')
    assert.equal(readFileSync(join(directory, 'notify.word'), 'utf8'), '$(id); *')
  })

  it('that fails is run again, with its last word told', async (t) => {
    const text = 'test -e "$0.ran" && exit 0; touch "$0.ran"; echo begun >&2; echo no route >&2; exit 3'
    const { room } = await withCommand(t, text)
    room.open('inspector')
    assert.match(await room.said(/cannot deliver/), /exit code 3: "no route";/)
    await room.said(/delivers again/)
  })

  it('that hangs is killed with its children', async (t) => {
    const { room, directory } = await withCommand(t, 'sleep 600 & echo $! > "$0.pid"; wait', [], 500)
    room.open('inspector')
    await room.said(/it took more than 0\.5 s/)
    const pid = Number(readFileSync(join(directory, 'notify.pid'), 'utf8'))
    await until('the child is gone', async () => {
      try {
        return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ') || undefined
      } catch {
        return true
      }
    })
  })

  it('that is not there disables the channel', async (t) => {
    const command = ['/nowhere/notify']
    const room = new AlertRoom(t, {
      channels: [{ type: 'command', name: 'script', command, environment: [] }],
    })
    room.open('inspector')
    await room.said(/script is disabled: it cannot be run: ENOENT/)
  })
})

describe('a dead man’s switch', () => {
  it('is fetched after rounds, no more often than asked for, and says when an incident is open', async (t) => {
    const receiver = await AlertReceiver.start(t)
    const url = new Secret(receiver.url('/ping/0123456789abcdef'))
    const room = new AlertRoom(t, { ping: { url, intervalMs: 0, fail: true } })
    room.alerts.roundDone([])
    await receiver.count(1)
    await until('answered', async () => room.health('ping')?.state === 'ok' || undefined)
    room.open('inspector')
    const facts = {
      unit: 'forward-6274',
      forward: 'inspector',
      port: 6274,
      subject: 'forward',
      title: 'inspector',
      message: '',
    }
    const counts = { failingForMs: 0, restarts: 0, restartsWhileFailing: 0 }
    room.alerts.roundDone([{ condition: 'failing', facts: { ...facts, ...counts } }])
    const received = await receiver.count(2)
    assert.deepEqual(
      received.map(({ method, path }) => `${method} ${path}`),
      ['GET /ping/0123456789abcdef', 'GET /ping/0123456789abcdef/fail'],
    )
  })

  it('waits its interval', async (t) => {
    const receiver = await AlertReceiver.start(t)
    const room = new AlertRoom(t, {
      ping: { url: new Secret(receiver.url()), intervalMs: 3_600_000, fail: false },
    })
    room.alerts.roundDone([])
    await until('answered', async () => room.health('ping')?.state === 'ok' || undefined)
    room.alerts.roundDone([])
    room.alerts.roundDone([])
    assert.equal(receiver.received.length, 1)
  })

  it('that fails is said once', async (t) => {
    const receiver = await AlertReceiver.start(t, [{ status: 500 }, { status: 404 }])
    const room = new AlertRoom(t, { ping: { url: new Secret(receiver.url()), intervalMs: 0, fail: false } })
    for (const failures of [1, 2]) {
      room.alerts.roundDone([])
      await until('told', async () => room.health('ping')?.failures === failures || undefined)
    }
    room.alerts.roundDone([])
    await room.said(/is reached again/)
    assert.equal(room.log.filter((line) => line.includes('is not reached: HTTP 500')).length, 1)
    assertNoSecret(room)
  })
})

describe('a disk that takes nothing', () => {
  it('stops no alert, is said once, and everything is written when it can be', async (t) => {
    const receiver = await AlertReceiver.start(t)
    const room = new AlertRoom(t, { channels: [webhook(receiver.url())] })
    // A directory that is gone fails every write, for root too.
    rmSync(room.directory, { recursive: true })
    room.open('a')
    room.open('b')
    await receiver.when((received) => received.flatMap(idsOf).length === 2)
    assert.equal(room.log.filter((line) => /cannot be saved/.test(line)).length, 1)
    mkdirSync(room.directory)
    room.open('c')
    await receiver.when((received) => received.flatMap(idsOf).length === 3)
    await room.said(/can be saved again/)
  })
})

describe('what the monitor before has left', () => {
  it('is delivered, and what Retry-After asked for still counts', async (t) => {
    const receiver = await AlertReceiver.start(t, [{ status: 429, headers: { 'retry-after': '1' } }])
    const channels = [webhook(receiver.url())]
    const room = new AlertRoom(t, { channels })
    room.open('inspector')
    await room.said(/cannot deliver/)
    await room.alerts.close()
    new AlertRoom(t, { channels }, {}, room.directory)
    const received = await receiver.count(2)
    assert.ok((received[1]?.at ?? 0) - (received[0]?.at ?? 0) >= 1000)
  })

  it('corrupt: is kept aside and told, and alerts go on', async (t) => {
    const receiver = await AlertReceiver.start(t)
    const empty = new AlertRoom(t, {})
    writeFileSync(join(empty.directory, 'alerts.json'), '{"schemaVersion":1,"incidents":{"seed":7}}')
    writeFileSync(join(empty.directory, 'alert_hook.json'), '\0\0\0\0')
    const room = new AlertRoom(t, { channels: [webhook(receiver.url())] }, {}, empty.directory)
    assert.equal(room.log.filter((line) => /cannot be used and is kept as/.test(line)).length, 2)
    room.open('inspector')
    await receiver.count(1)
    assert.ok(readdirSync(room.directory).includes('alerts.json.corrupt'))
  })

  it('of a channel that is configured no more: is removed, and told', async (t) => {
    const receiver = await AlertReceiver.start(t, [{ status: 404 }])
    const room = new AlertRoom(t, { channels: [webhook(receiver.url())] })
    room.open('inspector')
    await room.said(/is disabled/)
    await room.alerts.close()
    const next = new AlertRoom(t, {}, {}, room.directory)
    assert.match(next.log.join('\n'), /Alert channel hook is gone, and 1 alerts with it/)
    assert.equal(next.health('hook'), undefined)
  })
})
