import fc from 'fast-check'
import { assert, expect, test } from 'vitest'
import type { ForwardEvent, JournalEntry, JournalEvent } from '../../src/record/shapes/journal.ts'
import { type History, historyOf, type Period, recentDays, recentWeeks } from '../../src/report/history.ts'
import { historyLines } from '../../src/report/render-history.ts'
import { columnsOf, plain } from '../../src/report/text.ts'
import { renderWhy, whyRestarted } from '../../src/report/why.ts'

process.env.TZ = 'UTC'

const renderHistory = (history: History, width: number) =>
  `${historyLines(history, width).map(plain).join('\n')}\n`

/** A Saturday, at noon. */
const noon = Date.parse('2026-11-21T12:00:00.000Z')
const minute = 60_000

function at(ms: number, event: JournalEvent): JournalEntry {
  return { time: new Date(ms).toISOString(), monotonicMs: ms - noon + 1e9, bootId: 'b', ...event }
}

function forward(
  kind: ForwardEvent['kind'],
  from: ForwardEvent['from'],
  to: ForwardEvent['to'],
  more: Partial<ForwardEvent> = {},
): ForwardEvent {
  return {
    event: 'forward',
    kind,
    forward: 'web',
    port: 8080,
    from,
    to,
    saw: `saw ${kind}`,
    decided: `decided ${to}`,
    because: null,
    did: [],
    pid: 7,
    generation: 1,
    failures: 0,
    target: 'answers',
    ...more,
  }
}

const started = (ms: number, previousSeenAt: number | null = null) =>
  at(ms, {
    event: 'monitor-started',
    pid: 1,
    version: '0.1.0',
    previousEnded: false,
    forwards: [],
    previousSeenAt: previousSeenAt === null ? null : new Date(previousSeenAt).toISOString(),
  })

const day = 86_400_000
const today = (entries: readonly JournalEntry[], watchedUntil = noon): Period => {
  const period = historyOf({ entries, now: noon, watchedUntil }).forwards[0]?.days.at(-1)
  assert(period)
  return period
}

test('one failure: how long it was down, and how long the recovery took', () => {
  const entries = [
    started(noon - 60 * minute),
    at(noon - 60 * minute, forward('adopted', 'unknown', 'running')),
    at(noon - 30 * minute, forward('died', 'running', 'backoff', { failures: 1 })),
    at(noon - 29 * minute, forward('starting', 'backoff', 'starting', { failures: 1 })),
    at(noon - 28 * minute, forward('started', 'starting', 'running', { failures: 1 })),
  ]
  const { upMs, downMs, unknownMs, failures, meanTimeToRecoveryMs, availability } = today(entries)
  expect({ upMs, downMs, unknownMs, failures, meanTimeToRecoveryMs }).toStrictEqual({
    upMs: 58 * minute,
    downMs: 2 * minute,
    unknownMs: 0,
    failures: 1,
    meanTimeToRecoveryMs: 2 * minute,
  })
  expect(availability).toBe(58 / 60)
})

test('a monitor that was killed: the time until the next one is unknown, not up', () => {
  const entries = [
    started(noon - 60 * minute),
    at(noon - 60 * minute, forward('adopted', 'unknown', 'running')),
    started(noon - 10 * minute, noon - 50 * minute),
    at(noon - 10 * minute, forward('adopted', 'unknown', 'running')),
  ]
  expect(today(entries).upMs).toBe(20 * minute)
  const [first] = entries
  assert(first)
  const forgotten = [first, ...entries.slice(1, 2), started(noon - 10 * minute, null)]
  expect(today(forgotten).upMs, 'without a sign of life only the events count').toBe(0)
})

test('a monitor that is gone now: nothing is known since its last sign of life', () => {
  const entries = [
    started(noon - 60 * minute),
    at(noon - 60 * minute, forward('adopted', 'unknown', 'running')),
  ]
  expect(today(entries, noon - 40 * minute).upMs).toBe(20 * minute)
})

test('sleep, and events that were lost, are unknown', () => {
  const up = [started(noon - 60 * minute), at(noon - 60 * minute, forward('adopted', 'unknown', 'running'))]
  const from = new Date(noon - 50 * minute).toISOString()
  const slept = [...up, at(noon - 20 * minute, { event: 'monitor-gap', from, reason: 'it slept' })]
  expect(today(slept).upMs).toBe(30 * minute)
  const lost = [...up, at(noon - 20 * minute, { event: 'events-lost', from, count: 3 })]
  expect(today(lost).upMs).toBe(10 * minute)
  const told = [...lost, at(noon - 20 * minute, forward('noticed', 'running', 'running'))]
  expect(today(told).upMs).toBe(30 * minute)
})

test('what somebody ordered down is no failure', () => {
  const entries = [
    started(noon - 60 * minute),
    at(noon - 60 * minute, forward('adopted', 'unknown', 'running')),
    at(noon - 30 * minute, forward('order', 'running', 'stopping')),
    at(noon - 30 * minute, forward('ended', 'stopping', 'down')),
  ]
  const { upMs, downMs, wantedDownMs, failures, availability } = today(entries)
  expect([upMs, downMs, wantedDownMs, failures, availability]).toStrictEqual([
    30 * minute,
    0,
    30 * minute,
    0,
    1,
  ])
})

test('a forward that is no longer configured has no more history, not one of being down', () => {
  const entries = [
    started(noon - 60 * minute),
    at(noon - 60 * minute, forward('adopted', 'unknown', 'running')),
    at(noon - 30 * minute, { event: 'configuration-changed', reason: 'web is gone', forwards: [] }),
    at(noon - 30 * minute, forward('order', 'running', 'stopping')),
    at(noon - 30 * minute + 5, forward('ended', 'stopping', 'down')),
  ]
  const { upMs, wantedDownMs, unknownMs } = today(entries)
  expect([upMs, unknownMs]).toStrictEqual([30 * minute, 30 * minute - wantedDownMs])
  expect(wantedDownMs).toBeLessThanOrEqual(5)
})

test('a failure that goes on while the monitor is replaced counts once', () => {
  const entries = [
    started(noon - 60 * minute),
    at(noon - 60 * minute, forward('adopted', 'unknown', 'running')),
    at(noon - 30 * minute, forward('died', 'running', 'backoff', { failures: 1 })),
    started(noon - 29 * minute, noon - 29 * minute),
    at(noon - 29 * minute, forward('starting', 'unknown', 'starting', { failures: 1 })),
    at(noon - 28 * minute, forward('started', 'starting', 'running', { failures: 1 })),
  ]
  expect(today(entries).failures).toBe(1)
})

test('a target that is away counts apart from its forward', () => {
  const entries = [
    started(noon - 60 * minute),
    at(noon - 60 * minute, forward('adopted', 'unknown', 'running')),
    at(noon - 30 * minute, forward('target-down', 'running', 'running', { target: 'silent' })),
    at(noon - 25 * minute, forward('target-up', 'running', 'running')),
  ]
  const { upMs, failures, targetFailures, targetDownMs } = today(entries)
  expect([upMs, failures, targetFailures, targetDownMs]).toStrictEqual([60 * minute, 0, 1, 5 * minute])
})

test('an app that never ran makes its forward waiting, not up; journals of earlier versions say it otherwise', () => {
  for (const target of ['waiting', 'unknown'] as const) {
    const entries = [
      started(noon - 180 * minute),
      at(noon - 180 * minute, forward('starting', 'unknown', 'starting', { target })),
      at(noon - 180 * minute, forward('started', 'starting', 'running', { target })),
      at(noon - 120 * minute, forward('died', 'running', 'starting', { target, failures: 1 })),
      at(noon - 119 * minute, forward('started', 'starting', 'running', { target, failures: 1 })),
    ]
    const { upMs, waitingMs, downMs, unknownMs, failures, meanTimeToRecoveryMs, availability } =
      today(entries)
    expect([upMs, waitingMs, downMs, unknownMs]).toStrictEqual([0, 179 * minute, minute, 0])
    expect([failures, meanTimeToRecoveryMs, availability]).toStrictEqual([1, minute, 0])
    const history = historyOf({ entries: entries.slice(0, 3), now: noon, watchedUntil: noon })
    expect(history.forwards[0]?.hours.slice(-4)).toStrictEqual(['unknown', 'waiting', 'waiting', 'waiting'])
    const text = renderHistory(history, 120)
    expect(text).toMatch(/AVAILABLE.*WAITING/)
    expect(text).toMatch(/ – .* 3 h/)
    expect(text).not.toMatch(/100 %|unknown\n/)
    const answers = [
      ...entries.slice(0, 3),
      at(noon - 60 * minute, forward('target-up', 'running', 'running')),
    ]
    expect([today(answers).upMs, today(answers).waitingMs]).toStrictEqual([60 * minute, 120 * minute])
  }
})

test('six weeks are told, each from Monday on', () => {
  const weeks = recentWeeks(noon, 6)
  expect(weeks.map(({ from }) => new Date(from).toISOString().slice(0, 10))).toStrictEqual([
    '2026-10-12',
    '2026-10-19',
    '2026-10-26',
    '2026-11-02',
    '2026-11-09',
    '2026-11-16',
  ])
  expect(weeks.at(-1)?.to).toBe(noon)
  expect(recentDays(noon, 7).length).toBe(7)
  const failed = noon - 30 * day
  const entries = [
    started(failed - minute),
    at(failed - minute, forward('adopted', 'unknown', 'running')),
    at(failed, forward('died', 'running', 'starting', { failures: 1 })),
    at(failed + 100, forward('started', 'starting', 'running', { failures: 1 })),
  ]
  const history = historyOf({ entries, now: noon, watchedUntil: noon })
  expect(history.forwards[0]?.weeks.map(({ failures }) => failures)).toStrictEqual([0, 1, 0, 0, 0, 0])
  const text = renderHistory(history, 80)
  expect(text).toMatch(/web has not failed this week; last failure 2026-10-22 12:00:00: saw\s+died/)
  const away = [
    ...entries.slice(0, 2),
    at(noon - 50, forward('target-down', 'running', 'running', { target: 'silent' })),
  ]
  const ofTarget = renderHistory(historyOf({ entries: away, now: noon, watchedUntil: noon }), 200)
  expect(ofTarget).toMatch(/^web has not failed; its target was away once this week\n/)
})

test('no time is counted before a forward was first seen, and a week says nothing that its day has said', () => {
  const entries = [
    started(noon - 2 * minute),
    at(noon - 2 * minute, forward('starting', 'unknown', 'starting')),
    at(noon - 2 * minute, forward('started', 'starting', 'running')),
  ]
  const history = historyOf({ entries, now: noon, watchedUntil: noon })
  const [web] = history.forwards
  expect([web?.days.at(-1)?.unknownMs, web?.weeks.at(-1)?.unknownMs]).toStrictEqual([0, 0])
  const text = renderHistory(history, 100)
  expect(text).not.toMatch(/week of/)
  expect(text).toMatch(/ {2}24 h {2}·{23}▇ {2}7 days {2}·{6}▇\n/)
  const more = historyOf({
    entries: [
      started(noon - day),
      at(noon - day, forward('started', 'starting', 'running')),
      at(noon - 90 * minute, forward('died', 'running', 'backoff', { failures: 1 })),
      at(noon - 70 * minute, forward('started', 'starting', 'running')),
    ],
    now: noon,
    watchedUntil: noon,
  })
  expect(renderHistory(more, 100)).toMatch(/week of 11-16/)
  expect(renderHistory(more, 100)).toMatch(/ {2}24 h {2}▇{22}▄▇ {2}7 days {2}·{5}▇▄\n/)
})

const events: fc.Arbitrary<JournalEvent> = fc.oneof(
  fc
    .record({
      kind: fc.constantFrom<ForwardEvent['kind']>(
        'adopted',
        'starting',
        'started',
        'died',
        'failed',
        'order',
        'ended',
        'target-down',
        'noticed',
      ),
      from: fc.constantFrom<ForwardEvent['from']>('unknown', 'starting', 'running', 'backoff'),
      to: fc.constantFrom<ForwardEvent['to']>(
        'unknown',
        'starting',
        'running',
        'stopping',
        'backoff',
        'flapping',
        'blocked',
        'down',
      ),
      target: fc.constantFrom<ForwardEvent['target']>('unknown', 'waiting', 'answers', 'silent'),
      failures: fc.nat(5),
    })
    .map(({ kind, from, to, ...more }) => forward(kind, from, to, more)),
  fc.integer({ min: -40 * day, max: day }).map((ms) => started(noon, noon + ms)),
  fc.constant<JournalEvent>({ event: 'monitor-stopped', reason: 'SIGTERM' }),
  fc
    .integer({ min: -40 * day, max: day })
    .map(
      (ms): JournalEvent => ({ event: 'monitor-gap', from: new Date(noon + ms).toISOString(), reason: 'r' }),
    ),
  fc
    .integer({ min: -40 * day, max: day })
    .map((ms): JournalEvent => ({ event: 'events-lost', from: new Date(noon + ms).toISOString(), count: 1 })),
)

test('whatever the events, and however the clock was set: the parts of a period make the whole, and none is negative', () => {
  const times = fc.integer({ min: -40 * day, max: day })
  fc.assert(
    fc.property(fc.array(fc.tuple(times, events)), fc.option(times, { nil: undefined }), (list, until) => {
      const entries = list.map(([ms, event]) => ({
        ...at(noon + ms, event),
        time: new Date(noon + ms).toISOString(),
      }))
      const history = historyOf({
        entries,
        now: noon,
        watchedUntil: until === undefined ? undefined : noon + until,
      })
      for (const { days, weeks, since } of history.forwards) {
        for (const period of [...days, ...weeks]) {
          const { upMs, waitingMs, downMs, wantedDownMs, unknownMs, availability } = period
          // Nothing is counted before the forward was first seen.
          const from = Math.max(Date.parse(period.from), Date.parse(since))
          const whole = Math.max(0, Date.parse(period.to) - from)
          for (const part of [upMs, waitingMs, downMs, wantedDownMs, unknownMs])
            expect(part >= 0 && part <= whole).toBeTruthy()
          expect(upMs + waitingMs + downMs + wantedDownMs + unknownMs).toBe(whole)
          expect(availability === null || (availability >= 0 && availability <= 1)).toBeTruthy()
        }
      }
      for (const line of renderHistory(history, 60).split('\n'))
        expect(columnsOf(line) <= 60, line).toBeTruthy()
    }),
  )
})

test('in order, time before the first event and after the last sign of life is unknown, and only that', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(10 * minute), { minLength: 1, maxLength: 20 }),
      fc.nat(minute),
      (gaps, rest) => {
        let ms = noon - 6 * 60 * minute
        const begin = ms
        const entries = [started(ms)]
        for (const [i, gap] of gaps.entries()) {
          entries.push(
            at(
              ms,
              i % 2 === 0
                ? forward('started', 'starting', 'running')
                : forward('died', 'running', 'backoff', { failures: 1 }),
            ),
          )
          ms += gap
        }
        const end = ms + rest
        const { upMs, downMs } = today(entries, end)
        expect(upMs + downMs).toBe(end - begin)
      },
    ),
  )
})

test('the story of a restart: what was seen, decided and done, how long it took, and what has been since', () => {
  const entries = [
    at(noon - 60 * minute, forward('started', 'starting', 'running', { pid: 41 })),
    at(
      noon - 30 * minute,
      forward('died', 'running', 'backoff', {
        saw: 'PID 41 was killed by SIGKILL after 30 min',
        decided: 'start it again in 2.0 s',
        because: 'restart 2 in a row',
        did: ['removed the stale PID file'],
        failures: 1,
      }),
    ),
    at(
      noon - 30 * minute + 2000,
      forward('starting', 'backoff', 'starting', {
        saw: 'the wait is over',
        decided: 'start it now',
        did: ['start number 2'],
        failures: 1,
      }),
    ),
    at(
      noon - 30 * minute + 2129,
      forward('started', 'starting', 'running', {
        saw: 'PID 42 is ready',
        decided: 'watch it',
        pid: 42,
        failures: 1,
      }),
    ),
    at(
      noon - 30 * minute + 2140,
      forward('recovered', 'running', 'running', {
        saw: 'PID 42 is well',
        decided: 'count it as well again',
        pid: 42,
      }),
    ),
  ]
  const now = { time: new Date(noon).toISOString(), monotonicMs: 1e9, bootId: 'b' }
  const why = whyRestarted(entries, '8080', now)
  expect(why.kind).toBe('restart')
  if (why.kind !== 'restart') return
  expect(why.story.tookMs).toBe(2129)
  expect(renderWhy(why)).toBe(`web (port 8080), last restart on 2026-11-21:

  11:30:00.000  seen     PID 41 was killed by SIGKILL after 30 min
                decided  start it again in 2.0 s, because restart 2 in a row
                done     removed the stale PID file
  11:30:02.000  seen     the wait is over
                decided  start it now
                done     start number 2
  11:30:02.129  seen     PID 42 is ready
                decided  watch it

Back after 2.1 s.

Since then:
  11:30:02.140  seen     PID 42 is well
                decided  count it as well again
According to the journal, it runs (PID 42), ready 29 min 57 s ago. proxy-status shows its present state.
`)
  const again = [
    ...entries,
    at(noon - 20 * minute, forward('order', 'running', 'stopping')),
    at(noon - 20 * minute, forward('ended', 'stopping', 'down')),
    started(noon - 10 * minute),
    at(noon - 10 * minute, forward('starting', 'unknown', 'starting', { did: ['start number 3'] })),
    at(noon - 9 * minute, forward('started', 'starting', 'running', { pid: 43 })),
  ]
  const before = whyRestarted(again, 'web', now)
  assert(before.kind === 'restart')
  expect(before.story.lines, 'a plain start is no restart').toStrictEqual(why.story.lines)
  expect(before.story.standing).toBe('it runs (PID 43), ready 9 min ago')
  const onlyStarted = whyRestarted(again.slice(-5), 'web', now)
  assert(onlyStarted.kind === 'no-restart')
  expect(renderWhy(onlyStarted)).toMatch(
    /^web \(port 8080\) has not been restarted since .*, neither after a failure nor by an order\. Its last start was at 2026-11-21 11:50:00\./,
  )
  const unwatched = [...again.slice(0, 1), ...again.slice(-3)]
  expect(whyRestarted(unwatched, 'web', now).kind, 'it died while nobody watched').toBe('restart')
  const replaced = [
    ...again,
    at(noon - 5 * minute, forward('order', 'running', 'running', { did: ['start number 4, beside'] })),
    at(noon - 5 * minute + 300, forward('started', 'running', 'running', { pid: 44 })),
  ]
  const replacement = whyRestarted(replaced, 'web', now)
  assert(replacement.kind === 'restart')
  expect([replacement.story.lines.length, replacement.story.tookMs]).toStrictEqual([2, 300])
  expect(whyRestarted(entries.slice(0, 1), 'web', now).kind).toBe('no-restart')
  expect(whyRestarted(entries, 'other', now)).toStrictEqual({
    kind: 'unknown-forward',
    known: ['web (8080)'],
  })
})
