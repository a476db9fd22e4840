import fc from 'fast-check'
import { assert, describe, expect, it } from 'vitest'
import type { ForwardOptions } from '../../src/config/forward-options.ts'
import { optionList, optionWords, parserOf, withDefaults } from '../../src/config/option-table.ts'
import {
  type Parsed,
  parseBindAddress,
  parseCount,
  parseCpuShare,
  parseDuration,
  parseHost,
  parseHostAndPort,
  parseMemory,
  parseNetwork,
  parsePort,
  parseTarget,
  parseTargetHost,
} from '../../src/config/values.ts'

function accepts<T>(parse: (text: string) => Parsed<T>, cases: Readonly<Record<string, T>>) {
  for (const [text, value] of Object.entries(cases))
    expect(parse(text), text).toStrictEqual({ ok: true, value })
}

function refuses(parse: (text: string) => Parsed<unknown>, texts: readonly string[]) {
  for (const text of texts) {
    const parsed = parse(text)
    expect(parsed.ok, text).toBe(false)
    if (!parsed.ok)
      expect(parsed.problem.length > 10 && !parsed.problem.includes('\n'), parsed.problem).toBeTruthy()
  }
}

describe('Values', () => {
  it('a target is HOST:PORT or a port of localhost; as two words, what to write is told', () => {
    accepts(parseTarget, {
      'db:5432': { host: 'db', port: 5432 },
      22100: { host: 'localhost', port: 22_100 },
      'unix:/run/a.sock': { host: 'unix:/run/a.sock', port: 0 },
    })
    refuses(parseTarget, ['0', '65536', 'db', ':80'])
    for (const [text, words] of [
      ['localhost:3000', 'localhost 3000'],
      ['3000', 'localhost 3000'],
      ['[::1]:80', '::1 80'],
      ['https://db.example/x', 'db.example 443'],
    ] as const) {
      const parsed = parseTargetHost(text)
      expect(!parsed.ok && parsed.problem.endsWith(`two words: ${words}`), text).toBeTruthy()
    }
  })

  it('amounts of memory, to the base 1024, and shares of a CPU core', () => {
    accepts(parseMemory, { '512K': 524_288, '256M': 268_435_456, '1.5G': 1_610_612_736, 0: 0 })
    refuses(parseMemory, ['256', '256MB', '256m', '-1M', '1e3M', '', ' 1M', '12345678901T'])
    accepts(parseCpuShare, { '50%': 50, '200%': 200, '0.5%': 0.5, 0: 0 })
    refuses(parseCpuShare, ['50', '0.5', '-1%', '%', '', '50 %', '1e3%'])
  })

  it('ports', () => {
    accepts(parsePort, { 1: 1, 6274: 6274, 65535: 65535 })
    refuses(parsePort, ['0', '65536', '-1', '1.5', '0x50', '', ' 80', '80a', '1e3'])
  })

  it('hosts', () => {
    accepts(parseHost, {
      localhost: 'localhost',
      'a.b-c.d': 'a.b-c.d',
      '[::1]': '::1',
      'fe80::1%eth0': 'fe80::1%eth0',
    })
    refuses(parseHost, ['', 'http://x', '1.2.3', '256.1.1.1', 'a b', '-a', 'a..b', ':::1', 'a'.repeat(64)])
  })

  it('targets', () => {
    accepts(parseHostAndPort, {
      'localhost:6274': { host: 'localhost', port: 6274 },
      '[::1]:80': { host: '::1', port: 80 },
    })
    refuses(parseHostAndPort, ['localhost', ':80', '::1:80', 'localhost:0', 'http://localhost:80/'])
  })

  it('networks', () => {
    accepts(parseNetwork, {
      '10.0.0.0/8': '10.0.0.0/8',
      '::1': '::1/128',
      '1.2.3.4': '1.2.3.4/32',
      any: 'any',
    })
    refuses(parseNetwork, ['10.0.0.0/33', '10.0.0.0/8/8', 'x', '::/129', '10.0.0.0/', '10.0.0.0/-1', 'ANY '])
  })

  it('bind addresses', () => {
    accepts(parseBindAddress, { '0.0.0.0': '0.0.0.0', '[::]': '::', localhost: '127.0.0.1' })
    refuses(parseBindAddress, ['eth0', '', '1.2.3.4:80'])
  })

  it('durations', () => {
    accepts(parseDuration, {
      '250ms': 250,
      '5s': 5000,
      '2m': 120_000,
      '1h': 3_600_000,
      3: 3000,
      0: 0,
      '1.5s': 1500,
    })
    refuses(
      parseDuration,
      ['', '5', 'd', '-1s', '5 s', '1d', '100000h', 's', '1e3'].filter((text) => text !== '5'),
    )
  })

  it('counts', () => {
    accepts(parseCount, { 0: 0, 7: 7 })
    refuses(parseCount, ['-1', '1.5', '', 'x', '9999999999'])
  })

  it('no text makes a parser throw', () => {
    const parsers = [
      parsePort,
      parseHost,
      parseHostAndPort,
      parseNetwork,
      parseBindAddress,
      parseDuration,
      parseCount,
    ]
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const parse of parsers) expect(typeof parse(text).ok).toBe('boolean')
      }),
      { numRuns: 2000 },
    )
  })

  it('the words that start a forwarder give its options again', () => {
    const options = withDefaults(
      { listenPort: 6274, targetHost: 'localhost', targetPort: 6274 },
      {
        allow: ['10.0.0.0/8', 'private'],
        connectTimeout: 1234,
        maxConnections: 5,
        sendProxy: 'v2',
        targetTls: true,
        targetTlsCa: '/etc/ca.pem',
      },
    )
    expect(parseWords(optionWords(options))).toStrictEqual(options)
  })
})

/** What the command line makes of such words. */
function parseWords([
  listenPort = '',
  targetHost = '',
  targetPort = '',
  ...words
]: readonly string[]): ForwardOptions {
  const given: Record<string, unknown> = {}
  for (const { key, flag, specification } of optionList) {
    const at = words.indexOf(flag)
    if (at < 0) continue
    if (specification.kind === 'flag') {
      given[key] = true
      continue
    }
    const end = words.findIndex((word, i) => i > at && word.startsWith('--'))
    const values = words.slice(at + 1, end < 0 ? undefined : end).map((word) => {
      const parsed = parserOf(specification)(word)
      assert(parsed.ok)
      return parsed.value
    })
    given[key] = specification.kind === 'list' ? values : values[0]
  }
  return withDefaults({ listenPort: Number(listenPort), targetHost, targetPort: Number(targetPort) }, given)
}
