import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { alertBody, messageText } from '../../src/alert/message-text.ts'
import { judgeAnswer } from '../../src/alert/outcome.ts'
import { changesIn, coalesce, enqueue, messageOf } from '../../src/alert/queue.ts'
import { signatureHeaders } from '../../src/alert/signature.ts'
import { redactor } from '../../src/log/redaction.ts'
import type { IncidentChange, QueuedMessage } from '../../src/record/shapes/alerts.ts'

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
    for (const status of [200, 202, 204]) expect(judge(status).kind, String(status)).toBe('delivered')
    for (const status of [408, 429, 500, 502, 503, 504])
      expect(judge(status).kind, String(status)).toBe('retry')
    for (const status of [301, 302, 400, 401, 403, 404, 410]) {
      expect(judge(status).kind, String(status)).toBe('refused')
    }
  })

  it('says itself when to come back: seconds, a date, or Discord’s header', () => {
    const afterMs = (headers: Record<string, string>) => {
      const outcome = judge(429, headers)
      return outcome.kind === 'retry' ? outcome.afterMs : expect.unreachable()
    }
    expect(afterMs({ 'retry-after': '30' })).toBe(30_000)
    expect(afterMs({ 'retry-after': new Date(now + 90_000).toUTCString() })).toBe(90_000)
    expect(afterMs({ 'retry-after': new Date(now - 90_000).toUTCString() })).toBe(0)
    expect(afterMs({ 'x-ratelimit-reset-after': '1.337' })).toBe(1337)
    expect(afterMs({ 'retry-after': 'soon' })).toBe(undefined)
    expect(afterMs({})).toBe(undefined)
    expect(afterMs({ 'retry-after': '99999999' }), 'six hours at most').toBe(6 * 3_600_000)
  })

  it('that is the last one Discord takes for now is followed by a pause', () => {
    const headers = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset-after': '2' }
    expect(judge(204, headers)).toStrictEqual({ kind: 'delivered', pauseMs: 2000 })
    expect(judge(204, { ...headers, 'x-ratelimit-remaining': '3' })).toStrictEqual({
      kind: 'delivered',
      pauseMs: 0,
    })
  })
})

describe('a queue', () => {
  it('passes over changes that it has already', () => {
    const { queue } = enqueue([queued(['a', 'b'])], message('b', 'c'), false)
    expect(queue.map(({ changes }) => changes.map(({ id }) => id))).toStrictEqual([['a', 'b'], ['c']])
    expect(enqueue(queue, message('a', 'c'), false).queue).toBe(queue)
  })

  it('drops the oldest beyond its limit, not the one under way, and tells with the next one', () => {
    const full = [queued(['a'], { attempted: true }), queued(['b', 'c']), queued(['d'])]
    const { queue, dropped } = enqueue(full, message('e'), true, 3)
    expect(dropped).toBe(2)
    expect(
      queue.map(({ changes, dropped: before }) => [changes.map(({ id }) => id).join(), before]),
    ).toStrictEqual([
      ['a', 0],
      ['d', 2],
      ['e', 0],
    ])
    expect(messageText(queue[1] ?? expect.unreachable(), { host: 'box' })).toMatch(
      /\(2 older alerts could not be kept/,
    )
  })

  it('merges more than three messages, never one that may have arrived', () => {
    const three = [queued(['a']), queued(['b']), queued(['c'])]
    expect(coalesce(three)).toBe(three)
    const merged = coalesce([queued(['a'], { attempted: true }), queued(['b']), queued(['c']), queued(['d'])])
    expect(merged.map(({ changes }) => changes.map(({ id }) => id).join(''))).toStrictEqual(['a', 'bcd'])
    expect(merged[1]?.id).toBe(message('b', 'c', 'd').id)
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
        expect(ids).toStrictEqual(expected)
        expect(changesIn(queue) <= 20).toBeTruthy()
        expect(queue.reduce((sum, { dropped }) => sum + dropped, 0)).toBe(lost)
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
    expect(text).toBe(
      'port-watchdog on box: 1 new problem, 1 resolved\n' +
        '✗ critical: inspector is not running [i-1]\n' +
        '✓ works again (after 3 min, restarted 3 times) [i-1]',
    )
  })

  it('tells how much it matters', () => {
    const message = (overrides: Partial<IncidentChange>) =>
      alertBody(queued([], { changes: [change('a', overrides)] }), { host: 'box' })
    expect(message({}).severity).toBe('critical')
    expect(message({ subject: 'memory' }).severity).toBe('warning')
    expect(message({ event: 'resolved' }).severity).toBe('info')
    expect(message({ subject: 'cpu' }).text).toMatch(/✗ warning: /)
  })

  it('holds no control character and no second line of what others have named', () => {
    const told = 'the port is taken by PID 42 (psql)\n2026-01-01 ✓ FORGED \u202e\u001b[2J'
    const body = alertBody(queued([], { changes: [change('a', { message: told })] }), { host: 'box' })
    expect(body.text).toMatch(/by PID 42 \(psql\)␊2026-01-01 ✓ FORGED <U\+202E>␛\[2J/)
    expect(body.text.split('\n').length).toBe(2)
  })

  it('fits any limit, and counts what does not', () => {
    const ids = Array.from({ length: 100 }, (_, index) => String(index))
    const text = messageText(queued(ids), { host: 'box' }, 2000)
    expect(text.length).toBeLessThanOrEqual(2000)
    const shown = text.split('\n').filter((line) => line.startsWith('✗')).length
    expect(text).toMatch(new RegExp(`… and ${100 - shown} more$`))
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
      expect(redact(text)).not.toMatch(/T01234567|abcdefghijkl|tokentoken1|c2VjcmV0/)
    }
    expect(redact('getaddrinfo ENOTFOUND hooks.example.com')).toBe('getaddrinfo ENOTFOUND hooks.example.com')
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
    expect(headers).toStrictEqual({
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    })
  })

  it('is made with 24 to 64 bytes in base64, with or without whsec_, and with nothing that can be guessed', () => {
    const sign = (secret: string) => signatureHeaders(secret, 'id', 'body', 5000)['webhook-signature']
    for (const bytes of [24, 64]) {
      const key = Buffer.alloc(bytes, 7)
      const expected = createHmac('sha256', key).update('id.5.body').digest('base64')
      expect(sign(key.toString('base64'))).toBe(`v1,${expected}`)
      expect(sign(`whsec_${key.toString('base64')}`)).toBe(`v1,${expected}`)
    }
    const short = Buffer.alloc(23, 7).toString('base64')
    const long = Buffer.alloc(65, 7).toString('base64')
    for (const secret of ['', 'whsec_', 'whsec_!!!!', 'any text', short, `whsec_${short}`, long]) {
      expect(() => sign(secret), secret).toThrow('the signing key is not usable')
    }
  })
})
