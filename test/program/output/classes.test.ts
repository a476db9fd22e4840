import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { literalAlternatives } from '../../../src/config/literal-regex.ts'
import type { PatternRules } from '../../../src/config/log-patterns.ts'
import { words } from '../../../src/config/templates/words.ts'
import { Classifier, lineFlags } from '../../../src/program/output/classifier.ts'
import { ClassCounts } from '../../../src/program/output/counts.ts'
import { messagesOf } from '../../../src/program/output/last-words.ts'
import { requiredLiterals } from '../../../src/program/output/literals.ts'
import { compilePatterns } from '../../../src/program/output/patterns.ts'
import { scanner } from '../../../src/program/output/scan.ts'
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

/** How many errors a text tells of, given in pieces of so many lines. */
function errorsIn(text: string, linesAtOnce: number, isScanned = false): number {
  const patterns = compilePatterns()
  const classifier = new Classifier(patterns)
  const counts = new ClassCounts()
  const used = isScanned ? scanner() : undefined
  const splitter = new Splitter(used && { scanner: used, tables: patterns.tables })
  const lines = `${text}\n`.split(/(?<=\n)/)
  for (let at = 0; at < lines.length; at += linesAtOnce) {
    const piece = splitter.push(Buffer.from(lines.slice(at, at + linesAtOnce).join('')))
    if (piece === undefined) continue
    const marks = new Uint8Array(piece.count)
    classifier.classify(piece.bytes, piece.ends, piece.count, marks, piece.scan)
    counts.add(marks, piece.count, 1000, () => ({
      seq: 1,
      at: 1000,
      stream: 'stderr',
      class: null,
      text: '',
    }))
  }
  return counts.told(patterns.classes.indexOf('error') + 1, 60_000, 1000).recent
}

describe('An error is counted once, however many lines it takes', () => {
  const trace = (error: string) => `Traceback (most recent call last):
  File "app.py", line 1, in <module>
    main()
  File "app.py", line 2, in main
    ~~~~~~
${error}`

  it.each([
    ['a line', 'ERROR one\nERROR two', 2],
    ['Node', 'Error: x\n    at f (a.js:1:2)\n    at g (b.js:1:2) {\n  code: 1\n}\nError: y', 2],
    ['Python', `${trace('ValueError: bad')}\n${trace('KeyError: 1')}`, 2],
    ['a logged traceback', `ERROR:root:boom\n${trace('ValueError: bad')}`, 1],
    ['uvicorn', `ERROR:    Exception in ASGI application\n${trace('ValueError: bad')}\nINFO: ok`, 1],
    ['a traceback after information', `INFO: request\n${trace('ValueError: bad')}`, 1],
    [
      'one that comes of another',
      `${trace("KeyError: 'a'")}

During handling of the above exception, another exception occurred:

${trace('ValueError: bad')}

The above exception was the direct cause of the following exception:

${trace('RuntimeError: worse')}
next`,
      1,
    ],
    ['two that have nothing to do with each other', `${trace('A: 1')}\n\nGET /\n\n${trace('B: 2')}`, 2],
    [
      'Java',
      'java.lang.Exception: x\n\tat A.f(A.java:1)\nCaused by: java.io.IOException: y\n\t... 3 more',
      1,
    ],
  ])('%s', (_, text, expected) => {
    const found = [1, 2, 1000].map((linesAtOnce) => errorsIn(text, linesAtOnce))
    // As many lines as are worth a scan, all of them of the same kind.
    const often = errorsIn(Array(10).fill(`${text}\n\nnext`).join('\n'), 1000, true) / 10
    expect([...found, often]).toEqual([expected, expected, expected, expected])
  })
})

describe('What a program says is wrong', () => {
  const messages = (...texts: string[]) =>
    messagesOf(
      texts.map((text) => ({
        stream: 'stderr' as const,
        text: text.replace(/^\+/, ''),
        ...(text.startsWith('+') ? { continues: true as const } : {}),
      })),
    ).map(({ text }) => text)
  const trace = ['+  File "app.py", line 1, in <module>', '+    main()']

  it('is the last line of a traceback, and the first of any other trace', () => {
    expect(messages('Traceback (most recent call last):', ...trace, "+KeyError: 'a'", 'next')).toEqual([
      "KeyError: 'a'",
      'next',
    ])
    expect(messages(...trace, '+ValueError: bad'), 'one whose beginning is not known').toEqual([
      'ValueError: bad',
    ])
    expect(messages('Traceback (most recent call last):', ...trace), 'one that is cut').toEqual([
      'Traceback (most recent call last):',
    ])
    expect(messages('Error: x', '+Require stack:', '+- /a.js', '+    at f', '+}')).toEqual(['Error: x'])
  })
})

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

  it.each([
    ['vite', '10:01:02 AM [vite] (client) hmr update /src/App.tsx', 'info'],
    ['vite', 'error when starting dev server:', 'error'],
    ['vite', '(!) Some chunks are larger than 500 kB after minification.', 'warning'],
    ['vite', '✨ new dependencies optimized: react', 'info'],
    ['nextjs', ' ⨯ ./app/page.tsx:3:1', 'error'],
    ['nextjs', ' ⚠ Port 3000 is in use, trying 3001 instead.', 'warning'],
    ['nextjs', ' ✓ Compiled /about in 1204ms', 'info'],
    ['nextjs', ' GET /broken 500 in 35ms', 'warning'],
    ['express', '[nodemon] app crashed - waiting for file changes before starting...', 'error'],
    ['express', 'Server running at http://localhost:3000', 'info'],
    ['fastapi', "WARNING:  StatReload detected changes in 'main.py'. Reloading...", 'info'],
    ['fastapi', 'INFO:     127.0.0.1:1234 - "GET / HTTP/1.1" 500 Internal Server Error', 'warning'],
    ['fastapi', 'INFO:     127.0.0.1:1234 - "GET / HTTP/1.1" 200 OK', 'info'],
    ['flask', 'Port 5000 is in use by another program. Either identify and stop that program, or', 'error'],
    [
      'flask',
      'WARNING: This is a development server. Do not use it in a production deployment. Use a production WSGI server instead.',
      'info',
    ],
    ['flask', '127.0.0.1 - - [27/Nov/2026 10:00:00] "GET / HTTP/1.1" 500 -', 'warning'],
    ['django', 'You have 18 unapplied migration(s). Your project may not work properly', 'warning'],
    ['django', 'Error: That port is already in use.', 'error'],
    ['django', 'Internal Server Error: /cart/', 'error'],
    ['django', 'Not Found: /favicon.ico', 'warning'],
    ['rails', 'ActionController::RoutingError (No route matches [GET] "/x"):', 'error'],
    ['rails', 'Completed 500 Internal Server Error in 5ms (ActiveRecord: 0.0ms)', 'warning'],
    ['rails', '=> Booting Puma', 'info'],
    ['static', '127.0.0.1 - - [27/Nov/2026 10:00:00] code 404, message File not found', 'warning'],
  ] as const)('of the template %s: %s', (template, line, expected) => {
    expect(classesOf(line, words[template].patterns)).toEqual([expected])
  })

  it('of the templates are plain words, of which every one stands for itself', () => {
    for (const [name, { patterns }] of Object.entries(words))
      for (const { regex } of Object.values(patterns).flat())
        expect(literalAlternatives(regex), name).toEqual(expect.arrayContaining([expect.any(String)]))
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
