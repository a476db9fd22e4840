import { appendFileSync, readFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RingLog, readRing, ringLines } from '../../src/log/ring-log.ts'
import { temporaryDirectory } from '../support/children.ts'

const entry = (message: string) =>
  ({ ts: '2026-11-21T01:00:00.000Z', level: 'info', message, unit: 'web' }) as const

test('the ring keeps the last 1,000, numbered on over a restart, and the file stays small', (t) => {
  const file = path.join(temporaryDirectory(t), 'ring.jsonl')
  const first = new RingLog(file)
  for (let i = 1; i <= 1500; i++) first.write(entry(`${i}`))
  const second = new RingLog(file)
  for (let i = 1501; i <= 2500; i++) second.write(entry(`${i}`))
  const kept = readRing(file)
  expect(kept.length).toBe(ringLines)
  expect([kept[0]?.sequence, kept.at(-1)?.sequence]).toStrictEqual([1501, 2500])
  expect(kept.at(-1)?.message).toBe('2500')
  expect(readRing(file, 2).map(({ message }) => message)).toStrictEqual(['2499', '2500'])
  expect(readFileSync(file, 'utf8').split('\n').length <= ringLines + 101).toBeTruthy()
})

test('a line cut by a crash is passed over and spoils no other', (t) => {
  const file = path.join(temporaryDirectory(t), 'ring.jsonl')
  new RingLog(file).write(entry('before'))
  appendFileSync(file, '{"sequence":2,"time":"2026')
  new RingLog(file).write(entry('after'))
  expect(readRing(file).map(({ message }) => message)).toStrictEqual(['before', 'after'])
})

test('lines of earlier versions are read, and kept as they are when the ring is cut', (t) => {
  const file = path.join(temporaryDirectory(t), 'ring.jsonl')
  const time = '2026-11-20T01:00:00.000Z'
  const old = (sequence: number) =>
    JSON.stringify({ sequence, time, level: 'error', source: 'web', message: 'old', good: false })
  appendFileSync(file, Array.from({ length: 900 }, (_, i) => `${old(i + 1)}\n`).join(''))
  const ring = new RingLog(file)
  for (let i = 901; i <= 1100; i++) ring.write({ ...entry('new'), waitMs: i })
  const kept = readRing(file)
  expect(kept).toHaveLength(ringLines)
  expect(kept[0]).toStrictEqual({
    ...{ sequence: 101, time, level: 'error', source: 'web', message: 'old', good: false },
  })
  expect(kept.at(-1)).toStrictEqual({
    ...{ sequence: 1100, time: '2026-11-21T01:00:00.000Z', level: 'info', source: 'web', message: 'new' },
    good: false,
  })
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  expect([lines.length, lines[0]]).toStrictEqual([ringLines, old(101)])
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ sequence: 1100, waitMs: 1100, unit: 'web' })
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
