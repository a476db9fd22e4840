import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maxLineBytes } from '../../../src/program/output/line.ts'
import { type Lines, Splitter } from '../../../src/program/output/splitter.ts'

function textOf({ bytes, ends, count }: Lines): string[] {
  return Array.from({ length: count }, (_, index) =>
    bytes.toString('utf8', index === 0 ? 0 : (ends[index - 1] ?? 0) + 1, ends[index]),
  )
}

/** All lines of these chunks, and those that were cut. */
function split(chunks: readonly Buffer[]) {
  const splitter = new Splitter()
  const lines: string[] = []
  const cut: number[] = []
  let cutBytes = 0
  const take = (some: Lines | undefined) => {
    if (some === undefined) return
    for (let index = 0; index < some.count; index++)
      if (some.cut?.[index] === 1) cut.push(lines.length + index)
    lines.push(...textOf(some))
    cutBytes += some.cutBytes
  }
  for (const chunk of chunks) take(splitter.push(chunk))
  const open = splitter.open.toString('utf8')
  take(splitter.end())
  return { lines, cut, cutBytes, open }
}

/** Cuts bytes at the given places. */
function chunked(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index] ?? bytes.length))
}

describe('Splitter', () => {
  it('finds the same lines whatever the chunks, also within a character', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => text.replaceAll(/[\r\n]/g, '·'))
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat()), fc.boolean(), (lines, places, isEnded) => {
        const text = lines.join('\n') + (isEnded && lines.length > 0 ? '\n' : '')
        const expected = text.split('\n')
        if (expected.at(-1) === '') expected.pop()
        expect(split(chunked(Buffer.from(text), places)).lines).toEqual(expected)
      }),
    )
  })

  it('shows what carriage returns leave, whatever the chunks', () => {
    const piece = fc.constantFrom('10%', '100%', 'done', '\r', '\r\n', '\n', '')
    fc.assert(
      fc.property(fc.array(piece), fc.array(fc.nat()), (pieces, places) => {
        const text = pieces.join('')
        const expected = text.split('\n').map((one) => /([^\r]*)\r*$/.exec(one)?.[1] ?? '')
        const isEnded = text.endsWith('\n') || text.split('\n').at(-1) === ''
        if (isEnded) expected.pop()
        expect(split(chunked(Buffer.from(text), places)).lines).toEqual(expected)
      }),
    )
  })

  it('keeps the beginning of a long line, says how much is missing, and cuts no character in two', () => {
    const euro = '€'.repeat(10_000)
    fc.assert(
      fc.property(fc.array(fc.nat()), (places) => {
        const { lines, cut, cutBytes } = split(chunked(Buffer.from(`a\n${euro}\nb\n`), places))
        const kept = Math.floor(maxLineBytes / 3)
        const missing = 30_000 - kept * 3
        expect(lines).toEqual(['a', `${'€'.repeat(kept)} … [${missing} bytes cut]`, 'b'])
        expect({ cut, cutBytes }).toEqual({ cut: [1], cutBytes: missing })
      }),
    )
  })

  it('a million lines without a line end take no memory but for the beginning of one', () => {
    const splitter = new Splitter()
    const chunk = Buffer.from('some words without an end '.repeat(2500))
    for (let round = 0; round < 400; round++) expect(splitter.push(chunk)).toBeUndefined()
    expect(splitter.open.length).toBeLessThan(maxLineBytes + 10)
    const lines = splitter.end()
    expect(lines?.count).toBe(1)
    expect(lines?.cutBytes).toBe(chunk.length * 400 - maxLineBytes)
  })

  it('takes binary bytes as they are', () => {
    const bytes = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7919) % 256))
    const { lines } = split([bytes])
    expect(lines.length).toBeGreaterThan(10)
  })

  it('has the line without an end to show', () => {
    expect(split([Buffer.from('ready\nPassword: ')]).open).toBe('Password: ')
    expect(split([Buffer.from('10%\r20%\r')]).open).toBe('20%')
  })
})
