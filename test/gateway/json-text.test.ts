// Places in JSON text: what is to change changes, and every other byte stays as it was written.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  elementsOf,
  membersOf,
  NotJson,
  rebuilt,
  spliced,
  textOf,
  withMembers,
} from '../../src/gateway/protocol/json-text.ts'
import { idOf, onOneLine, readMessage, withId } from '../../src/gateway/protocol/message.ts'

const object = fc.dictionary(fc.string(), fc.jsonValue())

describe('json-text', () => {
  it('finds every member of any object, however it is laid out', () => {
    fc.assert(
      fc.property(object, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        const found = [...membersOf(text)].map(([key, span]) => [key, JSON.parse(textOf(text, span))])
        expect(found).toEqual(Object.entries(JSON.parse(text)))
      }),
    )
  })

  it('finds every element of any array', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (value) => {
        const text = JSON.stringify(value, null, 1)
        expect(elementsOf(text, 0).map((span) => JSON.parse(textOf(text, span)))).toEqual(JSON.parse(text))
      }),
    )
  })

  it('replaces, drops and adds members, and copies the others', () => {
    fc.assert(
      fc.property(object, fc.string(), fc.string(), (value, dropped, added) => {
        const text = JSON.stringify(value)
        const changed = rebuilt(text, membersOf(text), { drop: [dropped], set: { [added]: '"new"' } })
        const wanted: Record<string, unknown> = JSON.parse(text)
        delete wanted[dropped]
        Object.defineProperty(wanted, added, {
          value: 'new',
          enumerable: true,
          configurable: true,
          writable: true,
        })
        expect(JSON.parse(changed)).toEqual(wanted)
      }),
    )
  })

  it('puts members in front', () => {
    expect(withMembers('{}', '"a":1')).toBe('{"a":1}')
    expect(withMembers(' { "b" : 2 }', '"a":1')).toBe(' {"a":1, "b" : 2 }')
  })

  it('refuses a key that is there twice, also when it is written with escapes: two readers would take different ones', () => {
    expect(() => membersOf('{"name":"a","name":"b"}')).toThrow(NotJson)
    expect(() => membersOf('{"name":"a","na\\u006de":"b"}')).toThrow(NotJson)
  })

  it('refuses what has not the structure of JSON', () => {
    for (const text of ['', '[]', '{"a"}', '{"a":1', '{"a":"b}', '{"a":1,}', '{a:1}']) {
      expect(() => membersOf(text), text).toThrow(NotJson)
    }
  })

  it('does edits in any order', () => {
    const edits = [
      { start: 3, end: 4, by: 'X' },
      { start: 0, end: 1, by: '' },
    ]
    expect(spliced('abcdef', edits)).toBe('bcXef')
  })
})

describe('a message', () => {
  it('gets another id, and keeps numbers, escapes and order', () => {
    const text =
      '{"result":{"n":12345678901234567890,"s":"\\u00e9\\/","e":1E400},"id" : "x\\n" ,"jsonrpc":"2.0","new":[]}'
    const message = readMessage(text)
    expect(idOf(message)).toBe('"x\\n"')
    expect(withId(message, '7')).toBe(text.replace('"x\\n"', '7'))
  })

  it('is a request, a notification or an answer, and nothing else is', () => {
    for (const text of [
      '{}',
      '{"id":1}',
      '{"result":{}}',
      '{"method":1}',
      'null',
      '"x"',
      '{"method":"a","method":"b"}',
    ]) {
      expect(() => readMessage(text), text).toThrow(NotJson)
    }
  })

  it('goes on one line', () => {
    const text = JSON.stringify({ a: 'b\nc', d: [1, 2] }, null, 2)
    const line = onOneLine(text)
    expect(line).not.toContain('\n')
    expect(JSON.parse(line)).toEqual(JSON.parse(text))
  })
})
