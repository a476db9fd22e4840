import { describe, expect, it } from 'vitest'
import { instancesOf, withInstances } from '../../src/config/instances.ts'
import { parseConfiguration } from '../../src/config/schema.ts'
import { builtIn } from '../../src/config/templates/built-in.ts'
import { withTemplates } from '../../src/config/templates/index.ts'

const web = { name: 'web', command: ['node', 'web.js', '{port}', '{instance}'], instances: 3 }

function read(programs: readonly object[], forwards: readonly object[] = []) {
  const { content } = withTemplates({ programs, forwards }, builtIn)
  return parseConfiguration(content)
}

function problemsIn(programs: readonly object[], forwards: readonly object[] = []): readonly string[] {
  const parsed = read(programs, forwards)
  return parsed.ok ? [] : parsed.problems.map(({ text }) => text)
}

function programsOf(programs: readonly object[]) {
  const parsed = read(programs)
  if (!parsed.ok) throw new Error(parsed.problems.map(({ text }) => text).join('; '))
  return parsed.value.programs
}

describe('Copies of a program', () => {
  it('have a name, a port and a number each', () => {
    const health = { http: 'http://localhost:3000/up' }
    const [program] = programsOf([{ ...web, ready: { port: 3000 }, health }])
    const copies = withInstances(program === undefined ? [] : [program])
    expect(copies.map(({ name }) => name)).toEqual(['web-1', 'web-2', 'web-3'])
    expect(copies[0]?.ready?.probe).toEqual({ kind: 'port', port: 3000 })
    expect(copies[2]).toMatchObject({
      command: ['node', 'web.js', '3002', '3'],
      env: { PORT: '3002', PORT_WATCHDOG_INSTANCE: '3' },
      ready: { probe: { kind: 'port', port: 3002 } },
      health: { probe: { kind: 'http', url: 'http://localhost:3002/up' } },
      instanceOf: { program: 'web', number: 3 },
    })
  })

  it('count from PORT where a variable names the port', () => {
    const [program] = programsOf([{ ...web, env: { PORT: 8000 }, ready: { log: 'up' } }])
    const ports = program && instancesOf(program, 2).map(({ env }) => env.PORT)
    expect(ports).toEqual(['8000', '8001'])
  })

  it('of a template have the port in its command', () => {
    const [program] = programsOf([{ name: 'web', template: 'vite', port: 6000, instances: 2 }])
    const second = program && instancesOf(program, 2)[1]
    expect(second?.command.join(' ')).toContain('--port 6001')
    expect(second?.ready?.probe).toEqual({ kind: 'port', port: 6001 })
  })

  it('leave a program without instances as it is', () => {
    const [program] = programsOf([{ ...web, instances: undefined }])
    expect(program && instancesOf(program, 5)).toEqual([program])
    expect(program?.command).toEqual(web.command)
  })

  it.each([
    [{ maxInstances: 2 }, 'programs[0].maxInstances: it is less than instances, which is 3'],
    [{ oneshot: true }, 'programs[0].instances: a program that runs once (oneshot) has no copies'],
    [{ ready: { port: 65530 } }, 'programs[0].instances: copy 8 would have port 65537; the highest is 65535'],
  ])('refuse %o', (more, problem) => {
    expect(problemsIn([{ ...web, ...more }])).toEqual([problem])
  })

  it('take no name and no port of another unit', () => {
    const other = { name: 'web-8', command: ['true'] }
    expect(problemsIn([web, other])).toEqual([
      'programs[0].name: a copy of it may be called web-8, which is the name of another unit; take another name',
    ])
    const [text] = problemsIn([
      { ...web, ready: { port: 3000 } },
      { name: 'api', command: ['true'], ready: { port: 3002 } },
    ])
    expect(text).toBe(
      'programs[1].ready.port: port 3002 is taken already by port 3002 of programs[0].ready.port',
    )
  })
})

describe('A forward to a program', () => {
  const front = { name: 'front', listen: 8080, target: 'program:web' }

  it('leads to the port of the first copy, on loopback', () => {
    const parsed = read([{ ...web, ready: { port: 3000 } }], [{ ...front, listen: 3000 }])
    expect(parsed.ok && parsed.value.forwards[0]?.options).toMatchObject({
      targetHost: 'program:web',
      targetPort: 3000,
    })
  })

  it.each([
    ['program:shop', 'forwards[0].target: there is no program "shop"'],
    [
      'program:web',
      'forwards[0].target: the program web has no port; give it ready: { port: 3000 }, or PORT in env',
    ],
    [
      ['program:web', 'localhost:80'],
      'forwards[0].target: program:web stands alone; leave the other targets out',
    ],
  ])('is refused: %s', (target, problem) => {
    expect(problemsIn([web], [{ ...front, target }])).toEqual([problem])
  })
})
