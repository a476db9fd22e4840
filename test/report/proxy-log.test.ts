import assert from 'node:assert/strict'
import { appendFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { type TestContext, test } from 'vitest'
import { formatForPeople, type LogEntry, type LogLevel } from '../../src/log/entry.ts'
import { LineLog } from '../../src/log/line-log.ts'
import { readLogs, splitBackwards } from '../../src/report/log-reader.ts'
import { logSources } from '../../src/report/log-source.ts'
import { directoryFailure } from '../../src/report/readable.ts'
import { LogLines } from '../../src/report/render-log.ts'
import { parseSince } from '../../src/report/since.ts'
import { columnsOf, painted, plain } from '../../src/report/text.ts'
import { commandFile, RunningCommand, run, temporaryDirectory } from '../support/children.ts'

const start = Date.parse('2026-11-21T01:00:00.000Z')

function line(second: number, message: string, level: LogLevel = 'info', good = false): string {
  const time = new Date(start + second * 1000).toISOString()
  return `${formatForPeople({ time, level, source: 'x', message, good })}\n`
}

/** Two logs whose lines take turns, one with a crash on stderr in it. */
function twoLogs(t: TestContext): string {
  const directory = temporaryDirectory(t)
  const monitor = path.join(directory, 'proxy_monitor.log')
  writeFileSync(monitor, line(0, 'Monitor started', 'info', true) + line(2, 'inspector died', 'error'))
  const crash =
    '/app/relay.js:12\n    throw new Error()\n\nError: boom\n    at relay.js:12:9\n\nNode.js v20\n'
  const forwarder = path.join(directory, 'tcp_proxy_6274.log')
  writeFileSync(
    forwarder,
    line(1, 'Listening') + crash + line(3, 'Listening again') + line(4, 'Careful', 'warn'),
  )
  return directory
}

function messages(stdout: string): string[] {
  return stdout
    .trim()
    .split('\n')
    .map((text) => (JSON.parse(text) as LogEntry).message.split('\n')[0] ?? '')
}

test('all logs are merged in the order of time, and a crash stays behind its line', async (t) => {
  const directory = twoLogs(t)
  const { code, stdout } = await run('proxy-log', ['--json', '--state-dir', directory])
  assert.equal(code, 0)
  assert.deepEqual(messages(stdout), [
    'Monitor started',
    'Listening',
    '/app/relay.js:12',
    'inspector died',
    'Listening again',
    'Careful',
  ])
  const crash = JSON.parse(stdout.split('\n')[2] ?? '') as LogEntry
  assert.equal(crash.level, 'error')
  assert.equal(crash.source, '6274')
  assert.match(crash.message, /Error: boom\n {4}at relay\.js:12:9\n\nNode\.js v20$/)
})

test('one log, by name or port, without the name on every line', async (t) => {
  const directory = twoLogs(t)
  const monitor = await run('proxy-log', ['monitor', '--state-dir', directory])
  assert.match(monitor.stdout, /^\S+ \S+ ✓ Monitor started\n\S+ \S+ ✗ inspector died\n$/)
  const forward = await run('proxy-log', ['6274', '--tail', '1', '--state-dir', directory])
  assert.match(forward.stdout, /^\S+ \S+ ! Careful\n$/)
  const unknown = await run('proxy-log', ['6275', '--state-dir', directory])
  assert.equal(unknown.code, 64)
  assert.match(unknown.stderr, /no log of "6275"; there are monitor, 6274/)
})

test('--tail, --level and --since choose', async (t) => {
  const directory = twoLogs(t)
  const of = async (...words: string[]) =>
    messages((await run('proxy-log', ['--json', '--state-dir', directory, ...words])).stdout)
  assert.deepEqual(await of('--tail', '2'), ['Listening again', 'Careful'])
  assert.deepEqual(await of('-n', '1'), ['Careful'])
  assert.equal((await of('--tail', '0')).length, 6)
  assert.deepEqual(await of('--level', 'error'), ['/app/relay.js:12', 'inspector died'])
  assert.deepEqual(await of('--level', 'warn', '--tail', '1'), ['Careful'])
  assert.deepEqual(await of('--since', '2026-11-21T01:00:03Z'), ['Listening again', 'Careful'])
})

test('rotated parts, also compressed ones, are read as one log', async (t) => {
  const directory = temporaryDirectory(t)
  const file = path.join(directory, 'proxy_monitor.log')
  writeFileSync(`${file}.2.gz`, gzipSync(line(0, 'first')))
  writeFileSync(`${file}.1`, line(1, 'second'))
  writeFileSync(file, line(2, 'third'))
  const { stdout } = await run('proxy-log', ['--json', '--state-dir', directory])
  assert.deepEqual(messages(stdout), ['first', 'second', 'third'])
})

test('wrong words end with 64 and one line', async () => {
  for (const words of [
    ['--level', 'loud'],
    ['--tail', '-1'],
    ['--since', 'yesterday'],
  ]) {
    const { code, stderr } = await run('proxy-log', words)
    assert.equal(code, 64)
    assert.equal(stderr.trim().split('\n').length, 1)
  }
})

test('no log yet is said and is no error', async (t) => {
  const { code, stderr } = await run('proxy-log', ['--state-dir', temporaryDirectory(t)])
  assert.equal(code, 0)
  assert.match(stderr, /nothing has been logged/)
})

test('a directory that is not there, or may not be read, is not called empty', async (t) => {
  const missing = path.join(temporaryDirectory(t), 'none')
  for (const words of [[], ['--why', '6274'], ['--follow']]) {
    const { code, stdout, stderr } = await run('proxy-log', [...words, '--state-dir', missing])
    assert.deepEqual([code, stdout], [66, ''])
    assert.match(stderr, /none does not exist: no such folder; look at --state-dir\n$/)
  }
  const denied = Object.assign(new Error('EACCES'), { code: 'EACCES' })
  const { message, exitCode } = directoryFailure('/x', denied)
  assert.deepEqual([message, exitCode], ['/x cannot be read: permission denied', 77])
  const status = await run('proxy-status', ['--state-dir', missing])
  assert.equal(status.code, 3)
  assert.match(status.stdout, /the folder \S+none does not exist/)
})

test('that nothing fits the question is said', async (t) => {
  const words = ['--level', 'error', '--since', '2026-11-21T01:00:03Z', '--state-dir', twoLogs(t)]
  const { code, stdout, stderr } = await run('proxy-log', words)
  assert.deepEqual([code, stdout, stderr], [0, '', 'proxy-log: no entries match\n'])
})

test('control characters in a message do not reach the terminal', async (t) => {
  const directory = temporaryDirectory(t)
  writeFileSync(path.join(directory, 'proxy_monitor.log'), line(0, 'evil \u001b[2J'))
  const { stdout } = await run('proxy-log', ['--state-dir', directory])
  assert.match(stdout, /evil ␛\[2J\n$/)
})

test('--follow shows what comes, through rotation and from a forward that is new', async (t) => {
  const directory = temporaryDirectory(t)
  const file = path.join(directory, 'proxy_monitor.log')
  const log = new LineLog(file, { maxBytes: 2000, keep: 100, compress: false })
  log.write(line(0, 'before').trimEnd())
  const words = ['--follow', '--json', '--state-dir', directory]
  const command = new RunningCommand(commandFile('proxy-log'), words)
  await command.until((out) => out.includes('before'))
  for (let number = 1; number <= 500; number++) log.write(line(number, `number ${number}`).trimEnd())
  await command.until((out) => out.includes('number 500'))
  writeFileSync(path.join(directory, 'tcp_proxy_6277.log'), line(600, 'new forward'))
  await command.until((out) => out.includes('new forward'))
  appendFileSync(file, 'Error: no stamp\n')
  await command.until((out) => out.includes('no stamp'))
  command.child.kill('SIGINT')
  const { code, stdout, stderr } = await command.ended
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  const numbers = Array.from({ length: 500 }, (_, i) => `number ${i + 1}`)
  assert.deepEqual(messages(stdout), ['before', ...numbers, 'new forward', 'Error: no stamp'])
})

test('--follow ends quietly when its reader goes away', async (t) => {
  const directory = temporaryDirectory(t)
  const file = path.join(directory, 'proxy_monitor.log')
  writeFileSync(file, line(0, 'before'))
  const command = new RunningCommand(commandFile('proxy-log'), ['--follow', '--state-dir', directory])
  await command.until((out) => out.includes('before'))
  command.child.stdout?.destroy()
  appendFileSync(file, line(1, 'after'))
  const { code, stderr } = await command.ended
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
})

test('bytes are cut into the same lines from the end as from the beginning', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', 'é', '\n') }), fc.nat(9), (text, long) => {
      const bytes = Buffer.from(text + 'x'.repeat(long * 10_000))
      const lines = bytes.toString('utf8').replace(/\n$/, '').split('\n')
      const found = [...splitBackwards(bytes.length, (from, to) => bytes.subarray(from, to))]
      assert.deepEqual(found.reverse(), bytes.length === 0 ? [] : lines)
    }),
  )
})

test('a big log is read no further than needed', (t) => {
  const directory = temporaryDirectory(t)
  const filler = line(1, 'x'.repeat(200)).repeat(250_000)
  writeFileSync(path.join(directory, 'proxy_monitor.log'), filler + line(2, 'last'))
  const before = process.memoryUsage().rss
  const query = { tail: 3, level: 'info', since: undefined } as const
  assert.equal(readLogs(logSources(directory), query).at(-1)?.message, 'last')
  assert.ok(process.memoryUsage().rss - before < filler.length / 2, 'it read the whole log')
})

test('times in the past are read in every usual form', () => {
  const now = Date.parse('2026-11-21T12:00:00Z')
  assert.deepEqual(parseSince('10m', now), { ok: true, value: '2026-11-21T11:50:00.000Z' })
  assert.deepEqual(parseSince('1w', now), { ok: true, value: '2026-11-14T12:00:00.000Z' })
  assert.deepEqual(parseSince('2026-11-21T01:00:00+01:00'), { ok: true, value: '2026-11-21T00:00:00.000Z' })
  const midnight = new Date(2026, 10, 21).toISOString()
  assert.deepEqual(parseSince('2026-11-21'), { ok: true, value: midnight })
  for (const text of ['', '10', 'now', '2026-99-99', '99999999999h']) assert.equal(parseSince(text).ok, false)
})

test('levels are taken in any case, with their usual other names', async (t) => {
  const directory = twoLogs(t)
  for (const level of ['WARN', 'warn', 'Warning', 'WARNING']) {
    const { stdout } = await run('proxy-log', ['--json', '--level', level, '--state-dir', directory])
    assert.equal(messages(stdout).length, 3, level)
  }
})

test('short options do what the long ones do', async (t) => {
  const directory = twoLogs(t)
  const { code, stdout } = await run('proxy-log', ['-j', '-v', '--state-dir', directory])
  assert.deepEqual([code, messages(stdout).length], [0, 6])
  const why = await run('proxy-log', ['-w', '6274', '--state-dir', directory])
  assert.match(why.stderr, /the journal has no forward or program "6274"/)
})

test('on a terminal: the date once a day, clock, sign and name, and words below words', () => {
  const entry = (time: string, message: string, level: LogLevel = 'info') => ({
    time,
    level,
    source: 'web',
    message,
  })
  const entries = [
    entry('2026-11-20T23:59:58.250Z', 'one two three four five six seven eight nine ten'),
    entry('2026-11-21T00:00:01.000Z', 'next day', 'error'),
    entry('2026-11-21T00:00:02.000Z', 'first\nsecond \u001b[2J', 'warn'),
  ]
  const at = (width: number, milliseconds = false) =>
    new LogLines(() => ({ width, sourceWidth: 4, milliseconds })).lines(entries)
  const { TZ } = process.env
  try {
    process.env.TZ = 'UTC'
    assert.deepEqual(at(60).map(plain), [
      '2026-11-20 (UTC+00:00)',
      '23:59:58 • web  one two three four five six seven eight nine',
      '                ten',
      '2026-11-21 (UTC+00:00)',
      '00:00:01 ✗ web  next day',
      '00:00:02 ! web  first',
      '                second ␛[2J',
    ])
    assert.match(at(60, true).map(plain)[1] ?? '', /^23:59:58\.250 • web {2}one/)
    assert.equal(
      painted(at(60)[4] ?? [], true),
      '\u001b[2m00:00:01\u001b[0m \u001b[31m✗\u001b[0m web  next day',
    )
  } finally {
    if (TZ === undefined) delete process.env.TZ
    else process.env.TZ = TZ
  }
  for (let width = 1; width < 130; width++) {
    for (const row of at(width)) assert.ok(columnsOf(plain(row)) <= width, `${width}: ${plain(row)}`)
  }
})
