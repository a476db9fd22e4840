/** A program's output, of real processes. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, type TestContext, test } from 'vitest'
import { openPipes } from '../../../src/os/pipes.ts'
import { compilePatterns, type OutputLine, ProgramOutput } from '../../../src/program/output/index.ts'
import { RunningCommand, temporaryDirectory } from '../../support/children.ts'
import { compiled, skipFor, until } from '../../support/tools.ts'

const patterns = compilePatterns()

function captured(t: TestContext, directory = temporaryDirectory(t)) {
  const output = new ProgramOutput({ directory, name: 'web', maxBytes: 1 << 26, patterns })
  const lines: OutputLine[] = []
  t.onTestFinished(() => output.close())
  const run = (file: string, words: string[]): { child: ChildProcess; ended: Promise<void> } => {
    // As a program is started.
    const pipes = openPipes(2, output.room)
    if (pipes === undefined) throw new Error('no pipes')
    const child = spawn(file, words, { stdio: ['ignore', ...pipes.write] })
    pipes.passedOn()
    t.onTestFinished(() => void child.kill('SIGKILL'))
    const [stdout = null, stderr = null] = pipes.read
    return { child, ended: output.follow(stdout, stderr) }
  }
  const shell = (script: string) => run('/bin/sh', ['-c', script])
  const node = (script: string) => run(process.execPath, ['-e', script])
  return { output, directory, lines, shell, node }
}

test('the last words of a program that lived for a moment are there', async (t) => {
  const { output, shell } = captured(t)
  await shell('echo out; echo err >&2; printf "no line end" >&2; exit 3').ended
  const said = output.last(5).map(({ stream, text }) => `${stream}: ${text}`)
  expect(said.sort()).toEqual(['stderr: err', 'stderr: no line end', 'stdout: out'])
})

test('stdout and stderr are told apart, each in order', async (t) => {
  const { output, node } = captured(t)
  const script =
    'for (let i = 0; i < 2000; i++) (i % 3 ? process.stdout : process.stderr).write("n " + i + "\\n")'
  await node(script).ended
  const { lines } = output.read({ tail: 0 })
  expect(lines.map(({ seq }) => seq)).toEqual(Array.from({ length: 2000 }, (_, index) => index + 1))
  for (const stream of ['stdout', 'stderr'] as const) {
    const numbers = lines.filter((line) => line.stream === stream).map(({ text }) => Number(text.slice(2)))
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
  }
})

test('of a flood of 100 MB no line is lost, and memory does not grow', async (t) => {
  const { output, node } = captured(t)
  const script = `
    const lines = Array.from({ length: 1000 }, (_, n) => 'INFO request ' + n + ' ' + 'x'.repeat(80)).join('\\n') + '\\n'
    let left = 1000
    const more = () => { while (left-- > 0) if (!process.stdout.write(lines)) return process.stdout.once('drain', more) }
    more()`
  const before = process.memoryUsage().rss
  await node(script).ended
  const { cursor, lines } = output.read({ tail: 1 })
  expect(cursor).toBe(1_000_001)
  expect(lines[0]?.text).toMatch(/^INFO request 999 x{80}$/)
  expect(output.counts()).toMatchObject({
    lines: 1_000_000,
    lost: { lines: 0 },
    classes: [{ count: 1_000_000 }],
  })
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024)
  const began = process.cpuUsage()
  for (let round = 0; round < 100; round++) output.read({ cursor: cursor - 5000 * round, maxBytes: 8000 })
  expect(process.cpuUsage(began).user / 1000).toBeLessThan(100 * 20)
})

test('a line without an end is shown after two seconds, and a prompt is not told twice', async (t) => {
  const { output, shell } = captured(t)
  const seen: OutputLine[] = []
  output.onLine((line) => void seen.push(line))
  const { child } = shell('printf "Password: "; exec sleep 60')
  await until('the prompt', async () => seen.find(({ partial }) => partial))
  expect(output.last(1)).toMatchObject([{ seq: 1, text: 'Password: ', partial: true }])
  expect(output.read({ cursor: 1 })).toMatchObject({ cursor: 1, lines: [{ partial: true }] })
  child.kill('SIGKILL')
  await until('the end', async () => (output.last(1)[0]?.partial ? undefined : true))
  expect(seen.map(({ text, partial }) => [text, partial])).toEqual([
    ['Password: ', true],
    ['Password: ', undefined],
  ])
})

test('binary output, and a million words without a line end, do no harm', async (t) => {
  const { output, shell } = captured(t)
  await shell('head -c 3000000 /dev/urandom; yes word | head -n 1000000 | tr "\\n" " "; echo; echo after')
    .ended
  expect(output.last(1)).toMatchObject([{ text: 'after' }])
  expect(output.last(2)[0]).toMatchObject({ cut: true })
  for (const { text } of output.read({ tail: 0 }).lines) expect(Buffer.byteLength(text)).toBeLessThan(30_000)
})

test('monitor killed (SIGKILL): what it had read is in the file, and the numbers go on', async (t) => {
  const directory = temporaryDirectory(t)
  const script = 'let n = 0; setInterval(() => { for (let i = 0; i < 100; i++) console.log("line", ++n) }, 1)'
  const capturing = new RunningCommand(compiled('test/program/output/output-process.ts'), [directory, script])
  t.onTestFinished(() => void capturing.child.kill('SIGKILL'))
  await capturing.until((said) => said.includes('kept 5000\n'))
  capturing.child.kill('SIGKILL')
  await capturing.ended
  const { output, shell } = captured(t, directory)
  const { lines, cursor } = output.read({ tail: 0, maxBytes: 1 << 26 })
  expect(lines.length).toBeGreaterThanOrEqual(5000)
  expect(lines.every(({ seq, text }) => text === `line ${seq}`)).toBe(true)
  await shell('echo next').ended
  expect(output.last(1)).toMatchObject([{ seq: cursor, text: 'next' }])
})

const mayMount = process.getuid?.() === 0 && process.platform === 'linux'

test('disk full: the program goes on, memory does not grow, the loss is counted and told when there is room', {
  skip: skipFor(!mayMount && 'a full disk needs root to mount one'),
}, async (t) => {
  const directory = path.join(temporaryDirectory(t), 'small')
  mkdirSync(directory, { mode: 0o700 })
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'tmpfs', directory])
  expect(mounted.status).toBe(0)
  t.onTestFinished(() => void spawnSync('umount', ['-l', directory]))
  const filler = path.join(directory, 'filler')
  writeFileSync(filler, Buffer.alloc(700 * 1024))
  const { output, shell } = captured(t, directory)
  await shell('yes "some words of a flood" | head -n 200000').ended
  const full = output.counts()
  expect(full.problem).toContain('ENOSPC')
  expect(full.lost.lines).toBeGreaterThan(100_000)
  const [last] = output.last(1)
  expect(last?.text).toBe('some words of a flood')
  // A small write may find room in between, and a note tells then what was lost until there.
  const notes = (last?.seq ?? 0) - 200_000
  expect(notes).toBeGreaterThanOrEqual(0)
  const page = output.read({ cursor: 1, tail: 0, maxBytes: 1 << 26 })
  expect(page.lines.length + page.dropped).toBe(200_000 + notes)
  rmSync(filler)
  await until('a line is kept', async () => {
    await shell('echo after').ended
    return output.counts().problem === null ? true : undefined
  })
  const [note, after] = [
    output.read({ stream: 'watchdog' }).lines[0],
    output.read({ contains: 'after' }).lines[0],
  ]
  expect(note?.text).toMatch(/^\d+ lines are lost/)
  expect(after).toBeDefined()
})
