import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Prefixes } from '../../src/forward/relay/prefixes.ts'

describe('Prefixes', () => {
  const buffers = [Buffer.alloc(300, 'a'), Buffer.alloc(300, 'b')] as const
  const step = fc.oneof(
    { weight: 9, arbitrary: fc.record({ length: fc.integer({ min: 0, max: 300 }) }) },
    { weight: 1, arbitrary: fc.record({ moveTo: fc.constantFrom(...buffers) }) },
  )

  test('are always of the buffer of now, and of the length asked for', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 500 }), (steps) => {
        let buffer: Buffer = buffers[0]
        const prefixes = new Prefixes(buffer)
        for (const next of steps) {
          if ('moveTo' in next) {
            buffer = next.moveTo
            prefixes.moveTo(buffer)
            continue
          }
          const view = prefixes.of(next.length)
          expect(view.length).toBe(next.length)
          expect(view.buffer).toBe(buffer.buffer)
          expect(view.byteOffset).toBe(buffer.byteOffset)
        }
      }),
    )
  })

  test('the same length again is the same view', () => {
    const prefixes = new Prefixes(Buffer.alloc(300))
    expect(prefixes.of(60)).toBe(prefixes.of(60))
  })
})
