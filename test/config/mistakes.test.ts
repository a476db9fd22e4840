// biome-ignore-all lint/suspicious/noTemplateCurlyInString: this is how people write references to variables.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, type TestContext } from 'vitest'
import type { ForwardConfiguration } from '../../src/config/configuration.ts'
import { defaultConfiguration } from '../../src/config/configuration.ts'
import { conflictsIn } from '../../src/config/conflicts.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { restartDefaults } from '../../src/config/restart-policy.ts'
import { starterFile } from '../../src/config/starter.ts'
import { temporaryDirectory } from '../support/children.ts'

function load(t: TestContext, text: string | Buffer, name = 'c.yaml') {
  const file = join(temporaryDirectory(t), name)
  writeFileSync(file, text)
  return loadConfiguration(file)
}

/** The sentence with which a file is refused, without its name. */
async function refusal(t: TestContext, text: string | Buffer, name?: string): Promise<string> {
  try {
    await load(t, text, name)
  } catch (error) {
    const { message } = error as Error
    expect(message).not.toMatch(/\n/)
    return message.replace(/^(the configuration cannot be read: )?\S+:? /, '')
  }
  return expect.unreachable('it is taken')
}

const machine = { addresses: ['127.0.0.1', '::1', '10.0.0.5', 'fd00::5'], hostname: 'Box' }

describe('Forwards that lead to each other', () => {
  const conflicts = async (t: TestContext, ...forwards: string[]) => {
    // Neither addresses nor name of the machine that runs the tests.
    const text = `forwards: [${forwards.join(', ')}]`
    const parsed: readonly ForwardConfiguration[] =
      (await load(t, text).catch(() => undefined))?.forwards ?? []
    return parsed.length === 0
      ? await refusal(t, text)
      : conflictsIn(parsed, [], machine)
          .map(({ text }) => text)
          .join()
  }

  for (const [what, forwards] of Object.entries({
    'A to B to A': [
      '{ name: a, listen: 1001, target: "localhost:1002" }',
      '{ name: b, listen: 1002, target: "localhost:1001" }',
    ],
    'a forward to itself': ['{ name: a, listen: 1001, bind: 127.0.0.1, target: "localhost:1001" }'],
    'over three forwards': [
      '{ name: a, listen: 1001, target: "localhost:1002" }',
      '{ name: b, listen: 1002, target: "127.0.0.1:1003" }',
      '{ name: c, listen: 1003, target: "127.1.2.3:1001" }',
    ],
    'through an address of this machine': [
      '{ name: a, listen: 1001, target: "10.0.0.5:1002" }',
      '{ name: b, listen: 1002, target: "localhost:1001" }',
    ],
    'through the name of this machine': [
      '{ name: a, listen: 1001, target: "box.local:1002" }',
      '{ name: b, listen: 1002, target: "BOX.:1001" }',
    ],
    'through a further target': [
      '{ name: a, listen: 1001, target: ["elsewhere:80", "localhost:1002"] }',
      '{ name: b, listen: 1002, target: ["10.9.9.9:1", "LOCALHOST.:1001"] }',
    ],
    'through a Unix socket': [
      '{ name: a, listen: 1001, listenUnix: /run/a.sock, target: "localhost:1002" }',
      '{ name: b, listen: 1002, target: "unix:/run/../run/a.sock" }',
    ],
    'through 0.0.0.0': [
      '{ name: a, listen: 1001, target: "0.0.0.0:1002" }',
      '{ name: b, listen: 1002, target: "localhost:1001" }',
    ],
    'by ::1 where :: is bound': [
      '{ name: a, listen: 1001, bind: "::", target: "[::1]:1002" }',
      '{ name: b, listen: 1002, bind: "[::1]", target: "[0:0:0:0:0:0:0:1]:1001" }',
    ],
  })) {
    it(`are refused: ${what}`, async (t) => {
      expect(await conflicts(t, ...forwards)).toMatch(
        /leads in a circle: a \(forwards\[0\]\) -> .*a \(forwards\[0\]\);/,
      )
    })
  }

  it('are taken where they do not: a chain, the same-port rule, an address that is not bound, another machine', async (t) => {
    for (const forwards of [
      [
        '{ name: a, listen: 1001, target: "localhost:1002" }',
        '{ name: b, listen: 1002, target: "localhost:80" }',
      ],
      ['{ name: a, listen: 1001, target: "localhost:1001" }'],
      [
        '{ name: a, listen: 1001, target: "localhost:1002" }',
        '{ name: b, listen: 1002, target: "localhost:1002" }',
      ],
      [
        '{ name: a, listen: 1001, bind: 10.0.0.5, target: "localhost:1002" }',
        '{ name: b, listen: 1002, target: "127.0.0.1:1001" }',
      ],
      [
        '{ name: a, listen: 1001, target: "10.9.9.9:1002" }',
        '{ name: b, listen: 1002, target: "10.9.9.9:1001" }',
      ],
    ]) {
      expect(await conflicts(t, ...forwards), forwards.join()).toBe('')
    }
  })
})

describe('Places to listen that cannot be taken twice', () => {
  const forward = (more: string, port = 1001) =>
    `{ name: n${port}, listen: ${port}, target: "elsewhere:1", ${more} }`
  for (const [what, forwards, places] of [
    ['0.0.0.0 and 127.0.0.1', [forward('bind: [0.0.0.0, 127.0.0.1]')], ['bind[1]', 'bind[0]']],
    [':: and 0.0.0.0', [forward('bind: ["0.0.0.0", "::"]')], ['bind[1]', 'bind[0]']],
    [':: and 10.0.0.5', [forward('bind: ["::", 10.0.0.5]')], ['bind[1]', 'bind[0]']],
    ['one twice', [forward('bind: [10.0.0.5, 10.0.0.5]')], ['bind[1]', 'bind[0]']],
    ['one written in two ways', [forward('bind: ["::1", "[0:0:0:0:0:0:0:1]"]')], ['bind[1]', 'bind[0]']],
    ['a mapped address', [forward('bind: [127.0.0.1, "::ffff:127.0.0.1"]')], ['bind[1]', 'bind[0]']],
    [
      'one Unix socket',
      [forward('listenUnix: /run/a'), forward('listenUnix: /run//a', 1002)],
      ['[1].listenUnix[0]', '[0].listenUnix[0]'],
    ],
    ['metrics on the forward’s own port', [forward('metrics: "127.0.0.1:1001"')], ['metrics', 'listen']],
    [
      'metrics on another forward’s port',
      [forward(''), forward('metrics: "localhost:1001"', 1002)],
      ['[1].metrics', '[0].listen'],
    ],
    [
      'two metrics',
      [forward('metrics: "127.0.0.1:9"'), forward('metrics: "localhost:9"', 1002)],
      ['[1].metrics', '[0].metrics'],
    ],
  ] as const) {
    it(`are refused with both: ${what}`, async (t) => {
      const text = await refusal(t, `forwards: [${forwards.join(', ')}]`)
      expect(text).toMatch(/is taken already by/)
      for (const place of places) expect(text).toContain(place)
    })
  }

  it('are refused: metrics where the target is', async (t) => {
    const text = 'forwards: [{ name: a, listen: 1001, target: "localhost:9", metrics: "127.0.0.1:9" }]'
    expect(await refusal(t, text)).toMatch(/forwards\[0\]\.metrics: 127\.0\.0\.1:9 is the target/)
  })

  it('are taken when they are different', async (t) => {
    await load(t, `forwards: [${forward('bind: [127.0.0.1, 10.0.0.5, "::1"], metrics: "127.0.0.1:1002"')}]`)
    // The target keeps loopback.
    await load(t, 'forwards: [{ name: a, listen: 1001, target: "localhost:1001", metrics: "127.0.0.1:9" }]')
  })
})

describe('A value that looks like a variable and is not replaced', () => {
  for (const reference of [
    ...['${NAME}', '$NAME', '${NAME:-x}', '%NAME%', '${NAME', 'a${NAME}b', '${A${B}}', '$$NAME', '$env:NAME'],
    ...['$(name)', '{{ name }}', '#{name}', '<%= name %>'],
  ]) {
    it(`is refused with its place: ${reference}`, async (t) => {
      const forward = (more: string) => `forwards:\n- { name: a, listen: 1001, ${more} }`
      const quoted = JSON.stringify(reference)
      for (const [place, text] of [
        ['target', forward(`target: ${JSON.stringify(`${reference}:80`)}`)],
        ['accessLog', forward(`target: "b:1", accessLog: ${quoted}`)],
        ['tlsCert', forward(`target: "b:1", tlsCert: ${quoted}`)],
        ['allow[1]', forward(`target: "b:1", allow: [any, ${quoted}]`)],
        ['drain', forward(`target: "b:1", drain: ${quoted}`)],
        ['command[1]', `alerts:\n  channels: [{ type: command, command: [notify, ${quoted}] }]`],
        ['name', `alerts:\n  channels: [{ type: slack, name: ${quoted}, url: "https://a.b/" }]`],
      ] as const) {
        expect(await refusal(t, text), text).toMatch(
          new RegExp(`line 2: \\S*${place.replaceAll(/[[\]]/g, '\\$&')}: .*variable`),
        )
      }
    })
  }

  it('is refused where it is a home folder', async (t) => {
    for (const file of ['~/a.log', '~ann/a.log']) {
      const text = `forwards: [{ name: a, listen: 1001, target: "b:1", accessLog: "${file}" }]`
      expect(await refusal(t, text)).toMatch(
        /forwards\[0\]\.accessLog: "~\w*\/a\.log" begins with a home folder/,
      )
    }
    const command = 'alerts: { channels: [{ type: command, command: [~/bin/notify] }] }'
    expect(await refusal(t, command)).toMatch(/command\[0\]: it begins with a home folder/)
  })

  it('is refused when a secret is replaced in part only, and the secret is not told', async (t) => {
    for (const url of [
      'https://a.b/${TOKEN}',
      '$URL',
      '${URL:-https://a.b/}',
      'https://a.b/geheim/%TOKEN%',
      '${URL',
    ]) {
      const text = await refusal(t, `alerts:\n  ping: { url: ${JSON.stringify(url)} }`)
      expect(text).toMatch(/line 2: alerts\.ping\.url: only a variable that is the whole value/)
      expect(text).not.toMatch(/geheim|a\.b/)
    }
  })

  it('is taken where it is no variable: in a URL’s escapes, in what a shell runs', async (t) => {
    await load(t, 'alerts:\n  ping: { url: "https://a.b/?x=%2Fpath%2Fb&y=%AB%CD%" }')
    await load(
      t,
      `alerts: { channels: [{ type: command, command: [/bin/sh, -ec, 'echo "$WHAT $1 %A%"', x] }] }`,
    )
  })
})

describe('A file', () => {
  const least = '{"forwards":[{"name":"a","listen":1001,"target":"b:1"}]}'

  it('may begin with a byte order mark', async (t) => {
    for (const name of ['c.json', 'c.yaml'])
      expect((await load(t, `\ufeff${least}`, name)).forwards.length).toBe(1)
  })

  it('that is not in UTF-8 is refused in words', async (t) => {
    const text = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(least, 'utf16le')])
    expect(await refusal(t, text, 'c.json')).toMatch(/not in UTF-8; save it as UTF-8$/)
  })

  it('with a key twice is refused, in JSON as in YAML', async (t) => {
    const twice = least.replace('"listen":1001', '"listen":1001,\n"li\\u0073ten":1002')
    for (const name of ['c.json', 'c.yaml']) {
      expect(await refusal(t, twice, name)).toMatch(/^line 2: the key .* appears twice$/)
    }
    expect(await refusal(t, 'interval: 5s\ninterval: 6s\n')).toBe('line 2: the key interval appears twice')
  })

  it('of several YAML documents is refused in words', async (t) => {
    expect(await refusal(t, 'interval: 5s\n---\ninterval: 6s\n')).toMatch(
      /^line \d: a second YAML document begins here; a/,
    )
  })

  it('without forwards means the Inspector’s ports, with what else it says', async (t) => {
    const { forwards, alerts } = await load(
      t,
      'restart: { backoff: 9s }\nalerts: { channels: [{ type: slack, url: "https://a.b/" }] }',
    )
    const restart = { ...restartDefaults, backoffMs: 9_000 }
    expect(forwards).toStrictEqual(defaultConfiguration.forwards.map((one) => ({ ...one, restart })))
    expect(alerts.channels.length).toBe(1)
    expect(await refusal(t, 'forward: []')).toMatch(/did you mean forwards\?/)
    // One that stands elsewhere is no hint to itself.
    const elsewhere = 'programs: [{ name: web, command: [web], restart: { startTimeout: 1h } }]'
    const said = await refusal(t, elsewhere)
    expect(said).toContain('unknown key "startTimeout"')
    expect(said).not.toContain('did you mean startTimeout')
  })

  it('gives no forward a name that means something else', async (t) => {
    const named = (name: string) =>
      `forwards: [{ name: "${name}", listen: 1001, target: "b:1" }, { name: x, listen: 1002, target: "b:1" }]`
    for (const name of ['1002', '80', 'monitor', 'Monitor', 'alerts']) {
      expect(await refusal(t, named(name)), name).toMatch(/forwards\[0\]\.name: .*take another name$/)
    }
    for (const name of ['1001', 'web-1002', 'monitor2']) await load(t, named(name))
  })

  it('that --init writes means what there is without one; its examples are right, too', async (t) => {
    expect(await load(t, starterFile)).toStrictEqual(defaultConfiguration)
    process.env.SLACK_URL = 'https://a.b/'
    const { forwards, alerts } = await load(t, starterFile.replaceAll(/^#(?! \S)/gm, ''))
    expect(forwards.map(({ name }) => name)).toStrictEqual(['web', 'api'])
    expect(forwards[0]?.restart).toStrictEqual(restartDefaults)
    expect(alerts.channels.length).toBe(2)
  })

  // An order hands over such a text, and the monitor does nothing else meanwhile: each took more than a minute.
  it('of hundreds of kilobytes is judged in time, however it is made', async (t) => {
    const keys = Array.from({ length: 20_000 }, (_, index) => `a${index}: `).join('\n')
    expect(await refusal(t, keys)).toMatch(/unknown key/)
    const forwards = Array.from(
      { length: 3000 },
      (_, at) => `- { name: a${at}, listen: ${at + 1}, target: 1 }`,
    )
    expect((await load(t, `forwards:\n${forwards.join('\n')}`)).forwards).toHaveLength(3000)
  }, 25_000)
})
