import { describe, expect, it } from 'vitest'
import { type HttpOptions, httpDefaults, httpProblem } from '../../src/config/http-options.ts'
import { BrowserSessions } from '../../src/server/browser-sessions.ts'
import { RequestRate } from '../../src/web/request-rate.ts'

describe('Sessions of browsers', () => {
  const clock = () => {
    let now = 0
    const sessions = new BrowserSessions(6280, false, () => now)
    const { cookie } = sessions.open('key', '192.0.2.7')
    return { sessions, cookie: cookie.split(';')[0], pass: (minutes: number) => (now += minutes * 60_000) }
  }

  it('end after half an hour without a request', () => {
    const { sessions, cookie, pass } = clock()
    pass(29)
    expect(sessions.find(cookie, '192.0.2.7')).toMatchObject({ keyId: 'key' })
    pass(29)
    expect(sessions.find(cookie, '192.0.2.7')).toBeDefined()
    pass(30)
    expect(sessions.find(cookie, '192.0.2.7')).toBeUndefined()
  })

  it('end after twelve hours, however busy they are', () => {
    const { sessions, cookie, pass } = clock()
    for (let time = 0; time < 35; time++) {
      pass(20)
      expect(sessions.find(cookie, '192.0.2.7')).toBeDefined()
    }
    pass(20)
    expect(sessions.find(cookie, '192.0.2.7')).toBeUndefined()
  })

  it('are of no use from another network, and planted cookies of the name do not hide them', () => {
    const { sessions, cookie } = clock()
    expect(sessions.find(cookie, '192.0.2.8')).toBeUndefined()
    const planted = `port_watchdog_api_6280=${'A'.repeat(43)}; port_watchdog_api_6280=; ${cookie}`
    expect(sessions.find(planted, '192.0.2.7')).toBeDefined()
  })

  it('are bounded: a key that opens many ends its oldest', () => {
    const { sessions, cookie } = clock()
    for (let time = 0; time < 20; time++) sessions.open('key', '192.0.2.7')
    expect(sessions.find(cookie, '192.0.2.7')).toBeUndefined()
  })
})

describe('The rate of requests', () => {
  it('is a burst, and then so many a second, for each source', () => {
    let now = 0
    const rate = new RequestRate(10, 3, () => now)
    const take = (source: string) => rate.take(source)
    expect([take('a'), take('a'), take('a'), take('a'), take('b')]).toEqual([true, true, true, false, true])
    now = 100
    expect([take('a'), take('a')]).toEqual([true, false])
  })
})

describe('The options of the API', () => {
  const problem = (given: Partial<HttpOptions>) =>
    httpProblem({ listen: '127.0.0.1:6280', ...httpDefaults, ...given }, (option) => option)

  it('refuse to listen beyond loopback without TLS, unless that is spelled out', () => {
    for (const listen of ['0.0.0.0:6280', '[::]:6280', '192.0.2.7:6280']) {
      expect(problem({ listen }), listen).toContain(`${listen} is open to the network`)
      expect(problem({ listen, insecure: true })).toBeUndefined()
      expect(problem({ listen, tlsSelfSigned: true })).toBeUndefined()
      expect(problem({ listen, tlsCert: 'a', tlsKey: 'b' })).toBeUndefined()
    }
    for (const listen of ['127.0.0.1:6280', '[::1]:6280', 'localhost:6280'])
      expect(problem({ listen }), listen).toBeUndefined()
  })

  it('belong together as those of a forward', () => {
    expect(problem({ tlsCert: 'a' })).toBe('tlsCert needs its private key: tlsKey FILE')
    expect(problem({ tlsClientCa: 'a' })).toContain('tlsClientCa needs a certificate of its own')
  })
})
