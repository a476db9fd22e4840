// Sessions, and the limits of guesses: what a login remembers and counts.
import { describe, expect, it } from 'vitest'
import { sourceNetwork } from '../../src/os/interfaces.ts'
import { Attempts } from '../../src/web/attempts.ts'
import { Sessions } from '../../src/web/sessions.ts'

describe('Sessions', () => {
  const secrets = {
    token: 'a-token-of-sixteen',
    isGuessable: true,
    tokenPlace: 'x',
    key: Buffer.alloc(32, 7),
    cookieName: 'n',
  }
  const pairOf = (setCookie: string) => setCookie.split(';')[0] ?? ''

  it('hold until they expire, for the machine they were given to', () => {
    let now = 1_000_000
    const sessions = new Sessions(secrets, 1000, () => now)
    const cookie = pairOf(sessions.issue('10.0.0.1', false))
    expect(sessions.admits(cookie, '10.0.0.1')).toBe(true)
    expect(sessions.admits(`n=junk; ${cookie}`, '::ffff:10.0.0.1')).toBe(true)
    expect(sessions.admits(cookie, '10.0.0.2')).toBe(false)
    now += 1000
    expect(sessions.admits(cookie, '10.0.0.1')).toBe(false)
  })

  it('are found behind any number of cookies of the same name', () => {
    const sessions = new Sessions(secrets, 1000, () => 5)
    const planted = Array.from(
      { length: 250 },
      () => `n=1.${'z'.repeat(9)}.${'A'.repeat(16)}.${'A'.repeat(43)}`,
    )
    expect(
      sessions.admits([...planted, pairOf(sessions.issue('10.0.0.1', false))].join('; '), '10.0.0.1'),
    ).toBe(true)
    expect(sessions.issue('10.0.0.1', true)).toMatch(/^__Host-n=.*; Path=\/; .*; Secure$/)
    expect(sessions.withoutOurs('__Secure-n=1; __Host-n=2; n=3; a=b')).toBe('a=b')
    const set = [
      'n=1',
      ' n =1; Path=/x',
      '=n=1',
      'n; Max-Age=0',
      '__Host-n=1; Secure',
      '__Secure-n=',
      'a=b',
      'n2=n',
    ]
    expect(sessions.withoutOursSet(set)).toEqual(['a=b', 'n2=n'])
  })

  it('fail with any character changed, and with another key', () => {
    const sessions = new Sessions(secrets, 1000, () => 5)
    const cookie = pairOf(sessions.issue('10.0.0.1', true))
    for (let at = 2; at < cookie.length; at++) {
      const changed = cookie.slice(0, at) + (cookie[at] === 'A' ? 'B' : 'A') + cookie.slice(at + 1)
      expect(sessions.admits(changed, '10.0.0.1'), changed).toBe(false)
    }
    const others = new Sessions({ ...secrets, key: Buffer.alloc(32, 8) }, 1000, () => 5)
    expect(others.admits(cookie, '10.0.0.1')).toBe(false)
    expect(sessions.issue('10.0.0.1', true)).toMatch(/; Secure$/)
  })

  it('know a machine by its IPv4 address or its IPv6 network', () => {
    expect(sourceNetwork('::ffff:10.0.0.1')).toBe('10.0.0.1')
    expect(sourceNetwork('fd77::1')).toBe(sourceNetwork('fd77:0:0:0:1:2:3:4'))
    expect(sourceNetwork('fe80::1%eth0')).toBe(sourceNetwork('FE80::2'))
    expect(sourceNetwork('fd77:0:0:1::1')).not.toBe(sourceNetwork('fd77::1'))
    expect(sourceNetwork('2001:db8:1:2::1')).not.toBe(sourceNetwork('2001:db8:1:3::1'))
  })
})

describe('Attempts', () => {
  it('make a source wait twice as long each time, a minute at most, and begin anew after a success', () => {
    let now = 0
    const attempts = new Attempts(() => now)
    const waits: number[] = []
    for (let failure = 0; failure < 14; failure++) {
      attempts.failed('10.0.0.1')
      waits.push(attempts.waitMs('10.0.0.1'))
      now += waits.at(-1) ?? 0
    }
    expect(waits.slice(0, 10)).toEqual([0, 0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 32_000])
    expect(Math.max(...waits)).toBe(60_000)
    expect(attempts.waitMs('10.0.0.2')).toBe(0)
    attempts.succeeded('10.0.0.1')
    expect(attempts.waitMs('10.0.0.1')).toBe(0)
  })

  it('are limited in total, but not for those who have been in before', () => {
    let now = 0
    const attempts = new Attempts(() => now)
    attempts.succeeded('10.9.9.9')
    for (let source = 0; source < 60; source++) attempts.failed(`10.0.0.${source}`)
    expect(attempts.waitMs('10.1.1.1')).toBeGreaterThan(0)
    expect(attempts.waitMs('10.9.9.9')).toBe(0)
    now += 60_000
    expect(attempts.waitMs('10.1.1.1')).toBe(0)
  })
})
