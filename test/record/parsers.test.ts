import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseDesiredState } from '../../src/record/desired-state.ts'
import { parseJournalLine } from '../../src/record/journal.ts'
import { parsePidFile } from '../../src/record/pid-file.ts'
import { parseRuntimeState } from '../../src/record/runtime-state.ts'
import { assess } from '../../src/report/assess.ts'
import { identity, wellFacts, wellState } from '../support/status-facts.ts'

const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.json(),
  fc.string().map((text) => `${text}\u0000\u0000`),
)

test('any text is a state or is said to be none', () => {
  fc.assert(
    fc.property(
      texts,
      (text) => parseRuntimeState(text).kind === 'corrupt' || text.includes('schemaVersion'),
    ),
  )
  expect(parseRuntimeState('')).toStrictEqual({ kind: 'corrupt', why: 'it is empty' })
  expect(parseRuntimeState('\u0000'.repeat(400))).toStrictEqual({ kind: 'corrupt', why: 'it is not JSON' })
  expect(parseRuntimeState('{"schemaVersion":9}')).toStrictEqual({ kind: 'newer', schemaVersion: 9 })
  expect(parseRuntimeState(JSON.stringify(wellState))).toStrictEqual({ kind: 'read', state: wellState })
})

test('a state that is cut anywhere is corrupt, never half believed', () => {
  const whole = JSON.stringify(wellState, null, 1)
  for (let length = 0; length < whole.length; length++) {
    expect(parseRuntimeState(whole.slice(0, length)).kind).toBe('corrupt')
  }
})

test('a state with anything missing or of another kind makes no report fail', () => {
  const paths = fc.constantFrom(...Object.keys(wellState), ...Object.keys(wellState.forwards[0] ?? {}))
  fc.assert(
    fc.property(paths, fc.jsonValue(), (key, value) => {
      const changed =
        key in wellState
          ? { ...wellState, [key]: value }
          : { ...wellState, forwards: [{ ...wellState.forwards[0], [key]: value }] }
      const reading = parseRuntimeState(JSON.stringify(changed))
      assess({ ...wellFacts, reading, forwards: [] })
    }),
  )
})

test('any text in a PID file is a process, or is said to be none', () => {
  fc.assert(
    fc.property(texts, (text) => {
      const file = parsePidFile(text, 7)
      if (file.kind === 'legacy') expect(Number.isSafeInteger(file.pid) && file.pid > 0).toBeTruthy()
      else expect(file.kind === 'invalid' || file.kind === 'identified').toBeTruthy()
    }),
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0x7fff_ffff }), (pid) => {
      const text = `${pid}\n${JSON.stringify(identity(pid))}\n`
      expect(parsePidFile(text, 7)).toStrictEqual({ kind: 'identified', identity: identity(pid), inode: 7 })
      expect(parsePidFile(`${pid}\n`, 7)).toStrictEqual({ kind: 'legacy', pid, inode: 7 })
    }),
  )
  for (const text of ['0', '-1', '1e3', '12 13', '4294967296', '\n42'])
    expect(parsePidFile(text, 7).kind).toBe('invalid')
})

test('any line is an event or none', () => {
  fc.assert(fc.property(texts, (text) => parseJournalLine(text).length === 0))
  const line = {
    time: '2026-11-21T01:00:00.000Z',
    monotonicMs: 1,
    bootId: 'b',
    event: 'monitor-stopped',
    reason: 'SIGTERM',
  }
  expect(parseJournalLine(JSON.stringify(line))).toStrictEqual([line])
  expect(parseJournalLine(JSON.stringify({ ...line, event: 'of a version to come' }))).toStrictEqual([])
})

test('what is wanted is read back, and a damaged file wants everything up', () => {
  fc.assert(fc.property(texts, (text) => parseDesiredState(text).size === 0))
  const down = { inspector: { since: '2026-11-21T01:00:00.000Z', why: 'ordered' } }
  expect([...parseDesiredState(JSON.stringify({ schemaVersion: 1, down }))]).toStrictEqual(
    Object.entries(down),
  )
})
