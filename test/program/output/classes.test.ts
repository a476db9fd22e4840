import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PatternRules } from '../../../src/config/log-patterns.ts'
import { Classifier, lineFlags } from '../../../src/program/output/classifier.ts'
import { literalAlternatives, requiredLiterals } from '../../../src/program/output/literals.ts'
import { compilePatterns } from '../../../src/program/output/patterns.ts'
import { Splitter } from '../../../src/program/output/splitter.ts'

/** The class of each line; a line that goes on the one before has a + before it. */
function classesOf(text: string, own?: PatternRules): (string | null)[] {
  const patterns = compilePatterns(own)
  const lines = new Splitter().push(Buffer.from(`${text}\n`))
  if (lines === undefined) throw new Error('no line')
  const marks = new Uint8Array(lines.count)
  new Classifier(patterns).classify(lines.bytes, lines.ends, lines.count, marks)
  return [...marks].map((mark) => {
    const name = patterns.classes[(mark & lineFlags.class) - 1] ?? null
    return (mark & lineFlags.continues) === 0 ? name : `+${name}`
  })
}

describe('Classes of lines', () => {
  it('are the four of old, by exactly their words', () => {
    const lines = [
      'ERROR one',
      'java.lang.Exception',
      'Traceback of it',
      'WARNING',
      'a WARN b',
      'INFO',
      'Starting up',
      'Stopping',
      'DEBUG x',
      'an error of small letters',
      'nothing',
    ]
    expect(classesOf(lines.join('\n'))).toEqual([
      'error',
      'error',
      'error',
      'warning',
      'warning',
      'info',
      'info',
      'info',
      'debug',
      null,
      null,
    ])
  })

  it('the lowest priority number wins, wherever the words stand', () => {
    expect(classesOf('INFO Starting DEBUG\nDEBUG then WARN\nINFO then ERROR\nERROR then INFO')).toEqual([
      'info',
      'warning',
      'error',
      'error',
    ])
  })

  it("a person's own stand beside the usual ones, and win at the same priority", () => {
    const own: PatternRules = {
      ready: [{ regex: 'Local: +http', priority: 0 }],
      error: [{ regex: '^oops', priority: 1 }],
      noise: [{ regex: 'ERROR in tests', priority: 1 }],
      ü: [{ regex: 'größer|日本', priority: 2 }],
    }
    const text =
      '  ➜  Local:   http://localhost:5173\noops\nno oops\nERROR in tests\nERROR\nviel größer\n日本語'
    expect(classesOf(text, own)).toEqual(['ready', 'error', null, 'noise', 'error', 'ü', 'ü'])
  })

  it.each([
    ['Vite', 'VITE v5.0.0  ready in 300 ms', 'info'],
    ['Vite', '[plugin:vite:import-analysis] Failed to resolve import "x"', 'error'],
    ['webpack', 'Failed to compile.', 'error'],
    ['tsc', 'src/a.ts(1,2): error TS2304: Cannot find name', 'error'],
    ['Node', 'Error: listen EADDRINUSE: address already in use :::3000', 'error'],
    ['Node', "TypeError: Cannot read properties of undefined (reading 'x')", 'error'],
    ['Node', '(node:1) [DEP0040] DeprecationWarning: The `punycode` module is deprecated', 'warning'],
    ['uvicorn', 'INFO:     Application startup complete.', 'info'],
    ['Flask', ' * Running on http://127.0.0.1:5000', 'info'],
    ['pino', '{"level":50,"time":1,"msg":"boom"}', 'error'],
    ['pino', '{"level":30,"time":1,"msg":"up"}', 'info'],
    ['logrus', 'time="x" level=warning msg="y"', 'warning'],
    ['Go', 'panic: runtime error: index out of range', 'error'],
    ['coloured', '\u001b[31mER\u001b[1mROR\u001b[0m in the middle of a word', 'error'],
  ])('%s: %s', (_, line, expected) => {
    expect(classesOf(line)).toEqual([expected])
  })

  it('are those of each line where a sequence goes on over its end', () => {
    expect(classesOf('ERROR \u001b]0;title\nWARN \u0007 next\n\u001b[31mER\u001b[1mROR\nx')).toEqual([
      'error',
      'warning',
      'error',
      null,
    ])
  })

  it('keeps stack traces together', () => {
    const python = `Traceback (most recent call last):
  File "app.py", line 1, in <module>
    main()
ValueError: bad
next`
    expect(classesOf(python)).toEqual(['error', '+error', '+error', '+error', null])
    const node = `TypeError: x
    at f (a.js:1:2)
    at g (b.js:1:2) {
  code: 'E'
}
next`
    expect(classesOf(node)).toEqual(['error', '+error', '+error', '+error', '+error', null])
    const missing = `Error: Cannot find module './db'
Require stack:
- /app/api.js
- /app/server.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15) {
  code: 'MODULE_NOT_FOUND'
}
- a list of the program`
    expect(classesOf(missing)).toEqual(['error', ...Array(6).fill('+error'), null])
    expect(classesOf('Require stack:\n- /app/api.js'), 'after nothing it is a line').toEqual([null, null])
    const java = `java.lang.IllegalStateException: x
\tat com.example.A.f(A.java:1)
Caused by: java.io.IOException: y
\t... 3 more
INFO next`
    expect(classesOf(java)).toEqual(['error', '+error', '+error', '+error', 'info'])
  })

  it('keeps JSON over several lines together, and a worse line within has its own class', () => {
    expect(classesOf('INFO answer: {\n  "a": 1,\n  "b": "ERROR"\n}\nGET /')).toEqual([
      'info',
      '+info',
      '+error',
      '+error',
      null,
    ])
  })

  it('are those of matching every line with every expression', () => {
    const words = [
      'ERROR',
      'WARN',
      'INFO',
      'DEBUG',
      'port 80',
      'port 443',
      'retry',
      'ret',
      'x',
      ' ',
      '\u001b[1m',
    ]
    const own: PatternRules = {
      port: [{ regex: 'port \\d\\d\\d', priority: 1 }],
      again: [{ regex: 'ret(ry|ries)$', priority: 2 }],
      both: [{ regex: 'WARN.*INFO', priority: 0 }],
      any: [{ regex: '^(x| )+$', priority: 9 }],
    }
    const { classes, ranked } = compilePatterns(own)
    const rules = [
      ...Object.entries(own),
      ['error', [{ regex: 'ERROR|Exception|Traceback', priority: 1 }]] as const,
      ['warning', [{ regex: 'WARNING|WARN', priority: 2 }]] as const,
      ['info', [{ regex: 'INFO|Starting|Stopping', priority: 3 }]] as const,
      ['debug', [{ regex: 'DEBUG', priority: 4 }]] as const,
    ].flatMap(([name, ofClass]) => ofClass.map((rule) => ({ name, ...rule })))
    expect(classes.length).toBeLessThan(ranked.length)
    const line = fc.array(fc.constantFrom(...words), { minLength: 1 }).map((some) => `-${some.join('')}`)
    fc.assert(
      fc.property(fc.array(line, { minLength: 1 }), (lines) => {
        const expected = lines.map((text) => {
          const plain = text.replaceAll('\u001b[1m', '')
          const matching = rules.filter(({ regex }) => new RegExp(regex).test(plain))
          return matching.sort((a, b) => a.priority - b.priority)[0]?.name ?? null
        })
        // Of equal priorities a person's own wins: the sort is stable, and theirs stand first.
        expect(classesOf(lines.join('\n'), own)).toEqual(expected)
      }),
      { numRuns: 300 },
    )
  })
})

describe('Expressions', () => {
  it('that are nothing but words are known as that', () => {
    expect(literalAlternatives('ERROR|Exception')).toEqual(['ERROR', 'Exception'])
    expect(literalAlternatives('\\[warn\\]: a/b')).toEqual(['[warn]: a/b'])
    for (const more of ['a|', 'a.b', '^a', '\\d', 'a+', '(a)', '[a]', 'a{2}'])
      expect(literalAlternatives(more), more).toBeUndefined()
  })

  it('have no text that a line which matches lacks', () => {
    const regex = fc.constantFrom(
      'port \\d+ is (taken|used)',
      'abcd?ef',
      'abc{0,1}defg',
      'one(two)?three|fourfive',
      'lon+ger',
      '[abc]def\\.ghi',
      '(?:abc)*defghi$',
      '[]x]abc|^defg',
      '[[:alpha:]]bcd',
      '(?i)error',
      'a|b',
      '\\x41bcdef',
    )
    fc.assert(
      fc.property(
        regex,
        fc.string({ unit: fc.constantFrom(...'abcdefghionetwthruvpslk. 80') }),
        (one, text) => {
          const source = one.replace('(?i)', '').replaceAll('[[:alpha:]]', '[a-z]').replace('[]x]', '[\\]x]')
          if (!new RegExp(source).test(text)) return
          const required = requiredLiterals(one)
          if (required !== undefined) expect(required.some((literal) => text.includes(literal))).toBe(true)
        },
      ),
    )
    expect(requiredLiterals('port \\d+ is (taken|used)')).toEqual(['port '])
    expect(requiredLiterals('abc{0,1}defg')).toEqual(['defg'])
    expect(requiredLiterals('one(two)?three|fourfive')).toEqual(['three', 'fourfive'])
    for (const none of ['(?i)error', 'a|bcde', '[[:alpha:]]bcd', '\\x41bcdef', '.*'])
      expect(requiredLiterals(none), none).toBeUndefined()
  })

  it.each([
    ['(?=x)', 'look-ahead'],
    ['(?<!x)y', 'look-behind'],
    ['(a)\\1', 'back-references'],
    ['(', 'missing'],
    ['x{1001}', 'invalid repeat'],
  ])('that RE2 has not are refused: %s', (regex, reason) => {
    expect(() => compilePatterns({ own: [{ regex, priority: 1 }] })).toThrow(reason)
  })

  it('of more than 1000 characters are refused', () => {
    const regex = 'a'.repeat(1001)
    expect(() => compilePatterns({ own: [{ regex, priority: 1 }] })).toThrow('longer than 1000')
  })

  it('take no time that grows faster than the text', () => {
    const text = `${'a'.repeat(8000)}!`
    const began = process.cpuUsage()
    classesOf(text, { own: [{ regex: '^(a|a)*$', priority: 1 }] })
    expect(process.cpuUsage(began).user / 1000).toBeLessThan(1000)
  })
})
