import fc from 'fast-check'
import stringWidth from 'string-width'
import { expect, test } from 'vitest'
import { asciiOnly, columnsOf, cut, pad, painted, plain, wrap, wrapLine } from '../../src/report/text.ts'

const words = fc.string({
  unit: fc.constantFrom('a', ' ', '  ', 'long-word', 'é', '漢', '👩‍👩‍👧', '…'),
  maxLength: 60,
})
const indents = fc.nat(20).map((length) => ' '.repeat(length))

test('wrapping ends at every width, loses nothing but blanks, and no line is wider', () => {
  fc.assert(
    fc.property(words, fc.integer({ min: -1, max: 1000 }), indents, (text, width, indent) => {
      const lines = wrap(text, width, indent)
      expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''))
      // What takes two columns does not fit into one.
      for (const line of lines)
        expect(columnsOf(line) <= Math.max(2, width), JSON.stringify(lines)).toBeTruthy()
      expect(lines.length).toBeGreaterThanOrEqual(1)
    }),
  )
})

test('a long text is wrapped in a time that grows with its length, also in one column', () => {
  const text = `    ${'word '.repeat(40_000)}`
  expect(wrap(text, 1, '    ').join('')).toBe('word'.repeat(40_000))
})

test('cutting ends at every width, and what is cut says so', () => {
  fc.assert(
    fc.property(words, fc.integer({ min: -1, max: 200 }), (text, width) => {
      const shown = cut(text, width)
      expect(columnsOf(shown) <= Math.max(1, width)).toBeTruthy()
      if (shown !== text) expect(shown.endsWith('…')).toBeTruthy()
    }),
  )
})

test('colours change nothing of where a line is broken, and blanks that do not break are blanks afterwards', () => {
  const lines = wrapLine([{ text: 'one ', colour: 'red' }, { text: 'two\u00a0three four' }], 12, '  ')
  expect(lines.map(plain)).toStrictEqual(['one', '  two three', '  four'])
  expect(painted(lines[0] ?? [], true)).toBe('\u001b[31mone\u001b[0m')
  expect(painted(lines[0] ?? [], false)).toBe('one')
})

test('texts are padded by the columns they take', () => {
  expect(pad('漢', 4)).toBe('漢  ')
  expect(pad('12', 4, 'right')).toBe('  12')
  expect(pad('too long', 4)).toBe('too long')
})

test('ASCII has as many columns as what it stands for', () => {
  expect(asciiOnly('✓ web ▇▁· –')).toBe('+ web #_| -')
})

test('a text has the columns that string-width gives it, with the signs of reports and without', () => {
  const signs = Array.from('a ~\u00a0✓✗●•»·…–—×→›’▇▄▁░␛é漢')
  const texts = fc.string({ unit: fc.constantFrom(...signs, '\u0301', '\ufe0f', '👩‍👩‍👧') })
  fc.assert(
    fc.property(texts, (text) => {
      expect(columnsOf(text)).toBe(stringWidth(text))
    }),
  )
})
