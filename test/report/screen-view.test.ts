import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { pressOf } from '../../src/report/screen/terminal.ts'
import {
  firstView,
  frame,
  type Page,
  type Press,
  picture,
  press,
  settled,
} from '../../src/report/screen/view.ts'
import { columnsOf } from '../../src/report/text.ts'

/** A head of two lines, then for each forward a row and a line that says why. */
function list(forwards: number, rows: number): Page {
  const lines = Array.from({ length: forwards }, (_, i) => [
    { line: [{ text: `✓ app-${i} healthy` }], forward: `app-${i}` },
    { line: [{ text: '    why' }] },
  ]).flat()
  return { lines: [{ line: [{ text: 'summary' }] }, { line: [] }, ...lines], rows }
}

const options = { width: 40, colour: false, keys: 'q quit' }
const shown = (view: typeof firstView, page: Page) => picture(view, page, options).map((row) => row.trimEnd())

test('the cursor goes through the forwards, stays on the screen, and stays on its forward after the next look', () => {
  const page = list(20, 10)
  let view = settled(firstView, page)
  assert.equal(view.cursor, 'app-0')
  for (let i = 1; i < 20; i++) {
    view = press(view, 'down', page)
    assert.equal(view.cursor, `app-${i}`)
    assert.ok(shown(view, page).includes(`› app-${i} healthy`), shown(view, page).join('\n'))
  }
  assert.equal(press(view, 'down', page).cursor, 'app-19')
  const fewer = { ...page, lines: page.lines.filter(({ forward }) => forward !== 'app-3') }
  assert.equal(settled(view, fewer).cursor, 'app-19')
  assert.equal(settled(view, list(5, 10)).cursor, 'app-0', 'it is gone')
  for (let i = 0; i < 25; i++) view = press(view, 'up', page)
  assert.deepEqual([view.cursor, view.offset], ['app-0', 0])
  assert.equal(shown(view, page)[0], 'summary')
})

test('what does not fit is paged, and the last row says how much is left', () => {
  const page = list(20, 10)
  let view = settled(firstView, page)
  assert.match(shown(view, page).at(-1) ?? '', /^33 more lines below · q quit$/)
  view = press(view, 'page-down', page)
  assert.equal(view.offset, 9)
  view = press(view, 'last', page)
  assert.equal(shown(view, page).at(-1), 'q quit')
  assert.equal(press(press(view, 'first', page), 'page-up', page).offset, 0)
})

test('pages open on the chosen forward and Esc goes back', () => {
  const page = list(3, 10)
  const chosen = press(settled(firstView, page), 'down', page)
  assert.deepEqual(press(chosen, 'open', page), { page: 'forward', cursor: 'app-1', offset: 0 })
  for (const key of ['log', 'why', 'history'] as const) {
    const opened = press(chosen, key, page)
    assert.deepEqual(opened, { page: key, cursor: 'app-1', offset: 0 })
    assert.deepEqual(press(opened, 'back', page), { ...chosen, offset: 0 })
  }
})

test('whatever is pressed, and however large the terminal is: a picture of so many rows, none too wide', () => {
  const keys = fc.constantFrom<Press>(
    ...([
      'up',
      'down',
      'page-up',
      'page-down',
      'first',
      'last',
      'open',
      'back',
      'log',
      'why',
      'history',
    ] as const),
  )
  const sizes = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 90 }), fc.nat(9))
  fc.assert(
    fc.property(fc.array(fc.tuple(keys, sizes), { maxLength: 30 }), (steps) => {
      let view = firstView
      for (const [key, [rows, width, forwards]] of steps) {
        const page = list(forwards, rows)
        view = settled(press(view, key, page), page)
        const drawn = picture(view, page, { ...options, width })
        assert.equal(drawn.length, Math.max(2, rows))
        for (const row of drawn) assert.ok(columnsOf(row) <= width)
      }
    }),
  )
})

test('a frame is one text that clears what was there before, without a newline in the last row', () => {
  assert.equal(frame(['a', 'b']), '\u001b[Ha\u001b[K\r\nb\u001b[K\u001b[J')
  const coloured = picture(settled(firstView, list(1, 5)), list(1, 5), { ...options, colour: true })
  assert.ok(coloured.some((row) => row.includes('\u001b[7m')))
  assert.equal(stripVTControlCharacters(coloured[2] ?? ''), '✓ app-0 healthy')
})

test('keys', () => {
  assert.equal(pressOf({ name: 'q' }), 'quit')
  assert.equal(pressOf({ name: 'c', ctrl: true }), 'quit')
  assert.equal(pressOf({ name: 'l', ctrl: true }), undefined)
  assert.equal(pressOf({ name: 'escape' }), 'back')
  assert.equal(pressOf({ name: 'toString' }), undefined)
  assert.equal(pressOf({}), undefined)
})
