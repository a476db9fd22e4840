import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { it } from 'vitest'
import { defaultLogLimits, LineLog } from '../../src/log/line-log.ts'
import { temporaryDirectory } from '../support/children.ts'
import { healthyAs, startMonitor } from '../support/monitored.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, echoServer, withWatched } from '../support/watched.ts'

const floodBytes = 150 * 1024 * 1024

/** Bytes a line; a flood is of long ones: stack traces, objects. */
const lineBytes = 2000

it('Log flood, 150 MB as fast as it goes: the folder never outgrows its limit, and no line that is left is cut', async (t) => {
  const directory = temporaryDirectory(t)
  const file = path.join(directory, 'tcp_proxy_6274.log')
  const log = new LineLog(file)
  const { maxBytes, keep } = defaultLogLimits
  const folderBytes = () =>
    readdirSync(directory).reduce(
      (sum, name) => sum + (statSync(path.join(directory, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    )
  const padding = 'x'.repeat(lineBytes - 12)
  const lines = Math.floor(floodBytes / lineBytes)
  let greatest = 0
  let writing = 0
  for (let number = 0; number < lines; ) {
    const began = performance.now()
    for (const last = Math.min(lines, number + 1000); number < last; number++) {
      assert.ok(log.write(`${String(number).padStart(10, '0')} ${padding}`))
    }
    writing += performance.now() - began
    greatest = Math.max(greatest, folderBytes())
    // The packing beside it gets its turns.
    await new Promise((resolve) => setImmediate(resolve))
  }
  await log.settled()
  log.close()
  // The current one, those kept, and one that is being packed.
  assert.ok(greatest <= (keep + 2) * maxBytes, `${greatest} bytes`)
  const numberOf = (name: string) => Number(/\.(\d+)(\.gz)?$/.exec(name)?.[1] ?? 0)
  const texts = readdirSync(directory)
    .sort((a, b) => numberOf(b) - numberOf(a))
    .map((name) => {
      const bytes = readFileSync(path.join(directory, name))
      return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
    })
  const left = texts.join('').split('\n').slice(0, -1)
  assert.equal(left.at(-1)?.startsWith(String(lines - 1).padStart(10, '0')), true, 'the last line is there')
  const first = lines - left.length
  for (const [i, line] of left.entries()) {
    assert.equal(line, `${String(first + i).padStart(10, '0')} ${padding}`)
  }
  void t.annotate(
    `${Math.round(floodBytes / 1024 / 1024 / (writing / 1000))} MB/s, ${greatest} bytes at most`,
  )
})

it('Log flood of a forwarder that writes its connections to its log: that log is rotated like any other', () =>
  withWatched(async (watched) => {
    const echo = await echoServer()
    const port = await freePort()
    const log = watched.file(`tcp_proxy_${port}.log`)
    // Nearly full, so that a few hundred connections are enough.
    const filling = `${'x'.repeat(1023)}\n`.repeat(defaultLogLimits.maxBytes / 1024 - 8)
    writeFileSync(log, filling, { mode: 0o600 })
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}`, accessLog: '-' }]
    const monitor = await startMonitor(watched, { forwards, words: ['--stop-forwards'] })
    await healthyAs(watched, port)
    for (let connection = 0; connection < 100; connection++) assert.equal(await askThrough(port), 'hello')
    assert.equal(await monitor.stop(), 0)
    await echo.close()
    assert.ok(statSync(log).size < defaultLogLimits.maxBytes)
    assert.ok(statSync(`${log}.1`).size <= defaultLogLimits.maxBytes)
  }))
