import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
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
  expect(view.cursor).toBe('app-0')
  for (let i = 1; i < 20; i++) {
    view = press(view, 'down', page)
    expect(view.cursor).toBe(`app-${i}`)
    expect(shown(view, page).includes(`› app-${i} healthy`), shown(view, page).join('\n')).toBeTruthy()
  }
  expect(press(view, 'down', page).cursor).toBe('app-19')
  const fewer = { ...page, lines: page.lines.filter(({ forward }) => forward !== 'app-3') }
  expect(settled(view, fewer).cursor).toBe('app-19')
  expect(settled(view, list(5, 10)).cursor, 'it is gone').toBe('app-0')
  for (let i = 0; i < 25; i++) view = press(view, 'up', page)
  expect([view.cursor, view.offset]).toStrictEqual(['app-0', 0])
  expect(shown(view, page)[0]).toBe('summary')
})

test('what does not fit is paged, and the last row says how much is left', () => {
  const page = list(20, 10)
  let view = settled(firstView, page)
  expect(shown(view, page).at(-1) ?? '').toMatch(/^33 more lines below · q quit$/)
  view = press(view, 'page-down', page)
  expect(view.offset).toBe(9)
  view = press(view, 'last', page)
  expect(shown(view, page).at(-1)).toBe('q quit')
  expect(press(press(view, 'first', page), 'page-up', page).offset).toBe(0)
})

test('pages open on the chosen forward and Esc goes back', () => {
  const page = list(3, 10)
  const chosen = press(settled(firstView, page), 'down', page)
  expect(press(chosen, 'open', page)).toStrictEqual({ page: 'forward', cursor: 'app-1', offset: 0 })
  for (const key of ['log', 'why', 'history'] as const) {
    const opened = press(chosen, key, page)
    expect(opened).toStrictEqual({ page: key, cursor: 'app-1', offset: 0 })
    expect(press(opened, 'back', page)).toStrictEqual({ ...chosen, offset: 0 })
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
        expect(drawn.length).toBe(Math.max(2, rows))
        for (const row of drawn) expect(columnsOf(row) <= width).toBeTruthy()
      }
    }),
  )
})

test('a frame is one text that clears what was there before, without a newline in the last row', () => {
  expect(frame(['a', 'b'])).toBe('\u001b[Ha\u001b[K\r\nb\u001b[K\u001b[J')
  const coloured = picture(settled(firstView, list(1, 5)), list(1, 5), { ...options, colour: true })
  expect(coloured.some((row) => row.includes('\u001b[7m'))).toBeTruthy()
  expect(stripVTControlCharacters(coloured[2] ?? '')).toBe('✓ app-0 healthy')
})

test('keys', () => {
  expect(pressOf({ name: 'q' })).toBe('quit')
  expect(pressOf({ name: 'c', ctrl: true })).toBe('quit')
  expect(pressOf({ name: 'l', ctrl: true })).toBe(undefined)
  expect(pressOf({ name: 'escape' })).toBe('back')
  expect(pressOf({ name: 'toString' })).toBe(undefined)
  expect(pressOf({})).toBe(undefined)
})
