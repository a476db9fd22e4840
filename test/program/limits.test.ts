// What a program may use, with all that it has started.
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { programWhen, script, startPrograms } from '../support/programs.ts'

/** Opens so many files, half of them in a child, as `npm run` would. */
const greedy = (count: number) =>
  script(
    `const open = "for (let i = 0; i < ${count / 2}; i++) require('node:fs').openSync('/dev/null')"`,
    'eval(open)',
    `require('node:child_process').spawn(process.execPath, ['-e', open + ';setInterval(() => {}, 1000)'])`,
    'setInterval(() => {}, 1000)',
  )

describe('The limit of open files', { timeout: 120_000 }, () => {
  it('is of the whole tree, and alerts or restarts', async ({ watched }) => {
    await startPrograms(watched, [
      { name: 'alerted', command: greedy(400), limits: { openFiles: 300 } },
      { name: 'restarted', command: greedy(400), limits: { openFiles: 300, action: 'restart' } },
      { name: 'modest', command: greedy(100), limits: { openFiles: 300 } },
    ])
    await watched.logLine(/alerted uses \d+ open files, more than its limit of 300 \(3 samples in a row\)/)
    const alerted = await programWhen(watched, 'alerted', ({ state }) => state === 'degraded')
    expect(alerted.reason).toMatch(/uses 4\d\d open files, more than its limit of 300/)
    expect(alerted.limits).toMatchObject({ openFiles: 300, exceeded: [{ resource: 'openFiles' }] })
    await programWhen(watched, 'restarted', ({ plannedRestarts }) => plannedRestarts > 0)
    const modest = await programWhen(watched, 'modest', ({ usage }) => usage?.openFiles !== undefined)
    expect(modest.state).toBe('healthy')
    expect(modest.usage?.openFiles).toBeGreaterThan(100)
  })
})
