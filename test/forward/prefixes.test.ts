import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
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
          assert.equal(view.length, next.length)
          assert.equal(view.buffer, buffer.buffer)
          assert.equal(view.byteOffset, buffer.byteOffset)
        }
      }),
    )
  })

  test('the same length again is the same view', () => {
    const prefixes = new Prefixes(Buffer.alloc(300))
    assert.equal(prefixes.of(60), prefixes.of(60))
  })
})
