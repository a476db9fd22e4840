import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type IncidentChange, messageOf } from '../../src/alert/incident-record.ts'
import { alertBody, messageText } from '../../src/alert/message-text.ts'
import { judgeAnswer } from '../../src/alert/outcome.ts'
import { changesIn, coalesce, enqueue, type QueuedMessage } from '../../src/alert/queue.ts'
import { redactor } from '../../src/alert/redaction.ts'
import { signatureHeaders } from '../../src/alert/signature.ts'

const change = (id: string, overrides: Partial<IncidentChange> = {}): IncidentChange => ({
  id,
  incident: 'i-1',
  event: 'opened',
  forward: 'inspector',
  port: 6274,
  subject: 'forward',
  message: 'inspector is not running',
  at: '2026-01-01T00:00:00.000Z',
  since: '2026-01-01T00:00:00.000Z',
  durationMs: 0,
  restarts: 0,
  flapping: false,
  ...overrides,
})

const message = (...ids: string[]) => messageOf(ids.map((id) => change(id)))
const queued = (ids: string[], overrides: Partial<QueuedMessage> = {}): QueuedMessage => ({
  ...message(...ids),
  attempted: false,
  dropped: 0,
  ...overrides,
})

describe('an answer', () => {
  const now = Date.UTC(2026, 0, 1)
  const judge = (status: number, headers: Record<string, string> = {}) =>
    judgeAnswer({ status, headers, body: '' }, now)

  it('2xx is a delivery, 408, 429 and 5xx are worth another try, the rest is refused', () => {
    for (const status of [200, 202, 204]) assert.equal(judge(status).kind, 'delivered', String(status))
    for (const status of [408, 429, 500, 502, 503, 504])
      assert.equal(judge(status).kind, 'retry', String(status))
    for (const status of [301, 302, 400, 401, 403, 404, 410]) {
      assert.equal(judge(status).kind, 'refused', String(status))
    }
  })

  it('says itself when to come back: seconds, a date, or Discord’s header', () => {
    const afterMs = (headers: Record<string, string>) => {
      const outcome = judge(429, headers)
      return outcome.kind === 'retry' ? outcome.afterMs : assert.fail()
    }
    assert.equal(afterMs({ 'retry-after': '30' }), 30_000)
    assert.equal(afterMs({ 'retry-after': new Date(now + 90_000).toUTCString() }), 90_000)
    assert.equal(afterMs({ 'retry-after': new Date(now - 90_000).toUTCString() }), 0)
    assert.equal(afterMs({ 'x-ratelimit-reset-after': '1.337' }), 1337)
    assert.equal(afterMs({ 'retry-after': 'soon' }), undefined)
    assert.equal(afterMs({}), undefined)
    assert.equal(afterMs({ 'retry-after': '99999999' }), 6 * 3_600_000, 'six hours at most')
  })

  it('that is the last one Discord takes for now is followed by a pause', () => {
    const headers = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset-after': '2' }
    assert.deepEqual(judge(204, headers), { kind: 'delivered', pauseMs: 2000 })
    assert.deepEqual(judge(204, { ...headers, 'x-ratelimit-remaining': '3' }), {
      kind: 'delivered',
      pauseMs: 0,
    })
  })
})

describe('a queue', () => {
  it('passes over changes that it has already', () => {
    const { queue } = enqueue([queued(['a', 'b'])], message('b', 'c'), false)
    assert.deepEqual(
      queue.map(({ changes }) => changes.map(({ id }) => id)),
      [['a', 'b'], ['c']],
    )
    assert.equal(enqueue(queue, message('a', 'c'), false).queue, queue)
  })

  it('drops the oldest beyond its limit, not the one under way, and tells with the next one', () => {
    const full = [queued(['a'], { attempted: true }), queued(['b', 'c']), queued(['d'])]
    const { queue, dropped } = enqueue(full, message('e'), true, 3)
    assert.equal(dropped, 2)
    assert.deepEqual(
      queue.map(({ changes, dropped: before }) => [changes.map(({ id }) => id).join(), before]),
      [
        ['a', 0],
        ['d', 2],
        ['e', 0],
      ],
    )
    assert.match(
      messageText(queue[1] ?? assert.fail(), { host: 'box' }),
      /\(2 older alerts could not be kept/,
    )
  })

  it('merges more than three messages, never one that may have arrived', () => {
    const three = [queued(['a']), queued(['b']), queued(['c'])]
    assert.equal(coalesce(three), three)
    const merged = coalesce([queued(['a'], { attempted: true }), queued(['b']), queued(['c']), queued(['d'])])
    assert.deepEqual(
      merged.map(({ changes }) => changes.map(({ id }) => id).join('')),
      ['a', 'bcd'],
    )
    assert.equal(merged[1]?.id, message('b', 'c', 'd').id)
  })

  it('loses, repeats and reorders nothing, and never grows beyond its limit', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 60 }), (sizes) => {
        let queue: readonly QueuedMessage[] = []
        let lost = 0
        let number = 0
        for (const size of sizes) {
          const ids = Array.from({ length: size }, () => String(number++))
          const result = enqueue(coalesce(queue), message(...ids), false, 20)
          queue = result.queue
          lost += result.dropped
        }
        const ids = queue.flatMap(({ changes }) => changes.map(({ id }) => Number(id)))
        const expected = Array.from({ length: number - lost }, (_, index) => index + lost)
        assert.deepEqual(ids, expected)
        assert.ok(changesIn(queue) <= 20)
        assert.equal(
          queue.reduce((sum, { dropped }) => sum + dropped, 0),
          lost,
        )
      }),
    )
  })
})

describe('the text of a message', () => {
  it('says who speaks, what happened, how long it lasted and what was done', () => {
    const text = messageText(
      queued([], {
        changes: [
          change('a'),
          change('b', { event: 'resolved', message: 'works again', durationMs: 185_000, restarts: 3 }),
        ],
      }),
      { host: 'box' },
    )
    assert.equal(
      text,
      'port-watchdog on box: 1 new problem, 1 resolved\n' +
        '✗ critical: inspector is not running [i-1]\n' +
        '✓ works again (after 3 min, restarted 3 times) [i-1]',
    )
  })

  it('tells how much it matters', () => {
    const message = (overrides: Partial<IncidentChange>) =>
      alertBody(queued([], { changes: [change('a', overrides)] }), { host: 'box' })
    assert.equal(message({}).severity, 'critical')
    assert.equal(message({ subject: 'memory' }).severity, 'warning')
    assert.equal(message({ event: 'resolved' }).severity, 'info')
    assert.match(message({ subject: 'cpu' }).text, /✗ warning: /)
  })

  it('holds no command line, no control character and no second line of what others have named', () => {
    const told =
      'the port is taken by PID 42 (/usr/bin/psql --password geheim)\n2026-01-01 ✓ FORGED \u202e\u001b[2J'
    const body = alertBody(queued([], { changes: [change('a', { message: told })] }), { host: 'box' })
    assert.doesNotMatch(JSON.stringify(body), /geheim/)
    assert.match(body.text, /by PID 42 \(psql\)␊2026-01-01 ✓ FORGED <U\+202E>␛\[2J/)
    assert.equal(body.text.split('\n').length, 2)
  })

  it('fits any limit, and counts what does not', () => {
    const ids = Array.from({ length: 100 }, (_, index) => String(index))
    const text = messageText(queued(ids), { host: 'box' }, 2000)
    assert.ok(text.length <= 2000)
    const shown = text.split('\n').filter((line) => line.startsWith('✗')).length
    assert.match(text, new RegExp(`… and ${100 - shown} more$`))
  })
})

describe('redaction', () => {
  it('takes a URL out however it is echoed, and leaves the host', () => {
    const url = 'https://hooks.example.com/services/T01234567/B01234567/abcdefghijkl?token=tokentoken1'
    const redact = redactor([url, 'whsec_c2VjcmV0'])
    for (const text of [
      `no route to ${url}`,
      'Cannot POST /services/T01234567/B01234567/abcdefghijkl?token=tokentoken1',
      'webhook abcdefghijkl is unknown, tokentoken1',
      'key whsec_c2VjcmV0',
    ]) {
      assert.doesNotMatch(redact(text), /T01234567|abcdefghijkl|tokentoken1|c2VjcmV0/)
    }
    assert.equal(redact('getaddrinfo ENOTFOUND hooks.example.com'), 'getaddrinfo ENOTFOUND hooks.example.com')
  })
})

describe('a signature', () => {
  it('is that of standardwebhooks.com', () => {
    // The example of its specification's libraries.
    const headers = signatureHeaders(
      'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      'msg_p5jXN8AQM9LWM0D4loKWxJek',
      '{"test": 2432232314}',
      1_614_265_330_000,
    )
    assert.deepEqual(headers, {
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    })
  })

  it('is made with 24 to 64 bytes in base64, with or without whsec_, and with nothing that can be guessed', () => {
    const sign = (secret: string) => signatureHeaders(secret, 'id', 'body', 5000)['webhook-signature']
    for (const bytes of [24, 64]) {
      const key = Buffer.alloc(bytes, 7)
      const expected = createHmac('sha256', key).update('id.5.body').digest('base64')
      assert.equal(sign(key.toString('base64')), `v1,${expected}`)
      assert.equal(sign(`whsec_${key.toString('base64')}`), `v1,${expected}`)
    }
    const short = Buffer.alloc(23, 7).toString('base64')
    const long = Buffer.alloc(65, 7).toString('base64')
    for (const secret of ['', 'whsec_', 'whsec_!!!!', 'any text', short, `whsec_${short}`, long]) {
      assert.throws(() => sign(secret), secret)
    }
  })
})
