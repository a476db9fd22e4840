// `pty`: a program with a terminal of its own, and a person at it.
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { order } from '../support/ordered.ts'
import { processesWith } from '../support/process-table.ts'
import {
  programWhen,
  refusalOf,
  runningAs,
  script,
  startPrograms,
  writePrograms,
} from '../support/programs.ts'
import { PseudoTerminal } from '../support/pseudo-terminal.ts'
import { Resident } from '../support/resident.ts'
import { command } from '../support/watched.ts'

/** Tells what terminal it has, every key and every change of its size. Its child ignores the end of the terminal. */
const keys = (mark: string) =>
  script(
    `const size = () => process.stdout.columns + 'x' + process.stdout.rows`,
    `require('node:child_process').spawn('sh', ['-c', 'trap "" HUP TERM; sleep 1000; : ${mark}'], { stdio: 'ignore' })`,
    `process.stdin.setRawMode(true).on('data', (key) => console.log('key', JSON.stringify(String(key))))`,
    `process.stdout.on('resize', () => console.log('size', size()))`,
    `console.error('\\x1b[31mbegun\\x1b[0m', process.stdout.isTTY, process.stderr.isTTY, size())`,
  )

describe('A program with a terminal', { timeout: 120_000 }, () => {
  it('takes keys, also those of a person who is attached, and is ended with all of its session', async ({
    watched,
  }) => {
    const mark = `mark-${process.pid}-${Date.now()}`
    await startPrograms(watched, [
      {
        name: 'keys',
        command: keys(mark),
        ready: { log: 'begun true true 100x30' },
        pty: { columns: 100, rows: 30 },
        input: true,
        stop: { grace: '1s' },
      },
      { name: 'lines', command: script('process.stdin.pipe(process.stdout)'), input: true },
    ])
    const pid = await runningAs(watched, 'keys')
    const ctl = (...words: string[]) => watched.run('proxy-ctl', ...words)
    const { stdout } = await ctl('logs', 'keys', '--json')
    expect(stdout).toContain('begun true true 100x30')
    expect(stdout).not.toContain('"stderr"')
    expect((await ctl('send', 'keys', 'y', '--no-newline', '--wait-for', '^key')).stdout).toContain('key "y"')

    const attach = command('proxy-ctl', 'attach', 'keys', '--state-dir', watched.directory)
    const terminal = new PseudoTerminal(attach, { columns: 90, rows: 20 })
    await terminal.until(/Ctrl-\] leaves it/)
    await terminal.until(/size 90x20/)
    terminal.press('\x03')
    await terminal.until(/key "\\u0003"/)
    terminal.press('\x1b[A')
    await terminal.until(/key "\\u001b\[A"/)
    terminal.press('\x1d')
    expect(await terminal.ended).toMatchObject({ code: 0, output: expect.stringContaining('it goes on') })
    expect(await programWhen(watched, 'keys', () => true)).toMatchObject({ pid, state: 'healthy' })
    const audit = readFileSync(watched.file('audit.jsonl'), 'utf8')
    expect(audit).toContain('"order":"type"')
    expect(audit).not.toContain('"keys":')

    // One without a terminal is attached to by lines, and Ctrl-D leaves it.
    const plain = new PseudoTerminal(
      command('proxy-ctl', 'attach', 'lines', '--state-dir', watched.directory),
    )
    await plain.until(/started \(PID/)
    plain.press('typed\r')
    await plain.until(/typed[\s\S]*typed/)
    plain.press('\x04')
    expect((await plain.ended).code).toBe(0)

    expect(processesWith(mark).length).toBeGreaterThan(1)
    await order(watched, 'stop', 'keys')
    expect(processesWith(mark)).toEqual([])
  })

  it('is not started without what makes terminals, and says what to type', async ({ watched }) => {
    const hook = watched.file('hide.cjs')
    const hide = `const modules = require('node:module')
    const find = modules._resolveFilename
    modules._resolveFilename = (name, ...rest) => {
      if (name === '@lydell/node-pty') throw new Error('not here')
      return find(name, ...rest)
    }`
    writeFileSync(hook, hide)
    const file = writePrograms(watched, [{ name: 'keys', command: ['true'], pty: true }])
    const monitor = command('proxy-monitor', '--config', file, '--state-dir', watched.directory)
    watched.adopt(new Resident(monitor, { NODE_OPTIONS: `--require ${hook}` }))
    await watched.logLine(
      /keys could not be started: a terminal \(pty\) needs @lydell\/node-pty; .*npm install/,
    )
    const refused = (more: object) => {
      writePrograms(watched, [{ name: 'keys', command: ['true'], pty: true, ...more }])
      return refusalOf(file)
    }
    expect(await refused({ keep: true })).toMatch(/pty: a program with keep cannot have a terminal/)
    expect(await refused({ socket: 8000 })).toMatch(/pty: a program with socket cannot have a terminal/)
  })
})
