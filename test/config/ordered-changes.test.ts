// What orders change, beside the file of a person: how it is merged, what is allowed, what is set aside.
import { describe, expect, it } from 'vitest'
import { type ChangePermission, isPowerful } from '../../src/config/change-permission.ts'
import { readConfiguration } from '../../src/config/load.ts'
import { changed, type OrderedProgram, orderedKeys, withChanges } from '../../src/config/ordered-changes.ts'
import { parseChanges } from '../../src/record/configuration-changes.ts'

const permission: ChangePermission = { templates: ['static'], folders: ['/apps'], env: ['LOG_LEVEL'] }
const isWithin = (folder: string) => folder.startsWith('/apps')
const content = { programs: [{ name: 'web', command: ['a'], env: { A: '1' }, restart: { backoff: '1s' } }] }

const overlaid = (...changes: readonly OrderedProgram[]) =>
  withChanges(content, changes, permission, isWithin)

describe('A change of an order', () => {
  it('is merged key by key, and null takes a key back', () => {
    const first = changed({ name: 'web' }, { env: { LOG_LEVEL: 'debug' }, restart: { backoff: '5s' } })
    const second = changed(first, { env: { LOG_LEVEL: null }, restart: { killAfter: 1 }, autostart: false })
    expect(second).toEqual({ name: 'web', restart: { backoff: '5s', killAfter: 1 }, autostart: false })
    expect(orderedKeys(second)).toEqual(['restart.backoff', 'restart.killAfter', 'autostart'])
    expect(changed(second, { restart: { backoff: null, killAfter: null }, autostart: null })).toEqual({
      name: 'web',
    })
  })

  it('goes into the entry of the file, which stays as it is', () => {
    const rules = { slow: [{ regex: 'SLOW', priority: 1 }] }
    const made = overlaid({ name: 'web', env: { LOG_LEVEL: 'x' }, patterns: rules, limits: { memory: '1G' } })
    expect(made.content).toEqual({
      programs: [
        {
          name: 'web',
          command: ['a'],
          env: { A: '1', LOG_LEVEL: 'x' },
          restart: { backoff: '1s' },
          limits: { memory: '1G' },
          output: { patterns: [rules] },
        },
      ],
    })
    expect(content.programs[0]?.env).toEqual({ A: '1' })
  })

  it('adds a program from a template alone', () => {
    const added = { template: 'static', cwd: '/apps/docs', port: 8090 }
    const made = overlaid({ name: 'docs', added, autostart: false })
    expect((made.content as typeof content).programs[1]).toEqual({ name: 'docs', ...added, autostart: false })
  })

  const denied: readonly (readonly [string, OrderedProgram])[] = [
    ['the template', { name: 'x', added: { template: 'mcp-proxy', cwd: '/apps' } }],
    ['the folder', { name: 'x', added: { template: 'static', cwd: '/etc' } }],
    ['the variable LD_PRELOAD', { name: 'web', env: { LD_PRELOAD: '/tmp/evil.so' } }],
    ['the variable __proto__', { name: 'web', env: JSON.parse('{"__proto__": "x"}') }],
  ]
  for (const [what, change] of denied) {
    it(`is set aside when the list has not ${what}`, () => {
      const { setAside, content: made } = overlaid(change)
      expect(setAside).toMatchObject([{ kind: 'denied', why: expect.stringContaining(what) }])
      expect(JSON.stringify(made)).not.toMatch(/evil|mcp-proxy|etc/)
    })
  }

  it('is set aside when the file allows none, or has such a program of its own, or none any more', () => {
    const web: OrderedProgram = { name: 'web', autostart: false }
    expect(withChanges(content, [web], undefined, isWithin)).toMatchObject({
      content,
      setAside: [{ kind: 'denied' }],
    })
    const added = { template: 'static', cwd: '/apps' }
    expect(overlaid({ name: 'web', added }, { name: 'gone', autostart: true }).setAside).toMatchObject([
      { program: 'web', kind: 'unfit' },
      { program: 'gone', kind: 'unfit' },
    ])
  })

  it('never makes the file of a person invalid: what does not fit is left out', async () => {
    const text = [
      'programs: [{ name: web, command: [a] }, { name: api, command: [b] }]',
      'configChange: {}',
    ].join('\n')
    const changes: OrderedProgram[] = [
      { name: 'web', restart: { backoff: 'often' } },
      { name: 'api', restart: { backoff: '7s' } },
    ]
    const read = await readConfiguration({ file: '/nowhere/a.yaml', text, changes })
    expect(read.setAside).toMatchObject([{ program: 'web', kind: 'unfit' }])
    expect(read.configuration.programs.map(({ restart, ordered }) => [restart.backoffMs, ordered])).toEqual([
      [1000, undefined],
      [7000, ['restart.backoff']],
    ])
  })
})

describe('configChange', () => {
  it('lists no variable by which whoever sets it runs other code', async () => {
    for (const name of [
      'LD_PRELOAD',
      'NODE_OPTIONS',
      'PATH',
      'npm_config_script_shell',
      'BASH_ENV',
      'PYTHONPATH',
    ])
      expect(isPowerful(name), name).toBe(true)
    for (const name of ['LOG_LEVEL', 'NODE_ENV', 'PORT', 'DEBUG', 'DATABASE_URL'])
      expect(isPowerful(name), name).toBe(false)
    const text = 'programs: [{ name: web, command: [a] }]\nconfigChange:\n  env: [NODE_OPTIONS]\n'
    await expect(readConfiguration({ file: '/nowhere/a.yaml', text })).rejects.toThrow(
      /line 3: configChange.env\[0\]: whoever sets this variable can run other code/,
    )
  })
})

describe('The file of changes', () => {
  const withProgram = (program: object) => JSON.stringify({ schemaVersion: 1, programs: [program], undo: [] })

  it('is read as it was written, and refused when it holds another key, such as a command', () => {
    const program = { name: 'web', added: { template: 'vite', cwd: '/a', port: 1 }, env: { A: 'b' } }
    expect(parseChanges(withProgram(program)).programs).toEqual([program])
    for (const evil of [
      { name: 'web', command: ['sh'] },
      { name: 'web', added: { template: 'vite', cwd: '/a', args: ['x'] } },
      { name: 'web', env: { A: 1 } },
      { name: 'web', restart: { backoff: {} } },
      { name: 7 },
    ])
      expect(() => parseChanges(withProgram(evil)), JSON.stringify(evil)).toThrow('damaged')
    for (const text of ['', '[]', '{}', 'null', '{"schemaVersion":2,"programs":[],"undo":[]}'])
      expect(() => parseChanges(text)).toThrow()
  })
})
