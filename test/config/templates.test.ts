// Templates of programs: what an entry becomes, what is refused, how a folder is recognised, how an entry gets into a file.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { withEntries } from '../../src/config/edit.ts'
import { configurationFrom, type InvalidConfiguration } from '../../src/config/load.ts'
import { builtIn } from '../../src/config/templates/built-in.ts'
import { withTemplates } from '../../src/config/templates/index.ts'
import { templatesFor, virtualPython } from '../../src/config/templates/recognise.ts'
import { words } from '../../src/config/templates/words.ts'
import { temporaryDirectory } from '../support/children.ts'

const expanded = (...programs: unknown[]) => withTemplates({ programs }, builtIn)

describe('An entry with a template', () => {
  it('gets the keys of the template, with the port in them', () => {
    expect(expanded({ name: 'web', template: 'vite', cwd: 'web' }).content).toEqual({
      programs: [
        {
          name: 'web',
          cwd: 'web',
          command: ['node_modules/.bin/vite', '--port', '5173', '--strictPort'],
          ready: { port: 5173 },
          output: words.vite,
        },
      ],
    })
    expect(expanded({ name: 'api', template: 'express', port: 4000 }).content).toEqual({
      programs: [
        {
          name: 'api',
          command: ['npm', '--silent', 'start'],
          env: { PORT: '4000' },
          ready: { port: 4000 },
          output: words.express,
        },
      ],
    })
  })

  it('keeps what it says itself, adds its variables, and puts its args behind the command', () => {
    const entry = {
      name: 'p',
      template: 'django',
      command: ['.venv/bin/python', 'manage.py'],
      args: ['check', 1],
      env: { A: 'b' },
    }
    expect(expanded(entry).content).toEqual({
      programs: [
        {
          name: 'p',
          command: ['.venv/bin/python', 'manage.py', 'check', 1],
          env: { PYTHONUNBUFFERED: '1', A: 'b' },
          ready: { port: 8000 },
          output: words.django,
        },
      ],
    })
  })

  it('is refused when the template is unknown, or its keys mean nothing', () => {
    const own = {
      name: 'cron',
      summary: '',
      port: null,
      furtherPorts: {},
      traits: [],
      note: null,
      entry: { command: ['x'] },
    }
    const problems = (entry: unknown) =>
      withTemplates({ programs: [{ name: 'a' }, entry] }, [...builtIn, own]).problems
    expect(problems({ template: 'veet' })).toEqual([
      {
        place: ['programs', 1, 'template'],
        text: expect.stringMatching(
          /^programs\[1\]\.template: there is no template "veet"; there are vite, nextjs, .*, cron$/,
        ),
      },
    ])
    for (const [entry, key] of [
      [{ command: ['x'], port: 1 }, 'port'],
      [{ command: ['x'], args: [] }, 'args'],
      [{ template: 'vite', port: 0 }, 'port'],
      [{ template: 'vite', args: 'x' }, 'args'],
      [{ template: 'cron', port: 80 }, 'port'],
    ] as const) {
      expect(problems(entry).map(({ place }) => place)).toEqual([['programs', 1, key]])
    }
  })

  it('leaves everything else as it is', () => {
    for (const content of [null, 1, [], { programs: 1 }, { programs: [1, null, { name: 'a' }] }]) {
      expect(withTemplates(content, builtIn)).toEqual({ content, problems: [] })
    }
  })

  it('listens on loopback alone, and on no other port than its own', () => {
    for (const { name, port, entry } of builtIn) {
      expect(port, name).not.toBeNull()
      expect(JSON.stringify(entry), name).not.toMatch(/0\.0\.0\.0|"::"/)
      expect(entry.ready, name).toEqual({ port: '{port}' })
    }
  })
})

describe('Templates beside the configuration', () => {
  it('that are broken hide no other mistake: all are told at once, and nothing that would follow from them', async (t) => {
    const folder = temporaryDirectory(t)
    const file = path.join(folder, 'port-watchdog.yaml')
    mkdirSync(path.join(folder, 'templates'))
    const template = (name: string, text: string) => writeFileSync(path.join(folder, 'templates', name), text)
    template('api.yaml', 'summry: x\nport: 99999\ncomand: [x]\n')
    template('odd name.yaml', 'command: [x]\n')
    template('torn.yaml', 'command: [x\n')
    template('good.yaml', 'command: [x]\n')
    const programs = [
      { name: 'a', template: 'api', port: 4000, restrat: {} },
      { name: 'b', template: 'torn' },
      { name: 'c', template: 'nobody' },
      { name: 'd', template: 'good' },
    ]
    const forwards = [{ name: 'f', listen: 'x', target: 'program:a' }]
    const refused = await configurationFrom(file, stringify({ programs, forwards })).then(
      () => expect.unreachable('it is taken'),
      (error: InvalidConfiguration) => error,
    )
    const own = path.join(folder, 'templates')
    expect(refused.found.map(({ message }) => message.replace(`${own}/`, ''))).toEqual([
      'api.yaml: port: must be at most 65535',
      'api.yaml: it has no command; write a list such as [npm, run, dev]',
      'odd name.yaml: a template is named by its file: letters, digits, ".", "_" or "-"',
      expect.stringMatching(/^torn.yaml: .* at line 2, column 1$/),
      expect.stringMatching(/^programs\[2\].template: there is no template "nobody"; there are .*, good$/),
      'programs[0]: unknown key "restrat" (did you mean restart?)',
      'forwards[0].listen must be a number',
    ])
  })
})

describe('A folder', () => {
  it('is recognised by its packages and files', (t) => {
    const folder = temporaryDirectory(t)
    const recognised = (files: Readonly<Record<string, string>>) => {
      const one = path.join(folder, String(Math.random()))
      for (const [file, text] of Object.entries(files)) {
        mkdirSync(path.dirname(path.join(one, file)), { recursive: true })
        writeFileSync(path.join(one, file), text)
      }
      return templatesFor(one, builtIn).map(({ name }) => name)
    }
    expect(recognised({ 'package.json': '{"devDependencies": {"vite": "8"}}' })).toEqual(['vite'])
    expect(recognised({ 'package.json': '{"dependencies": {"next": "16", "express": "5"}}' })).toEqual([
      'nextjs',
      'express',
    ])
    expect(recognised({ 'requirements.txt': '# web\nFastAPI[standard]>=0.1\n' })).toEqual(['fastapi'])
    expect(recognised({ 'pyproject.toml': '[project]\ndependencies = [\n  "flask==3",\n]\n' })).toEqual([
      'flask',
    ])
    expect(recognised({ 'manage.py': '', 'requirements.txt': 'flask-login\n' })).toEqual(['django'])
    expect(recognised({ 'bin/rails': '' })).toEqual(['rails'])
    expect(recognised({ 'index.html': '' })).toEqual(['static'])
    expect(recognised({ 'index.html': '', 'package.json': '{"devDependencies": {"vite": "8"}}' })).toEqual([
      'vite',
    ])
    expect(recognised({ 'package.json': 'not JSON' })).toEqual([])
    mkdirSync(path.join(folder, '.venv/bin'), { recursive: true })
    writeFileSync(path.join(folder, '.venv/bin/python'), '')
    expect(virtualPython(folder)).toBe('.venv/bin/python')
  })
})

describe('A new entry in a configuration file', () => {
  const entry = { name: 'web', template: 'vite', args: ['--open', 'a b'] }
  const added = (text: string, file = 'port-watchdog.yaml') =>
    withEntries(text, file, { programs: [entry], forwards: [{ name: 'web-port', listen: 5173 }] })

  it('stands at the end of its list, and nothing else changes', () => {
    const text = `# mine
interval: 5s   # often

programs:
    # the first
    -   name: "api"      # why: it is
        command: [ node,  server.js ]
    - name: db
      command: >-
        one
        two
# after the list

forwards: # all
- {name: api-port, listen: 80, target: '3000'}
`
    expect(added(text)).toBe(`# mine
interval: 5s   # often

programs:
    # the first
    -   name: "api"      # why: it is
        command: [ node,  server.js ]
    - name: db
      command: >-
        one
        two
    - name: web
      template: vite
      args: [--open, a b]
# after the list

forwards: # all
- {name: api-port, listen: 80, target: '3000'}
- name: web-port
  listen: 5173
`)
  })

  it('makes the list where there is none', () => {
    const lists =
      'programs:\n  - name: web\n    template: vite\n    args: [--open, a b]\n\nforwards:\n  - name: web-port\n    listen: 5173\n'
    expect(added('')).toBe(lists)
    expect(added('interval: 5s # x')).toBe(`interval: 5s # x\n\n${lists}`)
  })

  it('gets into lists in brackets, and into JSON', () => {
    expect(parse(added('programs: []\nforwards: [{ name: a }] # c\n'))).toEqual({
      programs: [entry],
      forwards: [{ name: 'a' }, { name: 'web-port', listen: 5173 }],
    })
    expect(added('programs: []\nforwards: [{ name: a }] # c\n')).toContain('# c')
    expect(added('{\n    "interval": 1\n}\n', 'a.json')).toMatch(
      /^\{\n {4}"interval": 1,\n {4}"programs": \[/,
    )
  })

  it('is what a reader finds there, whatever stands in the file', () => {
    const value = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null))
    const one = fc.dictionary(fc.constantFrom('name', 'x', 'y'), value)
    const file = fc.record({ programs: fc.array(one), interval: value }, { requiredKeys: [] })
    fc.assert(
      fc.property(file, fc.boolean(), (content, isFlow) => {
        const text = stringify(content, isFlow ? { collectionStyle: 'flow' } : {})
        const wanted = { ...content, programs: [...(content.programs ?? []), entry] }
        expect(parse(withEntries(text, 'a.yaml', { programs: [entry], forwards: [] }))).toEqual(wanted)
      }),
    )
  })
})
