import { describe, expect, it } from 'vitest'
import { differencesOf } from '../../src/report/difference.ts'

describe('two values of JSON differ', () => {
  it('nowhere, at a member, at an element, or as a whole', () => {
    expect(differencesOf({ a: [1, { b: null }] }, { a: [1, { b: null }] })).toEqual([])
    expect(differencesOf({ a: [1, { b: 1 }], c: 1 }, { a: [1, { b: 2 }, 3] })).toEqual([
      { place: 'a[1].b', before: 1, after: 2 },
      { place: 'a[2]', before: undefined, after: 3 },
      { place: 'c', before: 1, after: undefined },
    ])
    expect(differencesOf([1], { 0: 1 })).toEqual([{ place: '', before: [1], after: { 0: 1 } }])
  })
})
