// Command lines and ini files, as shells and Python read them.
import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readIni } from '../../../src/program/import/ini.ts'
import { splitWords, withoutShell } from '../../../src/program/import/shell-words.ts'
import { shellWord } from '../../../src/report/own-programs.ts'

describe('A command line', () => {
  it('is split as a POSIX shell splits it', () => {
    const cases: Readonly<Record<string, readonly string[]>> = {
      'npm run dev': ['npm', 'run', 'dev'],
      '  a  b\t c ': ['a', 'b', 'c'],
      'a "b c" d\\ e \'f"g\' ""': ['a', 'b c', 'd e', 'f"g', ''],
      'a "b \\" \\\\ \\n"': ['a', 'b " \\ \\n'],
      'a b\\\n c': ['a', 'b', 'c'],
      'exec puma -C "x"': ['puma', '-C', 'x'],
      "a '$HOME' \\$x": ['a', '$HOME', '$x'],
    }
    for (const [text, words] of Object.entries(cases)) expect(withoutShell(text)?.words, text).toEqual(words)
  })

  it('keeps its assignments as variables', () => {
    expect(withoutShell('PORT=3000 NAME="my app" node server.js A=b')).toEqual({
      words: ['node', 'server.js', 'A=b'],
      env: { PORT: '3000', NAME: 'my app' },
    })
    expect(withoutShell('"A=b" c')?.words).toEqual(['A=b', 'c'])
  })

  it('needs a shell for what only a shell does', () => {
    const texts = [
      ...[
        'a | b',
        'a && b',
        'a; b',
        'a > log',
        'a $X',
        'a "$X"',
        'a `b`',
        'a *.js',
        'a ~/b',
        '(a)',
        'a {1,2}',
        'a # b',
        'a &',
      ],
      ...[
        'cd web',
        'source env',
        'export A=b',
        'if a',
        'A=b',
        'a\nb',
        'a "b',
        "a 'b",
        'a \\',
        'exec -a b c',
        '',
      ],
    ]
    for (const text of texts) expect(withoutShell(text), text).toBeUndefined()
  })

  it('of words that were quoted gives the words', () => {
    const word = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => !text.includes('\0'))
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), (words) => {
        expect(splitWords(words.map(shellWord).join(' '))).toEqual(words)
        expect(withoutShell(['run', ...words].map(shellWord).join(' '))?.words).toEqual(['run', ...words])
      }),
    )
  })

  it('that needs no shell gives a shell the same words', () => {
    const piece = fc.constantFrom('a', 'b', ' ', '"', "'", '\\', '$', '=', 'x=', '-', '/', '\\"', '\t')
    const lines = fc.sample(
      fc.array(piece, { minLength: 1, maxLength: 12 }).map((pieces) => pieces.join('')),
      300,
    )
    const plain = lines.flatMap((line) => {
      const read = withoutShell(`run ${line}`)
      return read === undefined ? [] : [{ line, words: read.words.slice(1) }]
    })
    expect(plain.length).toBeGreaterThan(20)
    const shell = 'run() { for word; do printf "%s\\0" "$word"; done; printf "\\n"; }\n'
    const { stdout } = spawnSync('sh', ['-c', shell + plain.map(({ line }) => `run ${line}`).join('\n')], {
      encoding: 'utf8',
    })
    const answers = stdout.split('\n').map((answer) => answer.split('\0').slice(0, -1))
    expect(answers.slice(0, -1)).toEqual(plain.map(({ words }) => words))
  })
})

describe('An ini file', () => {
  const rules = { inlineComments: ';#', caseSensitive: false, twice: 'last' } as const
  const options = (text: string, own: Partial<Parameters<typeof readIni>[1]> = {}) =>
    Object.fromEntries(
      readIni(text, { ...rules, ...own }).sections.map(({ name, options: all }) => [
        name,
        Object.fromEntries(all.map(({ key, value }) => [key, value])),
      ]),
    )

  it('has values over several lines, comments, and both separators', () => {
    const text =
      '\ufeff# c\n[a]\nKey = one ; c\nurl: http://x;y#z\nlong = 1\n  2\n\n  ; c\n  3\nempty =\n[b]\r\nx=1\r\n'
    expect(options(text)).toEqual({
      a: { key: 'one', url: 'http://x;y#z', long: '1\n2\n3', empty: '' },
      b: { x: '1' },
    })
  })

  it('keeps the case of keys, and the first or the last of two, as its reader does', () => {
    const text = '[a]\nX = 1\nx = 2\nX = 3 # c\n[a]\ny = 4\n'
    expect(options(text)).toEqual({ a: { x: '3', y: '4' } })
    expect(options(text, { caseSensitive: true, twice: 'first', inlineComments: ';' })).toEqual({
      a: { X: '1', x: '2', y: '4' },
    })
  })

  it('names the lines that are nothing', () => {
    expect(readIni('before = 1\n[a]\nno separator\n', rules).unread).toEqual([
      { line: 1, text: 'before = 1' },
      { line: 3, text: 'no separator' },
    ])
  })

  it('may hold anything', () => {
    const line = fc.constantFrom(
      '[a]',
      '[',
      ']',
      'x',
      '=',
      'x = 1',
      '  y',
      ';',
      ' ; c',
      ':',
      '',
      '[b] ; c',
      '\ufeff',
    )
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        expect(readIni(lines.join('\n'), rules).sections.length).toBeLessThanOrEqual(2)
      }),
    )
  })
})
