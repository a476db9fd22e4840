import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, it } from 'vitest'
import { changeInWords, compareConfigurations } from '../../src/config/compare.ts'
import { defaultConfiguration } from '../../src/config/configuration.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { configurationJsonSchema } from '../../src/config/schema.ts'
import { Failure } from '../../src/os/failure.ts'
import { run, temporaryDirectory } from '../support/children.ts'
import { checkout } from '../support/tools.ts'

async function load(name: string, text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'pw-configuration-'))
  try {
    const file = join(folder, name)
    writeFileSync(file, text)
    return await loadConfiguration(file)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function refused(what: RegExp, text: string, name = 'port-watchdog.yaml') {
  return assert.rejects(load(name, text), (error) => {
    assert.ok(error instanceof Failure)
    assert.equal(error.exitCode, 78)
    assert.match(error.message, what)
    assert.doesNotMatch(error.message, /\n/, 'one line')
    return true
  })
}

describe('The configuration', () => {
  it('that DESIGN names gives what there is without one', async () => {
    const text = `
forwards:
  - { name: inspector, listen: 6274, target: localhost:6274 }
  - { name: inspector-sandbox, listen: 6275, target: localhost:6275 }
  - { name: inspector-proxy, listen: 6277, target: localhost:6277 }
`
    assert.deepEqual(await load('port-watchdog.yaml', text), defaultConfiguration)
  })

  it('takes every option, in JSON as in YAML', async () => {
    const forward = {
      name: 'all',
      listen: 8080,
      target: '[::1]:80',
      bind: '127.0.0.1',
      allow: ['10.0.0.0/8', 'fd00::/8'],
      maxConnections: 7,
      connectTimeout: '250ms',
      idleTimeout: 90,
      drain: 0,
      restart: { backoff: '2s', flappingRestarts: 0 },
      limits: { memory: '1G', action: 'restart' },
    }
    const { forwards, intervalMs } = await load(
      'x.json',
      JSON.stringify({ interval: '5s', limits: { memory: '256M', cpu: '50%' }, forwards: [forward] }),
    )
    assert.equal(intervalMs, 5000)
    const [all] = forwards
    assert.equal(all?.options.targetHost, '::1')
    assert.deepEqual(all?.options.bind, ['127.0.0.1'])
    assert.deepEqual(all?.options.allow, ['10.0.0.0/8', 'fd00::/8'])
    assert.equal(all?.options.connectTimeoutMs, 250)
    assert.equal(all?.options.idleTimeoutMs, 90_000)
    assert.equal(all?.options.halfCloseTimeoutMs, 60_000)
    assert.equal(all?.options.drainMs, 0)
    assert.equal(all?.restart.backoffMs, 2000)
    assert.equal(all?.restart.flappingRestarts, 0)
    assert.deepEqual(all?.limits, { memoryBytes: 1024 ** 3, cpuPercent: 50, action: 'restart' })
  })

  it('refuses what it does not know, and says where', async () => {
    await refused(
      /forwards\[0\]: unknown key "idleTimeot"/,
      'forwards: [{ name: a, listen: 1, target: "b:1", idleTimeot: 1 }]',
    )
    await refused(/unknown key "forward"/, 'forward: []')
  })

  it('refuses values that cannot be, and says what would be right', async () => {
    await refused(/limits\.memory: "256" is not .*256M/, 'limits: { memory: 256 }\nforwards: []')
    await refused(/limits\.cpu: "50" is not .*50%/, 'limits: { cpu: 50 }\nforwards: []')
    await refused(/unknown key "memry" \(did you mean memory\?\)/, 'limits: { memry: 256M }\nforwards: []')
    await refused(/forwards\[0\]\.listen: .*65535/, 'forwards: [{ name: a, listen: 70000, target: "b:1" }]')
    await refused(/forwards\[0\]\.target: .*URL/, 'forwards: [{ name: a, listen: 1, target: "http://b:1" }]')
    await refused(
      /forwards\[0\]\.allow.*not a network/,
      'forwards: [{ name: a, listen: 1, target: "b:1", allow: [10.0.0.0/33] }]',
    )
    await refused(
      /forwards\[0\]\.drain.*not a duration/,
      'forwards: [{ name: a, listen: 1, target: "b:1", drain: soon }]',
    )
    await refused(/forwards\[0\]\.name/, 'forwards: [{ name: "a b", listen: 1, target: "b:1" }]')
  })

  it('refuses times that would keep the monitor busy for ever, or let no forward start', async () => {
    await refused(/interval: rounds come every 100ms at most/, 'interval: 0\nforwards: []')
    await refused(/startTimeout: a start takes time/, 'restart: { startTimeout: 0 }\nforwards: []')
  })

  it('tells what is wrong in plain words, on which line, and how much more there is', async () => {
    const least = '{ name: a, listen: 1, target: "b:1" }'
    for (const empty of ['', '# nothing\n', '\n\n'])
      await refused(/: it is empty; the least that works is/, empty)
    await refused(/: it is empty; /, '', 'x.json')
    await refused(/: line 1: forwards must be a list$/, 'forwards: { a: 1 }')
    await refused(/: it must be keys with values$/, '- 1')
    await refused(/: line 2: forwards\[0\] has no name$/, 'forwards:\n  - { listen: 1, target: "b:1" }')
    await refused(
      /: line 3: forwards\[0\]: unknown key "lisen" \(did you mean listen\?\)$/,
      'forwards:\n  - name: a\n    lisen: 1\n    target: "b:1"',
    )
    await refused(
      /: line 3: forwards\[0\]\.listen must be a number$/,
      '{\n "forwards": [{ "name": "a",\n "listen": "x", "target": "b:1" }] }',
      'x.json',
    )
    await refused(
      /: line 2: interval must be a text or a number \(and 2 more: forwards\[0\]\.listen, forwards\[1\]\.target\)$/,
      `forwards: [{ name: a, listen: 70000, target: "b:1" }, { name: b, listen: 2 }]\ninterval: []`,
    )
    await refused(/: line 2: forwards\[1\]\.name: a is used twice$/, `forwards: [${least},\n ${least}]`)
    await refused(
      /bind.*not an IP address; write one of/,
      `forwards: [${least.replace(' }', ', bind: x }')}]`,
    )
    await refused(/: line 3: .*end with a }$/, 'forwards:\n  - { name: a\nrest: ]')
  })

  it('refuses two forwards of one name or one port', async () => {
    const two = (b: string) => `forwards: [{ name: a, listen: 1, target: "b:1" }, ${b}]`
    await refused(/forwards\[1\]\.name: a is used twice/, two('{ name: a, listen: 2, target: "b:1" }'))
    await refused(/forwards\[1\]\.listen: 1 is used twice/, two('{ name: b, listen: 1, target: "b:1" }'))
  })

  it('that cannot be parsed is refused with the place', async () => {
    await refused(/line 3/, 'forwards:\n  - { name: a\nrest: ]')
    await refused(/JSON/, '{ "forwards": [', 'x.json')
    await refused(/line/, 'forwards: []\nforwards: []')
  })

  it('that is not there is refused', async () => {
    await assert.rejects(
      loadConfiguration('/nowhere/at/all.yaml'),
      /cannot be read: \/nowhere\/at\/all\.yaml does not exist$/,
    )
    await assert.rejects(loadConfiguration('/'), /cannot be read: \/ is a folder, not a file$/)
  })

  it('has its JSON Schema for editors as shipped (npm run schema)', () => {
    const shipped: unknown = JSON.parse(
      readFileSync(join(checkout, 'schema', 'port-watchdog.schema.json'), 'utf8'),
    )
    assert.deepEqual(shipped, JSON.parse(JSON.stringify(configurationJsonSchema())))
  })
})

describe('A change of the configuration', () => {
  it('is told by what was added, removed, changed, and moved to another port', async () => {
    const of = (entries: string) => load('port-watchdog.yaml', `forwards: [${entries}]`)
    const before = await of('{ name: a, listen: 1, target: "b:1" }, { name: b, listen: 2, target: "b:1" }')
    const after = await of('{ name: a, listen: 3, target: "b:1" }, { name: c, listen: 4, target: "b:1" }')
    const change = compareConfigurations(before, after)
    assert.equal(changeInWords(change), 'added c; removed b; a moved from port 1 to 3')
    assert.equal(changeInWords(compareConfigurations(before, before)), undefined)
    const swapped = await of('{ name: b, listen: 1, target: "b:1" }, { name: a, listen: 2, target: "b:2" }')
    assert.equal(
      changeInWords(compareConfigurations(before, swapped)),
      'changed a; renamed a to b; renamed b to a',
    )
  })
})

describe('proxy-monitor --check', () => {
  it('counts the forwards as a person does', async (t) => {
    const file = join(temporaryDirectory(t), 'c.yaml')
    const check = async (text: string) => {
      writeFileSync(file, text)
      const { code, stdout } = await run('proxy-monitor', ['--check', '--config', file])
      assert.equal(code, 0)
      return stdout
    }
    assert.match(await check('forwards: []'), /is valid: no forwards: nothing would be watched\n$/)
    assert.match(
      await check('forwards: [{ name: a, listen: 1, target: "b:1" }]'),
      /is valid: 1 forward\n {2}a: port 1 to b:1\n$/,
    )
  })
})

describe('alerts', () => {
  const withAlerts = (alerts: string) => `forwards: []\nalerts:\n${alerts.replaceAll(/^/gm, '  ')}`

  it('are off without a section', async () => {
    const { alerts } = await load('port-watchdog.yaml', 'forwards: []')
    assert.deepEqual(alerts, { channels: [], ping: undefined, reminderMs: 0, groupMs: 5000 })
  })

  it('take a secret from the file or from the environment, and print neither', async () => {
    process.env.ALERT_TEST_URL = 'https://hooks.example.com/from-environment'
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
    const reference = 'url: ${ALERT_TEST_URL}'
    const text = withAlerts(`
reminder: 30m
channels:
  - type: slack
    ${reference}
  - { type: webhook, name: pager, url: "https://pager.example.com/from-file", secret: c2lnbmluZy1rZXktb2Ytc2l4dGVlbi1vci1tb3Jl }
  - { type: command, command: [notify, --now] }
ping: { url: "https://ping.example.com/uuid-of-mine", interval: 2m, fail: true }`)
    const { alerts } = await load('port-watchdog.yaml', text)
    const [slack, pager] = alerts.channels
    assert.equal(slack?.type === 'slack' && slack.url.reveal(), 'https://hooks.example.com/from-environment')
    assert.equal(
      pager?.type === 'webhook' && pager.secret?.reveal(),
      'c2lnbmluZy1rZXktb2Ytc2l4dGVlbi1vci1tb3Jl',
    )
    assert.deepEqual(
      alerts.channels.map(({ name }) => name),
      ['slack', 'pager', 'command'],
    )
    assert.equal(alerts.ping?.intervalMs, 120_000)
    for (const printed of [
      JSON.stringify(alerts),
      inspect(alerts, { depth: 9, showHidden: true }),
      `${alerts.ping?.url}`,
    ]) {
      assert.doesNotMatch(printed, /from-environment|from-file|c2lnbmluZy|uuid-of-mine/)
    }
    delete process.env.ALERT_TEST_URL
    await refused(/alerts\.channels\[0\]\.url: the environment variable ALERT_TEST_URL is not set/, text)
  })

  it('that cannot work are refused, without repeating a secret', async () => {
    const channel = (words: string) => withAlerts(`channels: [{ ${words} }]`)
    await refused(
      /channels\[0\].*a channel has a type: slack, discord, webhook or command/,
      channel('type: smtp, url: x'),
    )
    await refused(
      /channels\[0\]\.url: it is not an http or https URL$/,
      channel('type: slack, url: "secret words"'),
    )
    await refused(
      /channels\[0\]\.name: "ping" is the name/,
      channel('type: slack, name: ping, url: "https://a.b/"'),
    )
    await refused(/channels\[0\]\.command/, channel('type: command, command: []'))
    await refused(/alerts\.reminder: the shortest reminder is 30m/, withAlerts('reminder: 5m'))
    const twice = '{ type: slack, url: "https://a.b/" }'
    await refused(/channels\[1\]\.name: slack is used twice/, withAlerts(`channels: [${twice}, ${twice}]`))
  })
})
