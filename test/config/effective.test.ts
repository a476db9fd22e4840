// The values that hold, and where each comes from: what `config show` and `config diff` are made of.
import { describe, expect, it } from 'vitest'
import { differences, effectiveValues } from '../../src/config/effective.ts'
import { readConfiguration } from '../../src/config/load.ts'

// Nothing is read: it names no file.
const file = '/nowhere/port-watchdog.yaml'

async function valuesOf(...lines: readonly string[]) {
  const read = await readConfiguration({ file, text: lines.join('\n') })
  return effectiveValues(read.configuration, read)
}

async function valueAt(at: string, ...lines: readonly string[]) {
  return (await valuesOf(...lines)).find((one) => one.path === at)
}

const program = [
  'restart:',
  '  backoff: 90s',
  'programs:',
  '  - name: web',
  '    template: vite',
  '    env: { TOKEN: abc }',
  '    input: true',
  '    health: { http: "http://localhost:5173/", interval: 250ms }',
]

describe('A value that holds', () => {
  it('is written as a file has it, with the line that it comes from', async () => {
    const inLine = (line: number | null) => ({ kind: 'file', line })
    const expected = {
      'programs.web.command': ['["node_modules/.bin/vite","--port","5173","--strictPort"]', 'vite'],
      'programs.web.ready.port': ['5173', 'vite'],
      'programs.web.restart.backoff': ['"90s"', inLine(2)],
      'programs.web.health.interval': ['"250ms"', inLine(8)],
      'programs.web.health.http': ['"http://localhost:5173/"', inLine(8)],
      'programs.web.input.allow': ['[]', inLine(7)],
      'programs.web.stop.grace': ['"10s"', { kind: 'default' }],
      'programs.web.output.maxSize': ['"32M"', { kind: 'default' }],
    }
    for (const [at, [value, origin]] of Object.entries(expected)) {
      const found = await valueAt(at, ...program)
      expect(JSON.stringify(found?.value), at).toBe(value)
      expect(found?.origin, at).toEqual(
        typeof origin === 'string' ? { kind: 'template', template: origin } : origin,
      )
    }
  })

  it('is a secret in env, and where a channel has one, which nobody can read from it', async () => {
    expect(await valueAt('programs.web.env.TOKEN', ...program)).toMatchObject({ isSecret: true })
    const channel = (url: string) => ['alerts:', '  channels:', `    - { type: slack, url: "${url}" }`]
    const url = 'https://hooks.slack.com/services/T0/B0/abcdefgh'
    const found = await valueAt('alerts.channels.slack.url', ...channel(url), 'forwards: []')
    expect(found).toMatchObject({ isSecret: true, value: '[redacted]', origin: { kind: 'file', line: 3 } })
    expect(JSON.stringify(found)).not.toContain('abcdefgh')
    const [one, other] = [
      await valuesOf(...channel(url), 'forwards: []'),
      await valuesOf(...channel(`${url}2`), 'forwards: []'),
    ]
    expect(differences(one, other).map(({ path: at }) => at)).toEqual(['alerts.channels.slack.url'])
  })

  it('is a secret in the store of the gateway: neither shown nor repeated in a mistake', async () => {
    const store = (url: string, more = '') => ['gateway:', `  store: { url: "${url}"${more} }`]
    const path = 'gateway.store.url'
    const url = 'postgres://me:hidden-word@db.internal/keys'
    const values = await valuesOf(...store(url, ', outage: 1h'))
    expect(values.find(({ path: at }) => at === path)).toMatchObject({ isSecret: true, value: '[redacted]' })
    expect(values.find(({ path: at }) => at === 'gateway.store.outage')?.value).toBe('1h')
    expect(JSON.stringify(values)).not.toContain('hidden-word')
    const changed = differences(values, await valuesOf(...store(`${url}2`, ', outage: 1h')))
    expect(changed.map(({ path: at }) => at)).toEqual([path])
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how people write it.
    for (const wrong of ['mysql://me:hidden-word@db/keys', '${NAME}/hidden-word', 'hidden-word']) {
      const said = await valuesOf(...store(wrong)).catch(({ message }: Error) => message)
      expect(said).toContain(path)
      expect(said).not.toContain('hidden-word')
    }
    // Set where the gateway starts: others read the file, too.
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how people write it.
    expect(await valueAt(path, ...store('${NOT_SET_HERE}'))).toMatchObject({ isSecret: true })
    await expect(valuesOf(...store(url, ', pool: 3'))).rejects.toThrow(/gateway\.store.*pool/)
  })

  it('is a secret in the URL of a connector that has a key in it, and in no other', async () => {
    const at = (url: string) => valueAt('connectors.docs.url', 'connectors:', `  docs: { url: "${url}" }`)
    expect(await at('https://mcp.example.com/mcp?key=x')).toMatchObject({ isSecret: true })
    expect(await at('https://me:x@mcp.example.com/mcp')).toMatchObject({ isSecret: true })
    expect(await at('https://mcp.example.com/mcp')).toMatchObject({ isSecret: false })
  })

  it('comes from a template only where the entry does not say it', async () => {
    const lines = ['programs:', '  - name: web', '    template: vite', '    command: [vite]']
    expect(await valueAt('programs.web.command', ...lines)).toMatchObject({
      origin: { kind: 'file', line: 4 },
    })
  })

  it('is a default without a file', async () => {
    const { configuration } = await readConfiguration({ file, text: 'forwards: []' })
    expect(new Set(effectiveValues(configuration).map(({ origin }) => origin.kind))).toEqual(
      new Set(['default']),
    )
  })
})

describe('What differs', () => {
  it('is told by the names of units, wherever they stand', async () => {
    const web = '  - { name: web, command: [a] }'
    const api = (grace: string) => `  - { name: api, command: [b], stop: { grace: ${grace} } }`
    const before = await valuesOf('programs:', web, api('1s'))
    const after = await valuesOf('programs:', api('2s'), web)
    expect(differences(before, after)).toMatchObject([
      { path: 'programs.api.stop.grace', before: { value: '1s' }, after: { value: '2s' } },
    ])
  })

  it('is what a new program says, without its defaults', async () => {
    const before = await valuesOf('forwards: []')
    const after = await valuesOf('programs:', '  - { name: web, command: [a] }', 'forwards: []')
    expect(differences(before, after)).toMatchObject([
      { path: 'programs.web.command', before: null, after: { value: ['a'] } },
    ])
  })
})
