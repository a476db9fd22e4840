import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blindKnockDueAt, type CheckFacts, knockDueAt, lookDueAt } from '../../src/forward/dial/check-plan.ts'

const day = 86_400_000
const checkMs = 10_000

const untried: CheckFacts = {
  startedAt: 0,
  isInherited: false,
  isUp: false,
  isKnown: false,
  lookedAt: undefined,
  triedAt: undefined,
  unanswered: 0,
  disturbances: 0,
}

const facts: fc.Arbitrary<CheckFacts> = fc.record({
  startedAt: fc.constant(0),
  isInherited: fc.boolean(),
  isUp: fc.boolean(),
  isKnown: fc.boolean(),
  lookedAt: fc.option(fc.nat(day), { nil: undefined }),
  triedAt: fc.option(fc.nat(day), { nil: undefined }),
  unanswered: fc.nat(1000),
  disturbances: fc.nat(1000),
})

/** What a server that nobody uses sees of the knocks, until `until`. */
function knocksUntil(
  until: number,
  answer: (knock: number) => 'answers' | 'fails-later' | 'refuses',
): number[] {
  let known = untried
  const knocks: number[] = []
  for (;;) {
    const at = knockDueAt(known, checkMs)
    if (at > until) return knocks
    const outcome = answer(knocks.length)
    knocks.push(at)
    known = { ...known, isKnown: true, triedAt: at, isUp: outcome === 'answers' }
    if (outcome === 'refuses') known = { ...known, unanswered: known.unanswered + 1 }
    else known = { ...known, disturbances: known.disturbances + 1 }
  }
}

describe('When a target is looked at', () => {
  it('one that answers is knocked at once, and never again', () => {
    expect(knocksUntil(365 * day, () => 'answers')).toStrictEqual([0])
  })

  it('one that is reached and then fails is knocked at less than 100 times in two months', () => {
    const knocks = knocksUntil(60 * day, () => 'fails-later')
    expect(knocks.length < 100, String(knocks.length)).toBeTruthy()
    const pauses = knocks.slice(1).map((at, index) => at - (knocks[index] ?? 0))
    expect(pauses.every((pause, index) => pause >= (pauses[index - 1] ?? checkMs))).toBeTruthy()
  })

  it('one that refuses is knocked at after 1, 2, 4 and then every 5 s', () => {
    expect(knocksUntil(17_000, () => 'refuses')).toStrictEqual([0, 1_000, 3_000, 7_000, 12_000, 17_000])
  })

  it('what the forwarder before this one knew is not asked for at the start', () => {
    expect(knockDueAt({ ...untried, isInherited: true }, checkMs)).toBe(checkMs)
    const known = { ...untried, isInherited: true, isKnown: true, isUp: true }
    expect(knockDueAt(known, checkMs)).toBe(Number.POSITIVE_INFINITY)
  })

  it('whatever happened: never at one that is up, always after a pause, and later after each harm', () =>
    fc.assert(
      fc.property(facts, fc.integer({ min: 1, max: day }), (known, everyMs) => {
        const at = knockDueAt(known, everyMs)
        if (known.isUp) return at === Number.POSITIVE_INFINITY
        const more = knockDueAt({ ...known, disturbances: known.disturbances + 1 }, everyMs)
        const pause = Math.min(1_000, everyMs)
        const isPaused = known.triedAt === undefined || at >= known.triedAt + pause
        return Number.isFinite(at) && more >= at && isPaused
      }),
    ))

  it('a look comes within a second while the target is away, and no later than it was asked for', () =>
    fc.assert(
      fc.property(facts, fc.integer({ min: 1, max: day }), (known, everyMs) => {
        const from = known.lookedAt ?? 0
        const at = lookDueAt(known, everyMs)
        return at <= from + (known.isUp ? everyMs : Math.min(1_000, everyMs)) && at >= (known.lookedAt ?? 0)
      }),
    ))

  it('a knock without a look that found somebody comes at least every 30 s, unless it did harm', () =>
    fc.assert(
      fc.property(facts, (known) => {
        const at = blindKnockDueAt({ ...known, disturbances: 0 }, checkMs)
        const from = known.triedAt ?? known.startedAt
        return at >= from + 5_000 && at <= from + 30_000
      }),
    ))
})
