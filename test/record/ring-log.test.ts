import assert from 'node:assert/strict'
import { appendFileSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { RingLog, readRing, ringLines } from '../../src/record/ring-log.ts'
import { temporaryDirectory } from '../support/children.ts'

const entry = (message: string) =>
  ({ time: '2026-11-21T01:00:00.000Z', level: 'info', source: 'monitor', message }) as const

test('the ring keeps the last 1,000, numbered on over a restart, and the file stays small', (t) => {
  const file = path.join(temporaryDirectory(t), 'ring.jsonl')
  const first = new RingLog(file)
  for (let i = 1; i <= 1500; i++) first.write(entry(`${i}`))
  const second = new RingLog(file)
  for (let i = 1501; i <= 2500; i++) second.write(entry(`${i}`))
  const kept = readRing(file)
  assert.equal(kept.length, ringLines)
  assert.deepEqual([kept[0]?.sequence, kept.at(-1)?.sequence], [1501, 2500])
  assert.equal(kept.at(-1)?.message, '2500')
  assert.ok(readFileSync(file, 'utf8').split('\n').length <= ringLines + 101)
})

test('a line cut by a crash is passed over and spoils no other', (t) => {
  const file = path.join(temporaryDirectory(t), 'ring.jsonl')
  new RingLog(file).write(entry('before'))
  appendFileSync(file, '{"sequence":2,"time":"2026')
  new RingLog(file).write(entry('after'))
  assert.deepEqual(
    readRing(file).map(({ message }) => message),
    ['before', 'after'],
  )
})

test('whatever is in the file, it is read without an exception', (t) => {
  const file = path.join(temporaryDirectory(t), 'ring.jsonl')
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.json(), fc.string())), (lines) => {
      appendFileSync(file, `${lines.join('\n')}\n`)
      return readRing(file).every(
        ({ level, message }) => typeof level === 'string' && typeof message === 'string',
      )
    }),
  )
})
