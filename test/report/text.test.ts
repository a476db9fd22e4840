import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
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
      assert.equal(lines.join('').replaceAll(' ', ''), text.replaceAll(' ', ''))
      // What takes two columns does not fit into one.
      for (const line of lines) assert.ok(columnsOf(line) <= Math.max(2, width), JSON.stringify(lines))
      assert.ok(lines.length >= 1)
    }),
  )
})

test('a long text is wrapped in a time that grows with its length, also in one column', () => {
  const text = `    ${'word '.repeat(40_000)}`
  assert.equal(wrap(text, 1, '    ').join(''), 'word'.repeat(40_000))
})

test('cutting ends at every width, and what is cut says so', () => {
  fc.assert(
    fc.property(words, fc.integer({ min: -1, max: 200 }), (text, width) => {
      const shown = cut(text, width)
      assert.ok(columnsOf(shown) <= Math.max(1, width))
      if (shown !== text) assert.ok(shown.endsWith('…'))
    }),
  )
})

test('colours change nothing of where a line is broken, and blanks that do not break are blanks afterwards', () => {
  const lines = wrapLine([{ text: 'one ', colour: 'red' }, { text: 'two\u00a0three four' }], 12, '  ')
  assert.deepEqual(lines.map(plain), ['one', '  two three', '  four'])
  assert.equal(painted(lines[0] ?? [], true), '\u001b[31mone\u001b[0m')
  assert.equal(painted(lines[0] ?? [], false), 'one')
})

test('texts are padded by the columns they take', () => {
  assert.equal(pad('漢', 4), '漢  ')
  assert.equal(pad('12', 4, 'right'), '  12')
  assert.equal(pad('too long', 4), 'too long')
})

test('ASCII has as many columns as what it stands for', () => {
  assert.equal(asciiOnly('✓ web ▇▁· –'), '+ web #_| -')
})
