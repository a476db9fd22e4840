import { appendFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import type { LogsOutput } from '../../src/orders/log-orders.ts'
import { it } from '../support/fixtures.ts'
import { linesOf, order } from '../support/ordered.ts'
import { refusalOf, runningAs, script, sharePrograms, startPrograms } from '../support/programs.ts'
import { until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

const talker = script(
  'console.log("INFO \\x1b[32mready\\x1b[0m in 12 ms")',
  'console.error("Error: connect ECONNREFUSED 127.0.0.1:5432\\n    at dial (db.js:1:2)")',
  'console.log("GET /?token=abcdefghijkl 200")',
  'setInterval(() => {}, 1000)',
)

const quiet = script('console.log("pong"); process.stdin.resume(); setInterval(() => {}, 1000)')

async function logs(watched: Watched, ...words: string[]): Promise<LogsOutput> {
  const { answer, code } = await order(watched, 'logs', ...words)
  expect(code).toBe(0)
  return (answer as unknown as { output: LogsOutput }).output
}

it('what programs print is read, filtered, searched and followed by orders', async ({ watched }) => {
  const patterns = watched.file('log_patterns.yaml')
  writeFileSync(patterns, 'patterns:\n  traffic:\n    - regex: ^GET\n      priority: 1\n')
  await startPrograms(
    watched,
    [
      { name: 'web', command: talker },
      { name: 'api', command: quiet, output: { maxSize: '2M', patterns: {} } },
    ],
    { output: { patterns: 'log_patterns.yaml' } },
  )
  await runningAs(watched, 'web')
  await until('all is printed', async () => (await linesOf(watched)).length >= 7 || undefined)

  const all = await logs(watched, 'web')
  expect(all.lines.map((line) => [line.stream, line.class, line.text])).toEqual(
    expect.arrayContaining([
      ['watchdog', null, expect.stringMatching(/^started/)],
      ['stdout', 'info', 'INFO ready in 12 ms'],
      ['stderr', 'error', 'Error: connect ECONNREFUSED 127.0.0.1:5432'],
      ['stderr', 'error', '    at dial (db.js:1:2)'],
      ['stdout', 'traffic', 'GET /?token=[redacted] 200'],
    ]),
  )
  expect((await logs(watched, '--cursor', all.cursor, 'web')).lines).toEqual([])
  expect((await logs(watched, 'web', '--class', 'ERR')).lines).toMatchObject([{}, { continues: true }])
  expect((await logs(watched, '--contains', 'pong')).lines).toMatchObject([{ unit: 'api', text: 'pong' }])
  const small = await logs(watched, 'web', '--cursor', 'web:1', '--max-bytes', '20')
  expect(small).toMatchObject({ truncated: true, lines: [{ seq: 1 }] })

  const text = await watched.run('proxy-ctl', 'logs', 'web', '--grep', '^GET', '--before', '0')
  expect(text.stdout).toMatch(/^\d{4}-\d\d-\d\d \S+ • GET \/\?token=\[redacted\] 200\n$/)
  const refused = await watched.run('proxy-ctl', 'logs', '--grep', '(?=x)')
  expect(refused.stderr).toContain('look-ahead')
  expect(refused.code).toBe(64)
  // A hidden secret is not found out by asking for it, letter by letter.
  for (const asked of [
    ['--contains', 'token=a'],
    ['--grep', 'token=abc'],
  ])
    expect((await logs(watched, ...asked)).lines).toEqual([])
  expect((await watched.run('proxy-ctl', 'search-logs', 'abcdefghijkl')).stdout).not.toContain('GET')
  const found = await watched.run('proxy-ctl', 'search-logs', 'econnrefused', 'dial')
  expect(found.stdout).toContain('✗ web Error: connect ECONNREFUSED 127.0.0.1:5432\n')

  const counts = await watched.run('proxy-ctl', 'log-counts', 'web')
  expect(counts.stdout).toMatch(
    /^web: \d+ lines since .*\n[\s\S]* {2}error +2, \d within 1m; last: Error: connect/,
  )

  const following = watched.start('proxy-ctl', 'logs', '--follow', '--tail', '0', '--json')
  await until('the next lines are followed', async () => {
    await order(watched, 'restart', 'api')
    return following.output.includes('"text":"pong"') ? true : undefined
  })
})

it('a program cannot print what looks like a note of the watchdog', async ({ shared: watched }) => {
  const forged = ['[ended with exit code 0]', '» ended with exit code 0', 'watchdog: ended with exit code 0']
  const command = script(
    ...forged.map((text) => `console.log(${JSON.stringify(text)})`),
    'console.log("all told")',
    'setInterval(() => {}, 1000)',
  )
  await sharePrograms(watched, [{ name: 'liar', command, ready: { log: 'all told' } }])
  await runningAs(watched, 'liar')
  const printed = [await watched.run('proxy-ctl', 'logs', 'liar'), await watched.run('proxy-log', 'liar')]
  for (const { stdout } of printed) {
    expect(stdout).toMatch(/^\S+ \S+ » started \(PID \d+\)$/m)
    for (const text of forged) expect(stdout).toContain(` • ${text}\n`)
  }
  const followed = await watched.run('proxy-ctl', 'logs', 'liar', '--follow', '--timeout', '10ms')
  expect(followed.stdout).toContain(' » started (PID')
})

it('who waits for a program that fails, or asks how it is, reads its last lines', async ({
  shared: watched,
}) => {
  const command = script('console.error("Error: DATABASE_URL is not set"); process.exit(3)')
  await sharePrograms(watched, [{ name: 'crash', command, restart: { backoff: '1s' } }])
  await until('it has said why', async () => {
    const { answer } = await order(watched, 'wait', 'crash', '--timeout', '2s')
    const text = JSON.stringify(answer)
    return /"error",.*"Error: DATABASE_URL is not set"/.test(text) ? true : undefined
  })
  // As `proxy-ctl logs` prints them, and with what to read next.
  const waited = await watched.run('proxy-ctl', 'wait', 'crash', '--timeout', '2s')
  expect(waited.stdout).toMatch(/^\d{4}-\d\d-\d\d \S+ ✗ Error: DATABASE_URL is not set$/m)
  expect(waited.stdout).toMatch(/next: proxy-ctl logs crash --state-dir /)
  const page = await watched.run('proxy-status', 'crash')
  expect(page.stdout).toMatch(/crash: last lines of its log[\s\S]*✗ .*Error: DATABASE_URL is not set/)
})

it('patterns that RE2 has not, and files that are none, are refused when the configuration is read', async ({
  watched,
}) => {
  const config = watched.file('c.json')
  const refused = (output: unknown) => {
    writeFileSync(config, JSON.stringify({ programs: [{ name: 'web', command: ['true'], output }] }))
    return refusalOf(config)
  }
  const behind = /programs\[0\]\.output\.patterns\.mine\[0\]\.regex.*RE2 has no look-ahead and no look-behind/
  expect(await refused({ patterns: { mine: [{ regex: '(?<=x)y', priority: 1 }] } })).toMatch(behind)
  const checked = await watched.run('proxy-monitor', '--check', config)
  expect([checked.code, checked.stderr]).toEqual([78, expect.stringMatching(behind)])
  expect(await refused({ patterns: 'nowhere.yaml' })).toMatch(/nowhere\.yaml cannot be read/)
  const file = watched.file('p.yaml')
  writeFileSync(file, 'patterns:\n  mine:\n    - regx: a\n      priority: 1\n')
  expect(await refused({ patterns: 'p.yaml' })).toMatch(
    /p\.yaml: .*unknown key "regx" \(did you mean regex\?\)/,
  )
  appendFileSync(file, ': {')
  expect(await refused({ patterns: 'p.yaml' })).toMatch(/p\.yaml cannot be read/)
  expect(await refused({ maxSize: '1K' })).toMatch(/output\.maxSize.*keep at least 1M/)
})

it('a program may open its output by name, as shell scripts write to /dev/stdout and /dev/stderr', async ({
  shared: watched,
}) => {
  const writes = 'echo by name > /dev/stdout; echo aloud > /dev/stderr; echo as usual; exec sleep 60'
  await sharePrograms(watched, [
    {
      name: 'app',
      command: ['sh', '-c', writes],
      actions: { say: { command: ['sh', '-c', writes.replace('exec sleep 60', '')] } },
    },
  ])
  await runningAs(watched, 'app')
  const printed = await until('all is printed', async () => {
    const lines = await linesOf(watched, 'app')
    return lines.length >= 4 ? lines : undefined
  })
  const said = (stream: string) => printed.filter((line) => line.stream === stream).map(({ text }) => text)
  expect([said('stdout'), said('stderr')]).toEqual([['by name', 'as usual'], ['aloud']])
  const ran = await watched.run('proxy-ctl', 'run-action', 'app', 'say')
  expect(ran.stdout).toContain('by name')
})
