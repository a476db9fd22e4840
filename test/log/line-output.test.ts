import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, openSync } from 'node:fs'
import { Socket } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'vitest'
import { LineOutput } from '../../src/log/line-output.ts'
import { temporaryDirectory } from '../support/children.ts'

test('A reader that stands still costs lines, which are counted, and no memory without end', async (t) => {
  const pipe = path.join(temporaryDirectory(t), 'pipe')
  execFileSync('mkfifo', [pipe])
  const reader = openSync(pipe, 'r+')
  const stream = new Socket({ fd: openSync(pipe, 'w'), readable: false })
  const output = new LineOutput(stream)
  const line = 'x'.repeat(100)
  for (let number = 0; number < 100_000; number++) output.write(`${number} ${line}`)

  const read: string[] = []
  const reading = createInterface(createReadStream('', { fd: reader }))
  for await (const text of reading) {
    read.push(text)
    if (!text.startsWith('(')) continue
    if (text === '(end)') break
    output.write('after')
    output.write('(end)')
  }
  stream.end()
  await once(stream, 'close')

  const told = read.findIndex((text) => text.startsWith('('))
  assert.ok(told >= 9000 && told <= 20_000, `${told} lines of all`)
  assert.deepEqual(
    read.slice(0, told),
    Array.from({ length: told }, (_, number) => `${number} ${line}`),
  )
  assert.deepEqual(read.slice(told), [
    `(${100_000 - told} lines lost: the reader is too slow)`,
    'after',
    '(end)',
  ])
})
