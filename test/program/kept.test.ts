import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { first, order } from '../support/ordered.ts'
import { processesWith } from '../support/process-table.ts'
import {
  programWhen,
  runningAs,
  script,
  server,
  startPrograms,
  type WantedProgram,
  writePrograms,
} from '../support/programs.ts'
import { freePort, until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

/** Prints numbers on both streams as fast as it can, in small pieces that end anywhere. */
const counter = script(
  'let n = 0; let rest = ""',
  'const print = () => {',
  '  for (let i = 0; i < 10; i++) rest += "out " + ++n + "\\n"',
  '  const cut = rest.length - (n % 7)',
  '  process.stdout.write(rest.slice(0, cut)); rest = rest.slice(cut)',
  '  process.stderr.write("err " + n + "\\n")',
  '}',
  'setInterval(print, 5) // counter of kept lines',
)

/** All lines that are kept of a program, the rotated ones too, oldest first. */
function keptLines(watched: Watched, name: string): string[] {
  const log = `program_${name}.log`
  const numberOf = (file: string) => Number(file.slice(log.length + 1)) || Number.POSITIVE_INFINITY
  const files = readdirSync(watched.directory).filter((file) => file === log || file.startsWith(`${log}.`))
  const oldestFirst = files.sort((a, b) => numberOf(a) - numberOf(b))
  return oldestFirst.flatMap((file) => readFileSync(watched.file(file), 'utf8').split('\n').slice(0, -1))
}

const numbers = (lines: readonly string[], word: string) =>
  lines.flatMap((line) => (line.startsWith(`${word} `) ? [Number(line.slice(word.length + 1))] : []))

describe('A program with keep', { timeout: 120_000 }, () => {
  it('goes on when its monitor is killed, and not one of its lines is lost or told twice', async ({
    watched,
  }) => {
    const programs = [
      { name: 'count', command: counter, keep: true },
      { name: 'plain', command: script('setInterval(() => {}, 1000) // plain one') },
    ]
    let monitor = await startPrograms(watched, programs)
    const pid = await runningAs(watched, 'count')
    const plain = await runningAs(watched, 'plain')
    for (let kill = 0; kill < 2; kill++) {
      const before = keptLines(watched, 'count').length
      await until('it prints', async () =>
        keptLines(watched, 'count').length > before + 2000 ? true : undefined,
      )
      await monitor.stop('SIGKILL')
      if (kill === 0) {
        const { programs: left } = await watched.status()
        expect(left.map(({ name, state }) => [name, state])).toEqual(
          expect.arrayContaining([
            ['count', 'healthy'],
            ['plain', 'degraded'],
          ]),
        )
      }
      monitor = await startPrograms(watched, programs)
      expect(await runningAs(watched, 'count')).toBe(pid)
    }
    await watched.logLine(new RegExp(`count is already running \\(PID: ${pid}\\), adopted`))
    // The other one is ended and started anew: nobody could read what it printed.
    await runningAs(watched, 'plain', plain)
    expect(processesWith('// plain one')).toHaveLength(1)
    expect(processesWith('// counter of kept lines')).toEqual([pid])
    expect(first(await order(watched, 'stop', 'count'))).toMatchObject({ outcome: 'done' })
    const lines = keptLines(watched, 'count')
    // The last line has no end: it was ended over it.
    const out = numbers(lines, 'out').slice(0, -1)
    expect(out.length).toBeGreaterThan(4000)
    expect(out).toEqual(out.map((_, index) => index + 1))
    const err = numbers(lines, 'err')
    expect(err).toEqual(err.map((_, index) => (index + 1) * 10))
    expect(lines.filter((line) => line.includes('taken over by another monitor'))).toHaveLength(2)
    // What was read takes no room: the file only seems to grow.
    expect(statSync(watched.file('program_count.stdout')).blocks * 512).toBeLessThan(8 * 1024 * 1024)
  })

  it('that dies under a monitor which did not start it is started again at once, and its last words are kept', async ({
    watched,
  }) => {
    const port = await freePort()
    const lines = ['process.on("SIGUSR2", () => { console.error("Error: no more"); process.exit(3) })']
    const programs = [{ name: 'web', command: server(port, ...lines), ready: { port }, keep: true }]
    // No round finds it.
    const monitor = await startPrograms(watched, programs, { interval: '60s' })
    const pid = await runningAs(watched, 'web')
    await monitor.stop('SIGTERM')
    expect(processesWith(`listen(${port},`)).toEqual([pid])
    await startPrograms(watched, programs, { interval: '60s' })
    await watched.logLine(/web is already running/)
    process.kill(pid, 'SIGUSR2')
    await runningAs(watched, 'web', pid)
    await watched.logLine(new RegExp(`web is not running: PID ${pid} is gone; it said: Error: no more`))
    expect(keptLines(watched, 'web').join('\n')).toMatch(/has ended; its exit code is not known/)
    // A second monitor is refused, and starts nothing.
    const second = await watched.run('proxy-monitor', '--config', watched.file('configuration.json'))
    expect(second.code).toBe(69)
    expect(processesWith(`listen(${port},`)).toHaveLength(1)
  })

  it('takes input from the next monitor, and is ended with the monitor only where that is asked for', async ({
    watched,
  }) => {
    const echo = script(
      'process.stdin.on("data", (text) => console.log("got", String(text).trim()))',
      'setInterval(() => {}, 1000)',
    )
    const programs = [{ name: 'echo', command: echo, keep: true, input: true }]
    const monitor = await startPrograms(watched, programs)
    const pid = await runningAs(watched, 'echo')
    const stopped = await watched.run('proxy-ctl', 'stop-monitor')
    expect(stopped.stdout).toContain(`Its programs keep running: echo (PID: ${pid})`)
    await monitor.ended()
    await startPrograms(watched, programs)
    expect(await runningAs(watched, 'echo')).toBe(pid)
    const { answer } = await order(watched, 'send', 'echo', 'hello', '--wait-for', 'got hello')
    expect(answer).toMatchObject({ output: { matched: true } })
    await watched.run('proxy-ctl', 'stop-monitor', '--stop-forwards')
    expect(processesWith('String(text).trim()')).toEqual([])
  })

  it('whose options have changed meanwhile is taken over and restarted, also when it is to be kept no more', async ({
    watched,
  }) => {
    const sleeper = { name: 'web', command: script('setInterval(() => {}, 1000) // sleeper'), keep: true }
    let monitor = await startPrograms(watched, [sleeper])
    const pid = await runningAs(watched, 'web')
    await monitor.stop('SIGKILL')
    monitor = await startPrograms(watched, [{ ...sleeper, env: { X: 1 } }])
    const second = await runningAs(watched, 'web', pid)
    await watched.logLine(/web was ended \(PID: \d+\): its options have changed/)
    await monitor.stop('SIGKILL')
    monitor = await startPrograms(watched, [{ ...sleeper, keep: false }])
    const third = await runningAs(watched, 'web', second)
    // A reload that asks for it again restarts it, too: it needs other channels.
    writePrograms(watched, [sleeper])
    monitor.stop('SIGHUP')
    const fourth = await runningAs(watched, 'web', third)
    writePrograms(watched, [{ ...sleeper, keep: false }])
    monitor.stop('SIGHUP')
    await runningAs(watched, 'web', fourth)
    await monitor.stop('SIGTERM')
    expect(processesWith('// sleeper')).toEqual([])
  })

  it('that waits for an order to start goes on all the same when it was started by one', async ({
    watched,
  }) => {
    const lazy = {
      name: 'lazy',
      command: script('setInterval(() => {}, 1000)'),
      keep: true,
      autostart: false,
    }
    const monitor = await startPrograms(watched, [lazy])
    await order(watched, 'start', 'lazy')
    const pid = await runningAs(watched, 'lazy')
    await monitor.stop('SIGTERM')
    await startPrograms(watched, [lazy])
    expect(await runningAs(watched, 'lazy')).toBe(pid)
  })

  it('cannot be one that runs once', async ({ watched }) => {
    writeFileSync(
      watched.file('wrong.json'),
      JSON.stringify({ programs: [{ name: 'job', command: ['true'], oneshot: true, keep: true }] }),
    )
    const checked = await watched.run('proxy-monitor', '--check', watched.file('wrong.json'))
    expect(checked.code).toBe(78)
    expect(checked.stderr + checked.stdout).toMatch(/programs\[0\]\.keep: it runs once \(oneshot\)/)
  })
})

/** What a test does before the monitor is killed, while none runs, and when the next one has started: one kill is enough for all. */
interface Case {
  readonly program: WantedProgram
  before(): Promise<void>
  meanwhile?(): Promise<void>
  after(): Promise<void>
}

describe('A program with keep under the next monitor', {
  timeout: 120_000,
}, () => {
  const watched = new Watched()
  const pids = new Map<string, number>()
  const pidOf = (name: string) => pids.get(name) ?? 0
  const lines = () => numbers(keptLines(watched, 'printer'), 'line')

  const cases: Readonly<Record<string, Case>> = {
    'that dies while no monitor runs is started by the next one, which reads its last words': {
      program: {
        name: 'brief',
        command: script(
          'process.on("SIGUSR2", () => { console.log("the end"); process.exit(0) }); console.log("up"); setInterval(() => {}, 1000) // brief one',
        ),
        ready: { log: 'up' },
      },
      async before() {
        pids.set('brief', await runningAs(watched, 'brief'))
      },
      async meanwhile() {
        process.kill(pidOf('brief'), 'SIGUSR2')
        await until('it is gone', async () => processesWith('// brief one').length === 0 || undefined)
      },
      async after() {
        await runningAs(watched, 'brief', pidOf('brief'))
        expect(keptLines(watched, 'brief').join('\n')).toMatch(
          new RegExp(`PID ${pidOf('brief')} ended while no monitor ran[\\s\\S]*the end\n.*started \\(PID`),
        )
      },
    },
    'that was still starting when its monitor was killed is ended and started again': {
      program: {
        name: 'slow',
        command: script('setInterval(() => {}, 1000) // slow one'),
        ready: { log: 'never' },
      },
      async before() {
        const { pid } = await programWhen(
          watched,
          'slow',
          (seen) => seen.state === 'starting' && seen.pid !== null,
        )
        pids.set('slow', pid ?? 0)
      },
      async after() {
        await watched.logLine(
          new RegExp(`slow was still starting as PID ${pidOf('slow')} when its monitor ended`),
        )
        await until('the first one is gone', async () =>
          processesWith('// slow one').includes(pidOf('slow')) ? undefined : true,
        )
      },
    },
    'is found by the next monitor although its files were removed, and goes on being read': {
      program: {
        name: 'printer',
        command: script('let n = 0; setInterval(() => console.log("line " + ++n), 20)'),
      },
      async before() {
        pids.set('printer', await runningAs(watched, 'printer'))
        await until('it is read', async () => lines().length > 0 || undefined)
        for (const kind of ['kept', 'pid', 'position', 'stdout', 'stderr'])
          rmSync(watched.file(`program_printer.${kind}`))
        await until('what it needs is there again', async () =>
          ['kept', 'pid', 'position'].every((kind) => existsSync(watched.file(`program_printer.${kind}`)))
            ? true
            : undefined,
        )
      },
      async after() {
        expect(await runningAs(watched, 'printer')).toBe(pidOf('printer'))
        const seen = lines().length
        await until('it is read', async () => lines().length > seen + 20 || undefined)
        const all = lines()
        expect(all).toEqual(all.map((_, index) => index + 1))
      },
    },
    'says what is lost: output that it has emptied itself, and more than is kept while nobody reads': {
      program: {
        name: 'loud',
        command: script(
          'const { openSync, closeSync } = require("node:fs")',
          'console.error("x".repeat(5000))',
          'process.on("SIGUSR2", () => { for (let n = 0; n < 4000; n++) console.log("y".repeat(1000)); console.log("done") })',
          'process.stdin.on("data", () => { closeSync(openSync("/dev/stderr", "w")); console.error("after") })',
          'setInterval(() => {}, 1000)',
        ),
        input: true,
        output: { maxSize: '1M' },
      },
      async before() {
        pids.set('loud', await runningAs(watched, 'loud'))
        await order(watched, 'send', 'loud', 'go', '--wait-for', 'after')
        expect(keptLines(watched, 'loud').join('\n')).toMatch(/it has emptied its stderr itself[\s\S]*after/)
      },
      async meanwhile() {
        process.kill(pidOf('loud'), 'SIGUSR2')
        await until('all is printed', async () =>
          readFileSync(watched.file('program_loud.stdout')).subarray(-6).toString().includes('done')
            ? true
            : undefined,
        )
      },
      async after() {
        await until('it is read', async () => keptLines(watched, 'loud').includes('done') || undefined)
        expect(keptLines(watched, 'loud').join('\n')).toMatch(
          /\d{7} bytes that it printed while no monitor ran are lost/,
        )
      },
    },
  }

  beforeAll(async () => {
    const programs = Object.values(cases).map(({ program }) => ({ ...program, keep: true }))
    const monitor = await startPrograms(watched, programs)
    for (const { before } of Object.values(cases)) await before()
    await monitor.stop('SIGKILL')
    for (const { meanwhile } of Object.values(cases)) await meanwhile?.()
    await startPrograms(watched, programs)
  })

  afterAll(() => watched.remove())

  for (const [title, { after }] of Object.entries(cases)) it(title, after)
})
