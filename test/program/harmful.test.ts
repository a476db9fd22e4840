// Programs that do what no program should, under a real monitor: it goes on, they are kept alive, and nothing of them is lost unseen.
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { temporaryDirectory } from '../support/children.ts'
import { linesOf, order } from '../support/ordered.ts'
import { processesWith } from '../support/process-table.ts'
import { runningAs, script, startPrograms } from '../support/programs.ts'
import { Resident } from '../support/resident.ts'
import { skipFor, until } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'

const waits = 'setInterval(() => {}, 1e6)'

describe('A program that', () => {
  const watched = new Watched()
  beforeAll(async () => {
    await startPrograms(watched, [
      {
        name: 'silent',
        command: script(
          "const { closeSync } = require('node:fs'); closeSync(1); closeSync(2)",
          waits,
          '// silent and harmful',
        ),
      },
      {
        name: 'deaf',
        command: script(
          "process.on('SIGTERM', () => console.log('no'))",
          waits,
          "console.log('all set') // deaf and harmful",
        ),
        ready: { log: 'all set' },
        stop: { grace: '300ms' },
      },
      {
        name: 'binary',
        command: script(
          'process.stdout.write(Buffer.from(Array.from({ length: 65536 }, (_, n) => (n * 7919) >> 3)))',
          "console.log('\\nafter')",
          waits,
        ),
      },
      {
        name: 'endless',
        command: script(
          "for (let i = 0; i < 1000; i++) process.stdout.write('a line '.repeat(1000))",
          "console.log('\\nafter')",
          waits,
        ),
      },
    ])
  })
  afterAll(() => watched.remove())

  it('closes its stdout goes on, is healthy, and stops by order', async () => {
    const pid = await runningAs(watched, 'silent')
    const before = (await watched.status()).takenAt
    // Some rounds later it is the same.
    await watched.statusWhen(
      'some rounds have passed',
      ({ takenAt }) => Date.parse(takenAt) - Date.parse(before) > 1000,
    )
    expect(await runningAs(watched, 'silent')).toBe(pid)
    expect((await watched.run('proxy-ctl', 'stop', 'silent')).code).toBe(0)
    expect(processesWith('// silent and harmful')).toEqual([])
  })

  it('ignores SIGTERM is killed after its grace, and that is told', async () => {
    await runningAs(watched, 'deaf')
    expect((await order(watched, 'stop', 'deaf')).code).toBe(0)
    expect(processesWith('// deaf and harmful')).toEqual([])
    const said = (await linesOf(watched, 'deaf')).map(({ text }) => text)
    expect(said).toContain('no')
    expect(said.at(-1)).toMatch(/SIGKILL/)
  })

  it('prints binary is read to its end, on a terminal, too, without a control character', async () => {
    const said = await until('the last line is there', async () => {
      const lines = await linesOf(watched, 'binary')
      return lines.at(-1)?.text === 'after' ? lines : undefined
    })
    expect(said.length).toBeGreaterThan(10)
    const { stdout } = await watched.run('proxy-ctl', 'logs', 'binary')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
    expect(stdout).not.toMatch(/[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f]/)
  })

  it('prints a million lines without a line end has the beginning of one line, with a mark', async () => {
    const said = await until('the last line is there', async () => {
      const lines = await linesOf(watched, 'endless')
      return lines.at(-1)?.text === 'after' ? lines : undefined
    })
    expect(said.at(-2)).toMatchObject({
      cut: true,
      text: expect.stringMatching(/^(a line )+.*\[6991808 bytes cut\]$/),
    })
  })
})

const mayMount = process.getuid?.() === 0 && process.platform === 'linux'

it('Disk full under a log flood: monitor and program go on, it is told, and lines are kept again when there is room', {
  skip: skipFor(!mayMount && 'a full disk needs root to mount one'),
}, async (t) => {
  const state = path.join(temporaryDirectory(t), 'small')
  mkdirSync(state, { mode: 0o700 })
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'tmpfs', state]).status).toBe(0)
  t.onTestFinished(() => void spawnSync('umount', ['-l', state]))
  const filler = path.join(state, 'filler')
  const flood = "let n = 0; setInterval(() => console.log(('line ' + n++ + '\\n').repeat(200)), 5)"
  const file = path.join(path.dirname(state), 'flood.json')
  writeFileSync(file, JSON.stringify({ programs: [{ name: 'flood', command: script(flood) }] }))
  const monitor = new Resident(command('proxy-monitor', '--config', file, '--state-dir', state), {})
  t.onTestFinished(async () => void (await monitor.stop('SIGKILL')))
  await monitor.line(/flood started successfully/)
  writeFileSync(filler, Buffer.alloc(1 << 20))
  const ask = async (order: string) => {
    const asked = { order, input: { units: ['flood'] } }
    // biome-ignore lint/suspicious/noExplicitAny: what is read of it is compared
    const answer = (await askControl(path.join(state, 'control.sock'), 'order', asked, 20_000)) as any
    return answer.output.units[0]
  }
  const full = await until('the disk is full', async () => {
    const counts = await ask('log-counts')
    return counts.problem === null ? undefined : counts
  })
  expect(full.problem).toContain('ENOSPC')
  rmSync(filler)
  const after = await until('lines are kept again', async () => {
    const counts = await ask('log-counts')
    return counts.problem === null ? counts : undefined
  })
  expect(after.lost.lines).toBeGreaterThan(0)
  expect(await ask('list')).toMatchObject({ name: 'flood', state: 'healthy', restarts: 0 })
  await monitor.stop('SIGTERM')
})
