import {
  appendFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { expect, type TestContext, test } from 'vitest'
import {
  compilePatterns,
  type LogQuery,
  type OutputLine,
  ProgramOutput,
} from '../../../src/program/output/index.ts'
import { keptPrograms, keptSegments } from '../../../src/program/output/kept-lines.ts'
import { atOnce, readSteps } from '../../../src/program/output/reading.ts'
import { temporaryDirectory } from '../../support/children.ts'

const patterns = compilePatterns()

function output(directory: string, maxBytes = 1 << 20, maxLines = 100_000): ProgramOutput {
  return new ProgramOutput({ directory, name: 'web', maxBytes, maxLines, patterns })
}

/** Lets a program print these chunks to stdout, to the end. */
async function print(to: ProgramOutput, ...chunks: (string | Buffer)[]): Promise<void> {
  const stdout = new PassThrough()
  const followed = to.follow(stdout, null)
  for (const chunk of chunks) stdout.write(chunk)
  stdout.end()
  await followed
}

const texts = (lines: readonly OutputLine[]) => lines.map(({ text }) => text)
const seqs = (lines: readonly OutputLine[]) => lines.map(({ seq }) => seq)
const some = (count: number, word = 'line') =>
  Array.from({ length: count }, (_, index) => `${word} ${index}\n`).join('')

function scene(t: TestContext) {
  const directory = temporaryDirectory(t)
  const log = path.join(directory, 'program_web.log')
  const index = path.join(directory, 'program_web.index')
  return { directory, log, index }
}

test('the log has what was printed as it was printed, and the notes with their time', async (t) => {
  const { directory, log } = scene(t)
  const kept = output(directory)
  kept.note('started')
  await print(kept, '\u001b[31mred\u001b[0m\nplain\nlast word')
  const [note, ...lines] = readFileSync(log, 'utf8').split('\n')
  expect(note).toMatch(/^\[port-watchdog \d{4}-\d\d-\d\d [\d:.+-]+\] started$/)
  expect(lines).toEqual(['\u001b[31mred\u001b[0m', 'plain', 'last word', ''])
  expect(kept.last(10)).toMatchObject([
    { seq: 1, stream: 'watchdog', text: 'started', class: null },
    { seq: 2, stream: 'stdout', text: '\u001b[31mred\u001b[0m' },
    { seq: 3, text: 'plain' },
    { seq: 4, text: 'last word' },
  ])
})

test('numbers go on when the monitor is started again', async (t) => {
  const { directory } = scene(t)
  const before = output(directory)
  await print(before, some(3))
  before.close()
  const after = output(directory)
  await print(after, some(2, 'more'))
  expect(after.last(10)).toMatchObject([
    { seq: 1 },
    { seq: 2 },
    { seq: 3 },
    { seq: 4, text: 'more 0' },
    { seq: 5 },
  ])
})

test('bounds in bytes and in lines hold, the newest stay, and what was dropped is counted', async (t) => {
  const { directory } = scene(t)
  for (const [maxBytes, maxLines] of [
    [40_000, 100_000],
    [1 << 20, 800],
  ] as const) {
    const kept = output(directory, maxBytes, maxLines)
    for (let round = 0; round < 60; round++) await print(kept, some(50, `round ${round}`))
    const sizes = readdirSync(directory).map((name) => statSync(path.join(directory, name)).size)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(maxBytes)
    const { lines, cursor } = kept.read({ tail: 0 })
    expect(lines.length).toBeLessThanOrEqual(maxLines)
    expect(lines.length).toBeGreaterThan(300)
    expect(lines.at(-1)?.text).toBe('round 59 49')
    expect(seqs(lines)).toEqual(Array.from(lines, (_, place) => cursor - lines.length + place))
    expect(kept.counts().rotated).toBeGreaterThan(0)
    const page = kept.read({ cursor: 1, maxBytes: 100 })
    expect(page.dropped).toBe((lines[0]?.seq ?? 0) - 1)
    kept.close()
  }
})

test('killed between the text and its index: no line is lost, and none is told twice', async (t) => {
  const { directory, log, index } = scene(t)
  const before = output(directory)
  await print(before, some(3))
  const indexed = statSync(index).size
  await print(before, 'written\nas the ', 'kill came\n')
  before.close()
  // A record that is cut, and text that has none.
  truncateSync(index, indexed + 11)
  appendFileSync(log, 'half a li')
  const after = output(directory)
  await print(after, 'after\n')
  expect(texts(after.last(20))).toEqual([
    'line 0',
    'line 1',
    'line 2',
    'written',
    'as the kill came',
    'half a li',
    'after',
  ])
  expect(seqs(after.last(20))).toEqual([1, 2, 3, 4, 5, 6, 7])
})

test('killed within a rotation: both halves of it are found', async (t) => {
  const { directory, log } = scene(t)
  const before = output(directory)
  await print(before, some(3))
  before.close()
  renameSync(log, `${log}.1`)
  const after = output(directory)
  await print(after, 'after\n')
  expect(seqs(after.last(20))).toEqual([1, 2, 3, 4])
})

test('a log that was emptied or removed by hand is begun anew, and the numbers go on', async (t) => {
  const { directory, log } = scene(t)
  for (const spoil of [() => truncateSync(log, 0), () => rmSync(log)]) {
    const before = output(directory)
    await print(before, some(3))
    before.close()
    spoil()
    const after = output(directory)
    await print(after, 'after\n')
    expect(texts(after.last(20))).toEqual(['after'])
    expect(after.read({ cursor: 1 }).lines[0]?.seq).toBe(after.last(1)[0]?.seq)
    after.close()
  }
})

test('reads by cursor, tail, class, stream and time, and says what there is no room for', async (t) => {
  const { directory } = scene(t)
  const kept = output(directory)
  await print(kept, some(5, 'INFO'))
  const between = Date.now() + 1
  while (Date.now() <= between);
  kept.note('exited with 1')
  await print(kept, some(5, 'ERROR'))
  expect(texts(kept.read({ tail: 2 }).lines)).toEqual(['ERROR 3', 'ERROR 4'])
  expect(seqs(kept.read({ cursor: 9 }).lines)).toEqual([9, 10, 11])
  expect(seqs(kept.read({ cursor: 3, tail: 2 }).lines)).toEqual([10, 11])
  expect(kept.read({ cursor: 12 })).toEqual({ lines: [], cursor: 12, dropped: 0, truncated: false })
  expect(seqs(kept.read({ class: ['info'] }).lines)).toEqual([1, 2, 3, 4, 5])
  expect(kept.read({ class: ['none'] }).lines).toEqual([])
  expect(seqs(kept.read({ stream: 'watchdog' }).lines)).toEqual([6])
  expect(seqs(kept.read({ since: between, stream: 'stdout' }).lines)).toEqual([7, 8, 9, 10, 11])
  expect(seqs(kept.read({ until: between }).lines)).toEqual([1, 2, 3, 4, 5])
  const page = kept.read({ cursor: 1, maxBytes: 13 })
  expect(page).toMatchObject({ cursor: 3, truncated: true })
  expect(seqs(kept.read({ cursor: page.cursor, maxBytes: 13 }).lines)).toEqual([3, 4])
  expect(kept.read({ maxBytes: 15 })).toMatchObject({
    lines: [{ seq: 10 }, { seq: 11 }],
    cursor: 12,
    truncated: true,
  })
})

test('reads by text and expression, with the lines around, whatever colours them', async (t) => {
  const { directory } = scene(t)
  const kept = output(directory)
  await print(kept, `${some(50)}needle \u001b[1min\u001b[0m hay\n${some(50)}port 8080 taken\n${some(50)}`)
  expect(seqs(kept.read({ contains: 'needle in' }).lines)).toEqual([51])
  expect(seqs(kept.read({ regex: '^port \\d+ taken$' }).lines)).toEqual([102])
  expect(seqs(kept.read({ regex: 'needle|port', before: 1, after: 2 }).lines)).toEqual([
    50, 51, 52, 53, 101, 102, 103, 104,
  ])
  expect(seqs(kept.read({ cursor: 60, regex: 'needle|port' }).lines)).toEqual([102])
  expect(kept.read({ contains: 'nowhere' }).lines).toEqual([])
  expect(() => kept.read({ regex: '(?=x)' })).toThrow('look-ahead')
})

test('lines of one process and of the next, read while others come, are told once each', async (t) => {
  const { directory } = scene(t)
  const kept = output(directory, 30_000)
  let cursor = 1
  const seen: number[] = []
  let dropped = 0
  for (let round = 0; round < 40; round++) {
    await print(kept, some(round * 7))
    const page = await kept.readInTurns({ cursor, maxBytes: 600 })
    seen.push(...seqs(page.lines))
    dropped += page.dropped
    cursor = page.cursor
  }
  expect(new Set(seen).size).toBe(seen.length)
  expect(seen.length + dropped).toBe(cursor - 1)
  expect(dropped).toBeGreaterThan(0)
})

test('another process reads the same from the files', async (t) => {
  const { directory } = scene(t)
  const kept = output(directory, 30_000)
  for (let round = 0; round < 15; round++) await print(kept, some(100, 'WARN'))
  const segments = keptSegments(directory, 'web')
  const next = segments.at(-1)?.next ?? 0
  const page = atOnce(readSteps({ segments, next, unwritten: [] }, { tail: 0, class: ['warning'] }))
  expect(page).toEqual(kept.read({ tail: 0, class: ['warning'] }))
  expect(segments.length).toBeGreaterThan(2)
  expect(keptPrograms(directory)).toEqual(['web'])
})

test('counts lines by class with the first and the last, also of what was kept before', async (t) => {
  const { directory } = scene(t)
  const before = output(directory)
  await print(before, 'ERROR one\nINFO two\nx\n')
  before.close()
  const kept = output(directory)
  expect(kept.counts().classes.map((one) => [one.class, one.count, one.recent])).toEqual([
    ['error', 1, 0],
    ['info', 1, 0],
  ])
  await print(kept, 'ERROR three\n  its stack\nERROR four\n')
  const { lines, classes } = kept.counts()
  expect(lines).toBe(6)
  expect(classes[0]).toMatchObject({
    class: 'error',
    count: 4,
    recent: 3,
    first: { text: 'ERROR three' },
    last: { text: 'ERROR four' },
  })
  expect(kept.counts(0).classes[0]?.recent).toBeLessThanOrEqual(3)
})

test('finds the lines that fit best, tells those that differ in numbers once', async (t) => {
  const { directory } = scene(t)
  const kept = output(directory)
  await print(
    kept,
    `${some(200, 'request served in')}database connection refused\n${some(30, 'database query took')}connection closed\n`,
  )
  const page = await kept.search({ words: 'Database connection REFUSED', top: 2 })
  expect(page.found[0]?.line.text).toBe('database connection refused')
  expect(page).toMatchObject({ matches: 32, searched: 232, truncated: false })
  const queries = (await kept.search({ words: 'query', top: 5 })).found
  expect(queries).toMatchObject([{ line: { text: 'database query took 9' }, similar: 29 }])
  expect((await kept.search({ words: 'onnection', top: 5 })).found).toEqual([])
})

test('other patterns hold for the lines to come; those before keep their class', async (t) => {
  const { directory } = scene(t)
  const kept = output(directory)
  await print(kept, 'ERROR one\noops one\n')
  const own = compilePatterns({ mine: [{ regex: 'oops', priority: 0 }] })
  kept.reconfigure({ maxBytes: 1 << 20, patterns: own })
  await print(kept, 'ERROR two\noops two\n')
  expect(kept.last(10).map((line) => line.class)).toEqual(['error', null, 'error', 'mine'])
  expect(texts(kept.read({ class: ['mine', 'error'] }).lines)).toEqual(['ERROR one', 'ERROR two', 'oops two'])
})

test('a name with dots is not taken for the rotated log of another', async (t) => {
  const { directory } = scene(t)
  const other = new ProgramOutput({ directory, name: 'web.log.7', maxBytes: 1 << 20, patterns })
  await print(other, 'other\n')
  const kept = output(directory)
  await print(kept, 'mine\n')
  expect(texts(kept.last(5))).toEqual(['mine'])
  expect(texts(other.last(5))).toEqual(['other'])
})

test('a log whose index was removed, or cannot be read, goes on from its text', async (t) => {
  const { directory, log, index } = scene(t)
  const before = output(directory)
  await print(before, 'one\ntwo\n')
  before.close()
  rmSync(index)
  const kept = output(directory)
  expect(texts(kept.last(10))).toEqual(['one', 'two'])
  await print(kept, 'three\n')
  expect(seqs(kept.last(10))).toEqual([1, 2, 3])
  kept.close()
  truncateSync(index, 5)
  const again = output(directory)
  await print(again, 'four\n')
  expect(texts(again.last(10))).toEqual(['one', 'two', 'three', 'four'])
  again.close()
  expect(readFileSync(log, 'utf8')).toBe('one\ntwo\nthree\nfour\n')
})

test('a line without an end outlives a monitor that is killed, once', async (t) => {
  const { directory } = scene(t)
  const killed = output(directory)
  const stdout = new PassThrough()
  void killed.follow(stdout, null)
  const shown = new Promise<OutputLine>((resolve) => killed.onLine(resolve))
  stdout.write('first\nPassword: ')
  expect((await shown).text).toBe('first')
  await new Promise<void>((resolve) => killed.onLine(({ partial }) => partial && resolve()))
  // Nothing of it is closed, as after SIGKILL.
  const next = output(directory)
  expect(next.last(10)).toMatchObject([
    { seq: 1, text: 'first' },
    { seq: 2, text: 'Password: ', stream: 'stdout' },
  ])
  expect(texts(output(directory).last(10))).toEqual(['first', 'Password: '])
  stdout.end()
})

test('the newest lines are those that a reading of all finds last, whatever is asked for', async (t) => {
  const { directory, log } = scene(t)
  const kept = output(directory, 1 << 22)
  const words = ['GET /a 200', 'ERROR refused', 'é WARN slow', '', 'a plain line', 'x'.repeat(300)]
  for (let round = 0; round < 12; round++) {
    const lines = Array.from(
      { length: 400 },
      (_, at) => `${words[(at * 7 + round * at) % words.length]} ${at}\n`,
    )
    await print(kept, ...lines.slice(0, 5), lines.slice(5).join(''))
    kept.note(`round ${round}`)
  }
  const questions: readonly LogQuery[] = [
    {},
    { class: ['error'] },
    { class: ['warning', 'error'], stream: 'stdout' },
    { stream: 'watchdog' },
    { contains: 'refused 39' },
    { contains: 'é' },
    { contains: 'nowhere' },
    { regex: 'WARN slow 1\\d|refused 2', class: ['error', 'warning'] },
    { regex: '^GET .* 7$' },
  ]
  const compare = () => {
    for (const question of questions) {
      const all = kept.read({ ...question, cursor: 0, maxBytes: 1 << 24 })
      for (const tail of [1, 7, 5000]) {
        const { lines } = kept.read({ ...question, tail, maxBytes: 1 << 24 })
        expect(lines, JSON.stringify({ ...question, tail })).toEqual(all.lines.slice(-tail))
      }
    }
    expect(kept.read({ tail: 2000, maxBytes: 1 << 24 }).lines).toHaveLength(2000)
  }
  compare()
  // By hand: what is left has its numbers.
  truncateSync(log, statSync(log).size - 500)
  compare()
  kept.close()
})

test('a ranked search finds the same in a block of plain ASCII and in one with other characters', async (t) => {
  const { directory } = scene(t)
  const line = (at: number) =>
    `${at % 3 === 0 ? 'slow query' : at % 7 === 0 ? 'Query refused' : 'GET'} /item/${at}`
  const lines = Array.from({ length: 900 }, (_, at) => `${line(at)}\n`)
  const found = []
  for (const name of ['plain', 'other']) {
    const kept = new ProgramOutput({ directory, name, maxBytes: 1 << 20, patterns })
    await print(kept, lines.slice(0, 450).join(''))
    kept.note('a note about a query')
    await print(kept, lines.slice(450).join(''))
    if (name === 'other') await print(kept, 'é\n')
    found.push(await kept.search({ words: 'query slow', top: 1000 }))
    kept.close()
  }
  const [plain, other] = found
  expect(plain?.searched).toBe(901)
  expect(other?.searched).toBe(902)
  expect(plain?.matches).toBe(300 + 86 + 1)
  expect(other?.matches).toBe(plain?.matches)
  const told = (page: typeof plain) => page?.found.map(({ line, similar }) => [line.seq, line.text, similar])
  expect(told(plain)).toEqual(told(other))
})
