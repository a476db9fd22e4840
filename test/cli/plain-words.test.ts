import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, it } from 'vitest'
import { type ForwarderWords, readPlainWords } from '../../src/cli/plain-words.ts'
import { forwarderWords, tcpProxyCommand } from '../../src/cli/tcp-proxy-command.ts'
import { type OptionSpecification, optionList, optionWords } from '../../src/config/option-table.ts'

let read: ForwarderWords | undefined

/** One for all: it begins each reading as it was before the first. Its making takes several times as long as a reading. */
const command = tcpProxyCommand()
  .configureOutput({ writeOut: () => {} })
  .action((...given: Parameters<typeof forwarderWords>) => {
    read = forwarderWords(...given)
  })

/** What commander reads; undefined when it refuses, or prints help. */
function readByCommander(words: readonly string[]): ForwarderWords | undefined {
  read = undefined
  try {
    command.parse(words, { from: 'user' })
    return read
  } catch {
    return undefined
  }
}

/** Words that one option or another takes, and words that none does. */
const values = fc.constantFrom(
  ...[
    '6274',
    '0',
    '7',
    '5s',
    '250ms',
    '1h',
    'localhost',
    '::1',
    '[::1]',
    '10.0.0.0/8',
    'private',
    'any',
    'fd00::/8',
  ],
  ...[
    'unix:/run/app.sock',
    '/run/app.sock',
    'db:5432',
    '[::1]:53',
    '9.9.9.9',
    'token',
    'v2',
    '0660',
    'file.pem',
  ],
  ...[
    '127.0.0.1:9090',
    '',
    ' ',
    'http://x',
    'a=b',
    '-',
    '--',
    '-1',
    '-5s',
    '-x',
    '-h',
    '-V',
    '−1',
    '70000',
    'unix:',
  ],
)
const flags = fc.constantFrom(
  ...optionList.map(({ flag }) => flag),
  ...[
    '--state-dir',
    '--report-fd',
    '--verbose',
    '--help',
    '--version',
    '--drian',
    '--drain=5s',
    '--allow=any',
  ],
)
const places = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(['6274', 'localhost', '80'], ['1', 'unix:/run/app.sock']) },
  { weight: 1, arbitrary: fc.array(values, { maxLength: 4 }) },
)

/** Mostly what the option takes, so that a good part of the lists means something. */
const textsFor: Record<OptionSpecification<unknown>['kind'], fc.Arbitrary<string[]>> = {
  flag: fc.constant([]),
  duration: fc.constantFrom(['5s'], ['0']),
  count: fc.constantFrom(['7'], ['0']),
  text: values.map((value) => [value]),
  list: fc.array(values, { minLength: 1, maxLength: 3 }),
}
const given = fc.oneof(
  fc.constantFrom(...optionList).chain(({ flag, specification }) => {
    return textsFor[specification.kind].map((texts) => [flag, ...texts])
  }),
  fc.tuple(flags, fc.array(values, { maxLength: 2 })).map(([flag, texts]) => [flag, ...texts]),
)

describe('plain words of tcp-proxy', () => {
  it('are read as commander reads them, or left to it', () => {
    let plain = 0
    let refused = 0
    fc.assert(
      fc.property(places, fc.array(given, { maxLength: 4 }), fc.boolean(), (first, options, isLast) => {
        const words = isLast ? [...options.flat(), ...first] : [...first, ...options.flat()]
        const read = readPlainWords(words)
        if (read === undefined) return void refused++
        plain++
        assert.deepEqual(read, readByCommander(words))
      }),
      { numRuns: 5000 },
    )
    assert.ok(plain > 500 && refused > 500, `${plain} plain, ${refused} not`)
  })

  it('are all that a monitor writes', () => {
    const textOf: Partial<Record<(typeof optionList)[number]['name'], string>> = {
      furtherTargets: 'db:5432',
      bind: '::1',
      listenUnix: '/run/app.sock',
      listenUnixMode: '0660',
      allow: 'private',
      gate: 'token',
      gateHost: 'box.example',
      gateTokenFile: '/etc/token',
      resolver: '[::1]:53',
      accessLog: '-',
      sendProxy: 'v2',
      acceptProxy: '10.0.0.0/8',
      tlsCert: '/etc/cert.pem',
      tlsKey: '/etc/key.pem',
      tlsClientCa: '/etc/ca.pem',
      targetTlsCa: '/etc/ca.pem',
      targetTlsName: 'db',
      tlsAlpn: 'h2,http/1.1',
      targetAlpn: 'h2',
      metrics: '127.0.0.1:9090',
    }
    for (const [targetHost, targetPort] of [
      ['localhost', 80],
      ['fe80::1%eth0', 80],
      ['unix:/run/app.sock', 0],
    ] as const) {
      const all = optionList.map(({ name, specification }) => {
        if (specification.kind === 'flag') return [name, true]
        if (specification.kind === 'count') return [name, specification.range?.[1] ?? 1234]
        if (specification.kind === 'duration') return [name, 1234]
        const text = textOf[name]
        assert.ok(text !== undefined, `a value for ${name}`)
        return [name, specification.kind === 'list' ? [text, text] : text]
      })
      const forward = { listenPort: 6274, targetHost, targetPort, ...Object.fromEntries(all) }
      const words = [...optionWords(forward), '--state-dir', '/tmp/here', '--report-fd', '3']
      const expected = { forward, stateDir: '/tmp/here', reportFd: 3 }
      assert.deepEqual(readPlainWords(words), expected)
      assert.deepEqual(readByCommander(words), expected)
    }
  })
})
