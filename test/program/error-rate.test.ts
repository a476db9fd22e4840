// output.errorRate: too many errors are an incident, or a failure of the program.
import { readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { programWhen, runningAs, script, sharePrograms } from '../support/programs.ts'

/** Prints five errors when it is asked to, by SIGUSR2. */
const burst = script(
  'const print = () => { for (let i = 0; i < 5; i++) console.error("ERROR", i) }',
  'process.on("SIGUSR2", print)',
  'console.log("up")',
  'setInterval(() => {}, 1000)',
)

/** A signal that comes before this would end it. */
const ready = { log: 'up' }

describe('output.errorRate', () => {
  it('opens an incident above it, closes it when the errors are over, and leaves the program alone', async ({
    shared: watched,
  }) => {
    await sharePrograms(watched, [
      { name: 'web', command: burst, ready, output: { errorRate: { above: 4, within: '5s' } } },
      { name: 'calm', command: burst, ready, output: { errorRate: { above: 5, within: '5s' } } },
    ])
    const pid = await runningAs(watched, 'web')
    const calm = await runningAs(watched, 'calm')
    process.kill(calm, 'SIGUSR2')
    process.kill(pid, 'SIGUSR2')
    const loud = await programWhen(watched, 'web', ({ state }) => state === 'degraded')
    expect(loud.reason).toBe('it is not healthy: it printed 5 errors within 5 s; the limit is 4')
    const { incidents } = await watched.statusWhen(
      'an incident is open',
      (report) => report.incidents.length > 0,
    )
    expect(incidents).toMatchObject([{ forward: 'web', subject: 'errors' }])
    const again = await programWhen(watched, 'web', ({ state }) => state === 'healthy')
    expect([again.pid, again.restarts]).toEqual([pid, 0])
    await watched.statusWhen('the incident is closed', (report) => report.incidents.length === 0)
    expect((await programWhen(watched, 'calm', () => true)).pid).toBe(calm)
  })

  it('restarts the program where that is asked for, once for these errors', async ({ shared: watched }) => {
    const errorRate = { above: 4, within: '10m', action: 'restart' }
    await sharePrograms(watched, [{ name: 'anew', command: burst, ready, output: { errorRate } }])
    const pid = await runningAs(watched, 'anew')
    process.kill(pid, 'SIGUSR2')
    const next = await runningAs(watched, 'anew', pid)
    const { restarts } = await programWhen(watched, 'anew', ({ state }) => state === 'healthy')
    expect([next === pid, restarts]).toEqual([false, 1])
    const why = await watched.run('proxy-log', '--why', 'anew')
    expect(why.stdout).toContain('it printed 5 errors within 10 min; the limit is 4')
    expect(readFileSync(watched.file('events.jsonl'), 'utf8')).toContain('it printed 5 errors within 10 min')
  })
})
