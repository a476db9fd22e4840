import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PatternRules } from '../../../src/config/log-patterns.ts'
import { Classifier } from '../../../src/program/output/classifier.ts'
import { maxLineBytes } from '../../../src/program/output/line.ts'
import { compilePatterns, type LogPatterns } from '../../../src/program/output/patterns.ts'
import { Scanner } from '../../../src/program/output/scan.ts'
import { Splitter } from '../../../src/program/output/splitter.ts'

const scanner = new Scanner()

/** Lines and what is known of each: line by line, or scanned. */
function told(chunks: readonly Buffer[], patterns: LogPatterns, isScanned: boolean) {
  const splitter = new Splitter(isScanned ? { scanner, tables: patterns.tables } : undefined)
  const classifier = new Classifier(patterns)
  const lines: [string, number][] = []
  let scans = 0
  let cutBytes = 0
  const take = (some: ReturnType<Splitter['push']>) => {
    if (some === undefined) return
    const { bytes, count, ends, cut, scan } = some
    cutBytes += some.cutBytes
    if (scan !== undefined) scans++
    // As in the output of a program: what stood there before is of other lines.
    const marks = new Uint8Array(count + 3).fill(isScanned ? 0x55 : 0)
    if (cut !== undefined) marks.set(cut.map((one) => one << 7))
    else marks.fill(0, 0, count)
    classifier.classify(bytes, ends, count, marks, scan)
    for (let index = 0; index < count; index++) {
      const start = index === 0 ? 0 : (ends[index - 1] as number) + 1
      lines.push([bytes.toString('latin1', start, ends[index]), marks[index] as number])
    }
  }
  for (const chunk of chunks) take(splitter.push(Buffer.from(chunk)))
  take(splitter.end())
  return { lines, cutBytes, scans }
}

function chunked(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index] ?? bytes.length))
}

const own: Readonly<Record<string, PatternRules | undefined>> = {
  'the usual': undefined,
  'a word of three bytes': { short: [{ regex: 'abc', priority: 1 }] },
  'expressions, too': {
    ready: [{ regex: 'ready on port \\d+', priority: 0 }],
    any: [{ regex: '^\\d', priority: 3 }],
  },
}

/** What lines are made of, so that every rule is met often. */
const piece = fc.oneof(
  fc.constantFrom(
    '\n',
    '\n',
    '\n',
    ' ',
    '\t',
    '}',
    ']',
    'T',
    'C',
    'Caused by: x',
    'Traceback (most recent call last):',
  ),
  fc.constantFrom(
    'ERROR',
    'WARN',
    'WARNING',
    'INFO',
    'DEBUG',
    'Error: ',
    'ready in ',
    'ERR_',
    'abc',
    'ready on port 5',
  ),
  fc.constantFrom(
    'ERRO',
    'WAR',
    'rror: ',
    'Excepti',
    'é',
    'x'.repeat(15),
    'y'.repeat(16),
    'a plain line of text',
  ),
)
/** Seldom: what makes a chunk one that is looked at line by line. */
const odd = fc.constantFrom('\r', '\r\n', '\u001b[31m', 'z'.repeat(maxLineBytes + 10))

/** What programs colour with, and seldom other sequences, parts of one, and controls that begin one, too. */
const colour = fc.constantFrom(
  '\u001b[31m',
  '\u001b[0m',
  '\u001b[m',
  '\u001b[1;38;5;200m',
  '\u001b[2K',
  '\u001b[?25h',
  '\u001b[>0;1:2c',
)
const sequence = fc.constantFrom(
  '\u001b]0;title\u0007',
  '\u001b7',
  '\u001b[1 q',
  '\u001b',
  '\u001b[',
  '\u001b[3',
  '\u001b[é',
  '\u009b1m',
  '\u0085',
)

describe('A scan of whole chunks', () => {
  for (const [which, rules] of Object.entries(own)) {
    const patterns = compilePatterns(rules)
    it(`tells the same lines and classes as a look at each: ${which}`, () => {
      let scans = 0
      fc.assert(
        fc.property(
          fc.array(fc.oneof({ weight: 200, arbitrary: piece }, { weight: 1, arbitrary: odd }), {
            minLength: 50,
            maxLength: 600,
          }),
          fc.array(fc.nat(), { maxLength: 4 }),
          (pieces, places) => {
            const chunks = chunked(Buffer.from(pieces.join('')), places)
            const { scans: done, ...fast } = told(chunks, patterns, true)
            const { scans: none, ...slow } = told(chunks, patterns, false)
            expect(none).toBe(0)
            expect(fast).toEqual(slow)
            scans += done
          },
        ),
        { numRuns: 300 },
      )
      // It was the scan that was tested: chance decides how often, most often in a third of the runs.
      expect(scans).toBeGreaterThan(30)
    })

    it(`... with colours, which may stand within a word: ${which}`, () => {
      let scans = 0
      const coloured = fc.oneof(
        { weight: 200, arbitrary: piece },
        { weight: 80, arbitrary: colour },
        { weight: 1, arbitrary: sequence },
      )
      fc.assert(
        fc.property(
          fc.array(coloured, { minLength: 50, maxLength: 600 }),
          fc.array(fc.nat(), { maxLength: 4 }),
          (pieces, places) => {
            const chunks = chunked(Buffer.from(pieces.join('')), places)
            const { scans: done, ...fast } = told(chunks, patterns, true)
            const { scans: _, ...slow } = told(chunks, patterns, false)
            expect(fast).toEqual(slow)
            scans += done
          },
        ),
        { numRuns: 300 },
      )
      // It was the scan that was tested: chance decides how often, most often in a third of the runs.
      expect(scans).toBeGreaterThan(30)
    })

    it(`... of random bytes: ${which}`, () => {
      fc.assert(
        fc.property(
          fc.uint8Array({ minLength: 300, maxLength: 3000 }),
          fc.array(fc.nat(), { maxLength: 3 }),
          (bytes, places) => {
            // Without the two bytes that forbid a scan, and with more line ends.
            const some = Buffer.from(
              bytes.map((byte) => (byte === 0x0d || byte === 0x1b ? 0x0a : byte % 19 === 0 ? 0x0a : byte)),
            )
            const chunks = chunked(some, places)
            const { scans: _, ...fast } = told(chunks, patterns, true)
            const { scans: __, ...slow } = told(chunks, patterns, false)
            expect(fast).toEqual(slow)
          },
        ),
        { numRuns: 300 },
      )
    })
  }

  it('of nothing but line ends, as many as there is room for', () => {
    const patterns = compilePatterns()
    const chunks = [Buffer.alloc(8000, 'x'), Buffer.alloc(65_536, '\n'), Buffer.alloc(65_536, ' \n')]
    expect(told(chunks, patterns, true)).toEqual({ ...told(chunks, patterns, false), scans: 2 })
  })

  it('of a chunk that was read to where it is scanned', () => {
    const splitter = new Splitter({ scanner, tables: compilePatterns().tables })
    const chunk = scanner.room.subarray(0, 1000)
    const text = ['a'.repeat(400), 'b'.repeat(500), 'c'.repeat(98)].join('\n')
    chunk.write(text)
    const lines = splitter.push(chunk)
    expect(lines?.scan?.count).toBe(2)
    expect(lines?.bytes.toString()).toBe(text.slice(0, 902))
    chunk.fill('d')
    chunk[999] = 0x0a
    expect(splitter.push(chunk)?.bytes.toString()).toBe(`${'c'.repeat(98)}${'d'.repeat(999)}\n`)
  })
})
