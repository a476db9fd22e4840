import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { test } from 'vitest'
import { formatForPeople, type LogEntry, localStamp, parseForPeople } from '../../src/log/entry.ts'
import { printable } from '../../src/os/printable.ts'
import { entriesOf } from '../../src/report/log-text.ts'
import { compiled } from '../support/tools.ts'

const entries: fc.Arbitrary<LogEntry> = fc.record(
  {
    time: fc
      .date({ min: new Date('1980-01-01'), max: new Date('2200-01-01'), noInvalidDate: true })
      .map((date) => date.toISOString()),
    level: fc.constantFrom('info', 'warn', 'error'),
    source: fc.constant('monitor'),
    message: fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\r', '')),
    good: fc.constant(false),
  },
  { noNullPrototype: true },
)

test('what is written is read back, with several lines, bars and signs in it', () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const [head = '', ...further] = formatForPeople(entry).split('\n')
      assert.deepEqual(entriesOf({ head, further }, 'monitor', ''), [
        { ...entry, message: printable(entry.message) },
      ])
    }),
  )
})

test('escape sequences in a message work on no terminal', () => {
  const time = '2026-11-21T01:47:16.482Z'
  const line = formatForPeople({
    time,
    level: 'warn',
    source: 'monitor',
    message: 'taken by \u001b[2J\u0007x',
  })
  assert.ok(!line.includes('\u001b') && !line.includes('\u0007'))
})

test('good news are kept apart from plain ones', () => {
  const entry = { time: '2026-11-21T01:47:16.482Z', level: 'info', message: 'It works', good: true } as const
  assert.deepEqual(parseForPeople(formatForPeople({ ...entry, source: 'monitor' })), entry)
})

test('any text is an entry or none, and never an exception', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      (text) => parseForPeople(text) === undefined || text.length > 20,
    ),
  )
  assert.equal(parseForPeople('2026-13-45 99:99:99.000+01:00 ✓ no such day'), undefined)
  assert.equal(parseForPeople('2026-11-21 01:47:16 ✓ as before')?.message, 'as before')
})

test('a message cannot forge a line of the log', () => {
  const forged = 'name\n2026-11-21 01:47:16.482+01:00 ✓ all is well'
  const [head = '', ...further] = formatForPeople({
    time: '2026-11-21T01:00:00.000Z',
    level: 'error',
    source: 'monitor',
    message: forged,
  }).split('\n')
  assert.deepEqual(
    entriesOf({ head, further }, 'monitor', '').map(({ message, level }) => ({ message, level })),
    [{ message: forged, level: 'error' }],
  )
})

test('the hour that comes twice when summer time ends is told apart', () => {
  const module = compiled('src/log/entry.ts')
  const script = `import { localStamp } from ${JSON.stringify(module)}
    for (const time of ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z']) console.log(localStamp(new Date(time)))`
  const words = ['--input-type=module', '-e', script]
  const out = execFileSync(process.execPath, words, { env: { TZ: 'Europe/Berlin' }, encoding: 'utf8' })
  assert.deepEqual(out.trim().split('\n'), ['2026-10-25 02:30:00.000+02:00', '2026-10-25 02:30:00.000+01:00'])
  assert.match(localStamp(new Date()), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$/)
})
