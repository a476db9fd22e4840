import { getEventListeners } from 'node:events'
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { askCommand } from '../../src/program/ready/command.ts'
import { it } from '../support/fixtures.ts'
import { first, order } from '../support/ordered.ts'
import { programWhen, runningAs, script, sharePrograms } from '../support/programs.ts'
import { freePort } from '../support/tools.ts'

/** An HTTP server that says 503 until a file is there, and again when another one is. */
function moody(port: number, folder: string): string[] {
  return script(
    `const fs = require('node:fs'), there = (name) => fs.existsSync(${JSON.stringify(folder)} + '/' + name)`,
    'const status = () => there("ill") ? 503 : there("well") ? 200 : 503',
    `require('node:http').createServer((q, r) => { r.statusCode = status(); r.end() }).listen(${port}, '127.0.0.1')`,
  )
}

describe('A program that is asked whether it works', { timeout: 120_000 }, () => {
  it('by http, is ready when its answer is good, and restarted when that is no longer so', async ({
    shared: watched,
  }) => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}/health`
    const health = { http: url, interval: '100ms', failureThreshold: 2 }
    await sharePrograms(watched, [
      {
        name: 'web',
        command: moody(port, watched.directory),
        ready: { http: url, interval: '50ms' },
        health,
      },
    ])
    await programWhen(watched, 'web', ({ state }) => state === 'starting')
    writeFileSync(watched.file('well'), '')
    const pid = await runningAs(watched, 'web')
    writeFileSync(watched.file('ill'), '')
    await watched.logLine(
      /web is not healthy: \S+\/health answers with status 503 \(\d+ times in a row\) \(failure #1\)/,
    )
    await watched.logLine(new RegExp(`web was ended \\(PID: ${pid}\\)`))
  })

  it('by a command, is ready when that ends with 0', async ({ shared: watched }) => {
    const isThere = script(
      `process.exit(require('node:fs').existsSync('here') && process.env.HERE === 'yes' ? 0 : 1)`,
    )
    await sharePrograms(watched, [
      {
        name: 'asked',
        command: script('setInterval(() => {}, 1000)'),
        env: { HERE: 'yes' },
        ready: { command: isThere, interval: '50ms' },
      },
    ])
    await programWhen(watched, 'asked', ({ state }) => state === 'starting')
    writeFileSync(watched.file('here'), '')
    await runningAs(watched, 'asked')
  })

  it('by a command, leaves nothing with the signal that may end it, however often', async () => {
    const { signal } = new AbortController()
    const asked = { command: ['false'], cwd: '/', environment: process.env } as const
    expect(await askCommand(asked, signal)).toBe('false ended with exit code 1')
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('is only alerted where that is asked for', async ({ shared: watched }) => {
    const health = {
      command: script('process.exit(7)'),
      interval: '100ms',
      failureThreshold: 1,
      action: 'alert',
    }
    await sharePrograms(watched, [{ name: 'worker', command: script('setInterval(() => {}, 1000)'), health }])
    const pid = await runningAs(watched, 'worker')
    const report = await watched.statusWhen('an incident', ({ incidents }) =>
      incidents.some(({ forward }) => forward === 'worker'),
    )
    expect(report.incidents.find(({ forward }) => forward === 'worker')?.message).toMatch(
      /worker is not healthy: \S+ ended with exit code 7/,
    )
    expect(report.programs.find(({ name }) => name === 'worker')?.pid).toBe(pid)
    const ill = await programWhen(watched, 'worker', ({ state }) => state === 'degraded')
    expect(ill.reason).toMatch(/^it is not healthy: \S+ ended with exit code 7(?: \(\d+ times in a row\))?$/)
    const { units } = await order(watched, 'list')
    expect(units).toMatchObject([
      { state: 'degraded', phase: 'running', reason: expect.stringMatching(/not healthy/) },
    ])
    const waited = first(await order(watched, 'wait', 'worker', '--for', 'healthy', '--timeout', '100ms'))
    expect(waited.error?.message).toMatch(
      /^worker is not healthy yet: it runs, and \S+ ended with exit code 7/,
    )
  })
})
