// Each format's sample becomes the configuration in test/golden/import, with every loss as a comment.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type ImportContext, type Imported, unresolved } from '../../../src/program/import/imported.ts'
import { formatOf, formats } from '../../../src/program/import/index.ts'
import { fitting, seenFrom, yamlOf } from '../../../src/program/import/yaml-text.ts'
import { checkout } from '../../support/tools.ts'

const samples = path.join(checkout, 'test/program/import/samples')

function imported(fileName: string, text: string, context: Partial<ImportContext> = {}): Imported {
  const format = formatOf(fileName, text)
  if (format === undefined) throw new Error(`${fileName} is not recognised`)
  return format.read(text, {
    fileName,
    folder: '/srv/shop',
    hasFile: (file) => file === '.env',
    env: { HOME: '/home/alice' },
    ...context,
  })
}

describe('Imported configurations', () => {
  for (const name of readdirSync(samples).filter((one) => !one.endsWith('.cjs'))) {
    it(`of ${name} keep what can be kept and say what cannot`, async () => {
      const result = imported(name, readFileSync(path.join(samples, name), 'utf8'))
      const text = yamlOf(result, `Imported from ${name}.`)
      await expect(text).toMatchFileSnapshot(path.join(checkout, 'test/golden/import', `${name}.yaml`))
      expect((parse(text) as { programs: unknown }).programs).toEqual(result.programs)
      for (const { where } of [...result.notCarriedOver, ...result.adapted])
        expect(text).toContain(`# ${where}: `)
    })
  }

  it('are of every format that the table names', () => {
    const names = readdirSync(samples).map(
      (name) => formatOf(name, readFileSync(path.join(samples, name), 'utf8'))?.name,
    )
    expect(new Set(names)).toEqual(new Set(formats.map(({ name }) => name)))
  })

  it('name every key that they do not carry over, wherever it stands', () => {
    const probe = { exec: { command: 'true' }, strange: 1 }
    const compose = {
      strange: 1,
      processes: {
        a: {
          command: 'a',
          strange: 1,
          readiness_probe: probe,
          liveness_probe: probe,
          availability: { restart: 'always', strange: 1 },
          shutdown: { signal: 15, strange: 1 },
        },
      },
    }
    const strange: Readonly<Record<string, readonly [text: string, count: number]>> = {
      'supervisord.conf': ['[supervisord]\nstrange=1\n[program:a]\ncommand=a\nstrange=1\n[strange]\nb=1', 3],
      'circus.ini': ['[circus]\nstrange=1\n[watcher:a]\ncmd=a\nstrange=1\n[strange]\nb=1', 3],
      'ecosystem.json': [JSON.stringify({ apps: [{ script: 'a.js', strange: 1 }], strange: 1 }), 2],
      'process-compose.yaml': [JSON.stringify(compose), 6],
      Procfile: ['a: a\nstrange\n', 1],
    }
    for (const [name, [text, count]] of Object.entries(strange)) {
      const { notCarriedOver } = imported(name, text)
      const told = notCarriedOver.filter(({ where, what }) => `${where} ${what}`.includes('strange'))
      expect(
        told.map(({ where }) => where),
        name,
      ).toHaveLength(count)
    }
  })

  it('lose the keys that a configuration does not know, and say so', () => {
    const read = imported('Procfile', 'web: node server.js\nrelease: bin/migrate\n')
    const { programs, notCarriedOver } = fitting(read, {
      programs: ['name', 'env', 'command'],
      env: ['NONE'],
    })
    expect(programs).toEqual([
      { name: 'web', command: ['node', 'server.js'] },
      { name: 'release', command: ['bin/migrate'], autostart: false },
    ])
    expect(notCarriedOver.map(({ where, why }) => [where, why])).toEqual([
      ['web.env.PORT', 'no-equivalent'],
      ['web.envFile', 'no-equivalent'],
      ['release.env.PORT', 'no-equivalent'],
      ['release.envFile', 'no-equivalent'],
      ['release.oneshot', 'no-equivalent'],
    ])
  })

  it('keep what the other tool does where its file says nothing', () => {
    const circus = imported(
      'circus.ini',
      '[watcher:web]\ncmd = run --home $(circus.env.home)\n[env]\nDATA = $HOME/data:$NOWHERE\n',
    )
    expect(circus.programs).toEqual([
      {
        name: 'web',
        command: ['run', '--home', '/home/alice'],
        env: { DATA: `/home/alice/data:${unresolved('NOWHERE')}` },
        stop: { grace: '30s' },
      },
    ])
    const supervisord = imported(
      'supervisord.conf',
      '[program:web]\ncommand = run\nstartsecs = 10\nexitcodes = 0,2\nstartretries = 5\n',
    )
    const lossOf = ({ notCarriedOver }: Imported) =>
      notCarriedOver.map(({ where, instead }) => [where, instead])
    expect(lossOf(supervisord)).toEqual([
      ['[program:web] startsecs', 'ready'],
      ['[program:web] exitcodes', 'oneshot'],
      ['[program:web] startretries', 'restart.flappingRestarts'],
      ['[program:web] autorestart', 'oneshot'],
    ])
    const compose = imported('process-compose.yaml', 'processes: {web: {command: run}}\n')
    expect(lossOf(compose)).toEqual([['processes.web.availability.restart', 'oneshot']])
  })

  it('name folders as they are seen from where the configuration is written', () => {
    const read = imported(
      'ecosystem.json',
      '{"apps": [{"script": "a.js"}, {"script": "b.js", "cwd": "api"}, {"script": "c.js", "cwd": "/srv"}]}',
    )
    const cwds = (to: string) => seenFrom(read, '/home/alice/shop', to).programs.map(({ cwd }) => cwd)
    expect(cwds('/home/alice/shop')).toEqual([undefined, 'api', '/srv'])
    expect(cwds('/home/alice')).toEqual(['shop', 'shop/api', '/srv'])
  })

  it('give each program a name of its own that a configuration accepts', () => {
    const read = imported(
      'process-compose.yaml',
      'processes: {"a b": {command: x}, "a/b": {command: x}, "80": {command: x}, "é": {command: x}}',
    )
    expect(read.programs.map(({ name }) => name)).toEqual(['program-80', 'a-b', 'a-b-2', 'program'])
  })

  it('are refused when the text is no YAML, or holds nothing', () => {
    expect(() => imported('process-compose.yaml', 'processes: [')).toThrow()
    expect(formatOf('notes.txt', 'apps: 1')).toBeUndefined()
    expect(imported('Procfile', 'nothing here\n').notCarriedOver.map(({ why }) => why)).toEqual(['invalid'])
  })
})
