import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'vitest'
import { z } from 'zod'
import type { StatusReport } from '../../src/record/shapes/status-report.ts'
import type { History } from '../../src/report/history.ts'
import { commandFile, RunningCommand, run, temporaryDirectory } from '../support/children.ts'
import { checkout, freePort } from '../support/tools.ts'
import { echoServer } from '../support/watched.ts'

interface Scene {
  readonly directory: string
  readonly port: number
  readonly status: (...words: string[]) => ReturnType<typeof run>
  readonly watch: (...words: string[]) => RunningCommand
}

/** A monitor with one forward to a target that answers. */
async function scene(t: TestContext): Promise<Scene> {
  const directory = temporaryDirectory(t)
  const [port, target] = [await freePort(), await echoServer()]
  t.onTestFinished(() => target.close())
  const configuration = path.join(directory, 'c.json')
  const forwards = [{ name: 'web', listen: port, target: `127.0.0.1:${target.port}` }]
  writeFileSync(configuration, JSON.stringify({ interval: '1s', forwards }))
  const state = ['--state-dir', path.join(directory, 'state')]
  const words = ['--config', configuration, '--stop-forwards', ...state]
  const monitor = new RunningCommand(commandFile('proxy-monitor'), words)
  t.onTestFinished(async () => {
    monitor.child.kill('SIGTERM')
    await monitor.ended
  })
  await monitor.until((out) => out.includes('started successfully'))
  return {
    directory: path.join(directory, 'state'),
    port,
    status: (...more) => run('proxy-status', [...more, ...state]),
    watch: (...more) => new RunningCommand(commandFile('proxy-status'), [...more, ...state]),
  }
}

const schema = () =>
  z.fromJSONSchema(JSON.parse(readFileSync(path.join(checkout, 'schema', 'status.schema.json'), 'utf8')))

test('a living monitor: waited for, asked by name, told in JSON, killed and told again', async (t) => {
  const { directory, port, status, watch } = await scene(t)

  const healthy = await status('--wait', 'healthy', '--timeout', '30s')
  assert.equal(healthy.code, 0, healthy.stdout + healthy.stderr)
  assert.match(healthy.stdout, /✓ web +healthy/)

  const report = JSON.parse((await status('web', '--json')).stdout) as StatusReport
  assert.ok(schema().safeParse(report).success)
  const [detail] = report.details
  assert.equal(detail?.identity?.pid, report.forwards[0]?.pid)
  assert.ok(detail?.events.some(({ kind }) => kind === 'started'))
  assert.ok(detail?.log.some(({ message }) => message.startsWith('Listening on')))
  assert.match((await status(String(port))).stdout, /web: last events/)

  const unknown = await status('nobody')
  assert.deepEqual([unknown.code, unknown.stdout], [64, ''])
  assert.match(unknown.stderr, /no forward "nobody"; there are web/)

  const lines = watch('--watch', '100ms')
  await lines.until((out) => out.includes('web'))
  process.kill(report.forwards[0]?.pid ?? 0, 'SIGKILL')
  const restarted = await status('--wait', 'healthy')
  assert.equal(restarted.code, 0)

  const history = JSON.parse((await status('--history', 'web', '--json')).stdout) as History
  assert.equal(history.forwards[0]?.weeks.at(-1)?.failures, 1)
  assert.match((await status('--history')).stdout, /failed once this week/)
  const why = await run('proxy-log', ['--why', 'web', '--state-dir', directory])
  assert.match(
    why.stdout,
    /seen +PID \d+ (?:is gone|was killed).*\n.*decided +started it[\s\S]*Back after \d+ ms/,
  )

  lines.child.kill('SIGINT')
  const { code, stdout } = await lines.ended
  assert.equal(code, 0)
  const said = stdout
    .trim()
    .split('\n')
    .map((line) => line.replace(/^\S+ \S+ /, ''))
  assert.deepEqual(said.slice(0, 2), ['port-watchdog RUNNING', 'web healthy'])
  assert.ok(
    said.every((line, i) => line !== said[i - 1]),
    `a line without a change:\n${stdout}`,
  )
})

test('--wait gives up after its time, with 124 and what is missing', async (t) => {
  const directory = temporaryDirectory(t)
  const { code, stderr } = await run('proxy-status', [
    '--wait',
    'running',
    '--timeout',
    '1500ms',
    '--state-dir',
    directory,
  ])
  assert.equal(code, 124)
  assert.match(stderr, /^waiting 0 s: the monitor is STOPPED: /)
  assert.match(stderr, /not running in time: the monitor is STOPPED/)
  const wrong = await run('proxy-status', ['--wait', 'perfect'])
  assert.equal(wrong.code, 64)
  assert.equal((await run('proxy-status', ['--timeout', '1s'])).code, 64)
})

test('--watch takes a number for a port, not for seconds, and no time that is too short', async (t) => {
  const state = ['--state-dir', temporaryDirectory(t)]
  for (const [words, said] of [
    [['--watch', '6274'], /no forward "6274"/],
    [['--watch', 'web'], /no forward "web"/],
    [['--watch', '5'], /"5" has no unit; use 5s, or put 5 before --watch/],
    [['--watch', '0'], /at least 100ms/],
    [['--watch=50ms'], /at least 100ms/],
    [['--watch=x'], /not a duration/],
  ] as const) {
    const { code, stderr } = await run('proxy-status', [...words, ...state])
    assert.equal(code, 64, words.join(' '))
    assert.match(stderr, said)
  }
})

test('--watch --json: a line when something changed, and quiet when the reader goes away', async (t) => {
  const command = new RunningCommand(commandFile('proxy-status'), [
    '--watch',
    '100ms',
    '--json',
    '--state-dir',
    temporaryDirectory(t),
  ])
  const out = await command.until((text) => text.includes('\n'))
  assert.equal((JSON.parse(out) as StatusReport).monitor.cause, 'never-ran')
  command.child.kill('SIGTERM')
  const { code, stdout, stderr } = await command.ended
  assert.deepEqual([code, stdout.trim().split('\n').length, stderr], [3, 1, ''])
})
