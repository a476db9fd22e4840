import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { test } from 'vitest'
import { LineLog } from '../../src/log/line-log.ts'
import { temporaryDirectory } from '../support/children.ts'
import { compiled } from '../support/tools.ts'

/** All lines of a log, oldest first, through all its parts. */
function linesOf(file: string): string[] {
  const number = (name: string) => Number(/\.(\d+)(?:\.gz)?$/.exec(name)?.[1] ?? 0)
  const parts = readdirSync(path.dirname(file))
    .filter((name) => name.startsWith(path.basename(file)))
    .sort((a, b) => number(b) - number(a))
  const texts = parts.map((name) => {
    const bytes = readFileSync(path.join(path.dirname(file), name))
    return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
  })
  return texts.join('').split('\n').slice(0, -1)
}

const numbered = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `line ${i + from}`)

test('no line is lost or cut by rotation, and no file grows beyond its size', (t) => {
  const file = path.join(temporaryDirectory(t), 'x.log')
  const log = new LineLog(file, { maxBytes: 1000, keep: 1000, compress: false })
  for (const line of numbered(5000)) assert.ok(log.write(line))
  assert.deepEqual(linesOf(file), numbered(5000))
  for (const name of readdirSync(path.dirname(file))) {
    assert.ok(statSync(path.join(path.dirname(file), name)).size <= 1000)
  }
})

test('only so many full files are kept', (t) => {
  const file = path.join(temporaryDirectory(t), 'x.log')
  const log = new LineLog(file, { maxBytes: 100, keep: 3, compress: false })
  for (const line of numbered(500)) log.write(line)
  assert.deepEqual(readdirSync(path.dirname(file)).sort(), ['x.log', 'x.log.1', 'x.log.2', 'x.log.3'])
  const kept = linesOf(file)
  assert.deepEqual(kept, numbered(kept.length, 500 - kept.length))
})

test('full files are packed beside the work and lose nothing', async (t) => {
  const file = path.join(temporaryDirectory(t), 'x.log')
  const log = new LineLog(file, { maxBytes: 20_000, keep: 100, compress: true })
  for (let from = 0; from < 20_000; from += 1000) {
    for (const line of numbered(1000, from)) log.write(line)
    // The packing runs in between, as it does between two turns of a process at work.
    await new Promise((resolve) => setImmediate(resolve))
  }
  await log.settled()
  assert.deepEqual(linesOf(file), numbered(20_000))
  const packed = readdirSync(path.dirname(file)).filter((name) => name.endsWith('.gz'))
  assert.ok(packed.length > 0, 'nothing was packed')
  assert.ok(existsSync(`${file}.1`), 'the newest full file must stay readable for followers')
})

test('a line that was cut by a crash spoils no other', (t) => {
  const file = path.join(temporaryDirectory(t), 'x.log')
  writeFileSync(file, 'whole\ncut in the mid')
  new LineLog(file).write('next')
  assert.deepEqual(linesOf(file), ['whole', 'cut in the mid', 'next'])
})

test('two writers of one log, as when a forwarder ends while its successor begins, lose nothing', (t) => {
  const file = path.join(temporaryDirectory(t), 'x.log')
  const limits = { maxBytes: 500, keep: 1000, compress: false }
  const [one, other] = [new LineLog(file, limits), new LineLog(file, limits)]
  for (let i = 0; i < 1000; i++) (i % 3 === 0 ? one : other).write(`line ${i}`)
  assert.deepEqual(linesOf(file).sort(), numbered(1000).sort())
})

test('four processes that write and rotate the same log at once lose nothing', async (t) => {
  const file = path.join(temporaryDirectory(t), 'x.log')
  const module = compiled('src/log/line-log.ts')
  const script = `import { LineLog } from ${JSON.stringify(module)}
    const log = new LineLog(process.argv[1], { maxBytes: 2000, keep: 5000, compress: false })
    process.stdin.once('data', () => {
      for (let i = 0; i < 5000; i++) log.write(process.argv[2] + ' ' + i)
      process.exit()
    })
    process.stdout.write('ready')`
  const writers = await Promise.all(
    ['a', 'b', 'c', 'd'].map(async (name) => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script, file, name], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      await once(child.stdout, 'data')
      return { name, child, exited: once(child, 'exit') }
    }),
  )
  for (const { child } of writers) child.stdin.write('go')
  await Promise.all(writers.map(({ exited }) => exited))
  const written = writers.flatMap(({ name }) => Array.from({ length: 5000 }, (_, i) => `${name} ${i}`))
  assert.deepEqual(linesOf(file).sort(), written.sort())
})

test('a log that cannot be rotated is written on', (t) => {
  const file = path.join(temporaryDirectory(t), 'x.log')
  mkdirSync(path.join(`${file}.1`, 'in the way'), { recursive: true })
  const log = new LineLog(file, { maxBytes: 100, keep: 1, compress: false })
  for (const line of numbered(100)) assert.ok(log.write(line))
  assert.deepEqual(readFileSync(file, 'utf8').split('\n').slice(0, -1), numbered(100))
})

test('a log that cannot be written is told when it can be again', (t) => {
  const directory = path.join(temporaryDirectory(t), 'later')
  const log = new LineLog(path.join(directory, 'x.log'))
  assert.deepEqual([log.write('one'), log.write('two')], [false, false])
  mkdirSync(directory)
  assert.ok(log.write('three'))
  assert.deepEqual(linesOf(path.join(directory, 'x.log')), [
    '(2 lines lost: the log could not be written)',
    'three',
  ])
})

test('the last line before kill -9 is there, whole, at 20 random moments', async (t) => {
  const directory = temporaryDirectory(t)
  const module = compiled('src/log/line-log.ts')
  const script = `import { LineLog } from ${JSON.stringify(module)}
    const log = new LineLog(process.argv[1], { maxBytes: 5000, keep: 1000, compress: false })
    for (let i = 0; ; i++) { log.write('line ' + i); if (i % 10 === 0) process.stdout.write(i + '\\n') }`
  for (let round = 0; round < 20; round++) {
    const file = path.join(directory, `${round}`, 'x.log')
    mkdirSync(path.dirname(file))
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let told = ''
    const wanted = Math.floor(Math.random() * 60)
    for await (const chunk of child.stdout) {
      told += chunk
      if (told.split('\n').length > wanted) child.kill('SIGKILL')
    }
    if (child.signalCode === null) await once(child, 'exit')
    const last = Number(told.split('\n').at(-2) ?? 0)
    const lines = linesOf(file)
    assert.ok(lines.length > last, `line ${last} was told to be written, ${lines.length} are there`)
    assert.deepEqual(lines, numbered(lines.length))
  }
})

test('what a process writes on its own stderr after the rotation stays where a reader finds it', async (t) => {
  const file = path.join(temporaryDirectory(t), 'x.log')
  const module = compiled('src/log/line-log.ts')
  const script = `import { LineLog } from ${JSON.stringify(module)}
    const log = new LineLog(process.argv[1], { maxBytes: 1000, keep: 50, compress: true })
    for (let i = 0; i < 500; i++) log.write('line ' + i)
    await log.settled()
    throw new Error('last words')`
  appendFileSync(file, '')
  const { openSync } = await import('node:fs')
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, file], {
    stdio: ['ignore', openSync(file, 'a'), openSync(file, 'a')],
  })
  await once(child, 'exit')
  assert.match(linesOf(file).join('\n'), /Error: last words/)
})
