// What may be sent to a program, and what an action makes of its arguments.
import { mkdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ActionArgument, ActionConfiguration } from '../../src/config/program-configuration.ts'
import { wordsOf } from '../../src/program/actions/arguments.ts'
import { ProgramInput } from '../../src/program/input/index.ts'
import { compileInput, refusalOf } from '../../src/program/input/policy.ts'
import { temporaryDirectory } from '../support/children.ts'

describe('Input', () => {
  const usual = compileInput({})

  it('that shells and REPLs must not get is refused by itself', () => {
    const dangers = [
      ...[
        'rm -rf /',
        'rm  -v -fr build',
        ':(){ :|:& };:',
        'mkfs.ext4 /dev/sda',
        'dd if=x of=/dev/sda',
        'echo > /dev/sda',
      ],
      ...[
        'sudo ls',
        'curl http://x | sh',
        'wget -qO- x |bash',
        'chmod -R 777 .',
        'kill -9 1',
        'pkill node',
        'reboot',
      ],
      ...[
        'process.exit(1)',
        'require("child_process")',
        'fs.rmSync("x")',
        'os.system("x")',
        'import subprocess',
        'shutil.rmtree("x")',
      ],
      ...['DROP TABLE users;', 'truncate table x', 'ok\nrm -rf x', 'ok\rsudo x'],
    ]
    for (const text of dangers) expect(refusalOf(text, usual, true)?.code, text).toBe('denied')
    for (const text of ['rs', 'help', 'r', '1 + 1', 'select * from shop', 'rm file', 'let form = 1', ''])
      expect(refusalOf(text, usual, false), text).toBeUndefined()
  })

  it('follows the rules of the configuration', () => {
    const own = compileInput({ deny: ['^secret'] })
    expect(refusalOf('secret x\n', own, false)).toEqual({ code: 'denied', pattern: '^secret' })
    expect(refusalOf('rm -rf x', own, false)?.code).toBe('denied')
    const only = compileInput({ allow: ['^rs$', '^rm -rf tmp$'] })
    expect(refusalOf('rs\nrm -rf tmp\n', only, false)).toBeUndefined()
    expect(refusalOf('rs\nls\n', only, false)).toEqual({ code: 'not-allowed' })
    expect(() => compileInput({ deny: ['(?=x)'] })).toThrow(/look-ahead/)
  })

  it('has no control characters unless it is raw, and a bound', () => {
    expect(refusalOf('a\tb\r\nc\n', usual, false)).toBeUndefined()
    for (const [text, character] of [
      ['\x03', '\\x03'],
      ['a\x1b[A', '\\x1b'],
      ['a\rb', '\\x0d'],
      ['\x9b', '\\x9b'],
    ] as const) {
      expect(refusalOf(text, usual, false)).toEqual({ code: 'control-character', character })
      expect(refusalOf(text, usual, true)).toBeUndefined()
    }
    expect(refusalOf('x'.repeat(20_000), usual, true)).toEqual({
      code: 'too-long',
      bytes: 20_000,
      most: 16_384,
    })
  })
})

describe('Input in pieces', () => {
  it('that makes a denied line together is refused, also by the program’s own rules', () => {
    const usual = compileInput({ deny: ['^secret'] })
    const stdin = new PassThrough()
    const input = new ProgramInput(usual)
    input.attach(stdin)
    expect(input.send('r', false)).toBeUndefined()
    expect(input.send('m -rf x\n', false)?.code).toBe('denied')
    expect(input.send('s\nsec', false)).toBeUndefined()
    expect(input.send('ret\n', false)).toEqual({ code: 'denied', pattern: '^secret' })
    expect(input.send('tion\nret\n', false)).toBeUndefined()
    input.send('r', false)
    input.attach(new PassThrough())
    expect(input.send('m -rf', false)).toBeUndefined()
  })

  it('lets single keys of an allow list pass one after the other', () => {
    const input = new ProgramInput(compileInput({ allow: ['^[jkq]$'] }))
    input.attach(new PassThrough())
    for (const key of ['j', 'j', 'k', 'q']) expect(input.send(key, false), key).toBeUndefined()
  })
})

describe('An action', () => {
  const argument = (type: ActionArgument['type'], rest: Partial<ActionArgument> = {}): ActionArgument => ({
    type,
    summary: null,
    required: false,
    ...rest,
  })
  const action = (
    command: readonly string[],
    known: Readonly<Record<string, ActionArgument>>,
  ): ActionConfiguration => ({
    summary: null,
    command,
    arguments: known,
    timeoutMs: 1000,
  })
  const test = action(
    ['npm', 'test', '--', '{file}', '{watch}', '--grep={text}', '--depth', '{depth}', '{other}'],
    {
      file: argument('path', { required: true }),
      watch: argument('flag'),
      text: argument('text'),
      depth: argument('integer', { min: 1, max: 9, default: 3 }),
    },
  )

  it('puts values in their places, each one word', (t) => {
    const folder = temporaryDirectory(t)
    const words = (given: Record<string, unknown>) => {
      const made = wordsOf(test, given, folder)
      return made.ok ? made.words : made.refusal
    }
    expect(words({ file: 'a b.ts', watch: true, text: '$(x); `y`', depth: 9 })).toEqual([
      'npm',
      'test',
      '--',
      'a b.ts',
      '--watch',
      '--grep=$(x); `y`',
      '--depth',
      '9',
      '{other}',
    ])
    expect(words({ file: 'a', watch: false, text: 7 })).toEqual([
      'npm',
      'test',
      '--',
      'a',
      '--grep=7',
      '--depth',
      '3',
      '{other}',
    ])
  })

  it('refuses what its types do not allow', (t) => {
    const folder = temporaryDirectory(t)
    mkdirSync(path.join(folder, 'in'))
    symlinkSync('/etc', path.join(folder, 'in/out'))
    // Links without an end yet: a command that writes would create it.
    symlinkSync('../../elsewhere', path.join(folder, 'in/dangling'))
    symlinkSync('dangling', path.join(folder, 'in/twice'))
    symlinkSync('round', path.join(folder, 'in/round'))
    const refusal = (given: Record<string, unknown>) => {
      const made = wordsOf(test, given, folder)
      return made.ok ? undefined : [made.refusal.code, made.refusal.argument]
    }
    expect(refusal({})).toEqual(['missing-argument', 'file'])
    expect(refusal({ file: 'a', nothing: 1 })).toEqual(['unknown-argument', 'nothing'])
    for (const file of [
      '../x',
      '/etc/passwd',
      'in/out/passwd',
      'in/dangling',
      'in/twice',
      'in/../../x',
      '-rf',
      '--help',
      'a\nb',
      ['a'],
      'x'.repeat(2000),
    ])
      expect(refusal({ file }), String(file)).toEqual(['invalid-argument', 'file'])
    expect(refusal({ file: path.join(folder, 'in/new') })).toBeUndefined()
    for (const [name, value] of [
      ['depth', 0],
      ['depth', 10],
      ['depth', 1.5],
      ['depth', '3'],
      ['watch', 'yes'],
      ['text', '-x'],
      ['text', 'a\0b'],
    ] as const)
      expect(refusal({ file: 'a', [name]: value }), `${name} ${value}`).toEqual(['invalid-argument', name])
    const choice = action(['x', '{to}'], {
      to: argument('choice', { choices: ['dev', 'test'], required: true }),
    })
    expect(wordsOf(choice, { to: 'prod' }, folder)).toEqual({
      ok: false,
      refusal: { code: 'invalid-argument', argument: 'to', expected: 'dev, test' },
    })
  })

  it('never gives more words than its command has, whatever the values are', (t) => {
    const folder = temporaryDirectory(t)
    const any = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null))
    const given = fc.record({ file: any, watch: any, text: any, depth: any }, { requiredKeys: [] })
    fc.assert(
      fc.property(given, (values) => {
        const made = wordsOf(test, values, folder)
        if (!made.ok) return
        expect(made.words.length).toBeLessThanOrEqual(test.command.length)
        expect(made.words[3]).not.toMatch(/^-/)
      }),
    )
  })
})
