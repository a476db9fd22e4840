// What a program may use, with all that it has started.
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { programWhen, runningAs, script, startPrograms, writePrograms } from '../support/programs.ts'

/** Opens so many files, half of them in a child, as `npm run` would. */
const greedy = (count: number) =>
  script(
    `const open = "for (let i = 0; i < ${count / 2}; i++) require('node:fs').openSync('/dev/null')"`,
    'eval(open)',
    `require('node:child_process').spawn(process.execPath, ['-e', open + ';setInterval(() => {}, 1000)'])`,
    'setInterval(() => {}, 1000)',
  )

const prlimit = ['/usr/bin/prlimit', '/bin/prlimit'].find((file) => existsSync(file))

describe('The limit of open files', { timeout: 120_000 }, () => {
  it.skipIf(prlimit === undefined)(
    'is one that the system keeps, for each process of the program',
    async ({ watched }) => {
      const opens = [
        'const { openSync } = require("node:fs")',
        'let opened = 0',
        'try { for (;;) { openSync("/dev/null"); opened++ } } catch (error) { console.log(error.code, opened) }',
      ]
      const bounded = (name: string, more: object = {}) => ({
        name,
        command: script(...opens, 'setInterval(() => {}, 1000)'),
        ready: { log: 'EMFILE' },
        limits: { openFiles: 120 },
        ...more,
      })
      await startPrograms(watched, [
        bounded('plain'),
        bounded('kept', { keep: true }),
        { name: 'gone', command: ['./nobody'], limits: { openFiles: 120 }, restart: { backoff: '1m' } },
      ])
      const pids = [await runningAs(watched, 'plain'), await runningAs(watched, 'kept')]
      for (const pid of pids)
        expect(readFileSync(`/proc/${pid}/limits`, 'utf8')).toMatch(/Max open files +120 +120 /)
      expect(readFileSync(watched.file('program_plain.log'), 'utf8')).toMatch(/EMFILE \d+\n/)
      // As many as it may have are too many for a limit that nothing can exceed.
      await watched.logLine(/plain uses 12\d open files, (?:as many as|more than) its limit of 120/)
      const gone = await programWhen(watched, 'gone', ({ reason }) => reason !== null)
      expect(gone.reason).toContain('nobody cannot be run')
      // Another limit needs another process.
      writePrograms(watched, [
        bounded('plain', { limits: { openFiles: 130 } }),
        bounded('kept', { keep: true }),
      ])
      await watched.run('proxy-ctl', 'reload')
      const { pid: next } = await programWhen(watched, 'plain', ({ pid }) => pid !== null && pid !== pids[0])
      expect(readFileSync(`/proc/${next}/limits`, 'utf8')).toMatch(/Max open files +130 +130 /)
      expect((await programWhen(watched, 'kept', () => true)).pid).toBe(pids[1])
      await watched.run('proxy-ctl', 'stop-monitor', '--stop-forwards')
    },
  )

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
