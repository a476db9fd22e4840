/** Pipes that are read into one buffer. */
import { closeSync, mkdtempSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, it, vi } from 'vitest'
import { openPipes } from '../../src/os/pipes.ts'

/** What is read, in order, and a wait for so many bytes of it. */
function opened(into: Buffer | undefined) {
  const pipes = openPipes(2, into)
  if (pipes === undefined) throw new Error('no pipes')
  let text = ''
  let seen = () => {}
  for (const [index, stream] of pipes.read.entries())
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString().replaceAll(/\w+/g, (word) => `${index}:${word}`)
      seen()
    })
  const [out, err] = pipes.write as [number, number]
  const untilSeen = async (word: string) => {
    while (!text.includes(word))
      await new Promise<void>((resolve) => {
        seen = resolve
      })
  }
  const ended = Promise.all(
    pipes.read.map((stream) => new Promise((resolve) => stream.once('close', resolve))),
  )
  return { out, err, untilSeen, passedOn: pipes.passedOn, ended, text: () => text }
}

it('Small pieces are read together, and still before what was written to the other pipe after them', async () => {
  const pipes = opened(Buffer.alloc(65_536))
  const expected: string[] = []
  for (let round = 0; round < 50; round++) {
    // The second piece comes soon after the first, so that a pause follows.
    for (const which of ['a', 'b']) {
      writeSync(pipes.out, `${which}${round} `)
      await pipes.untilSeen(`${which}${round} `)
    }
    writeSync(pipes.out, `c${round} `)
    writeSync(pipes.err, `d${round} `)
    await pipes.untilSeen(`d${round} `)
    expected.push(`0:a${round}`, `0:b${round}`, `0:c${round}`, `1:d${round}`)
  }
  pipes.passedOn()
  await pipes.ended
  expect(pipes.text().trim().split(' ')).toEqual(expected)
})

it('What stands in a pipe whose writer has gone during a pause is read', async () => {
  for (let round = 0; round < 50; round++) {
    const pipes = opened(Buffer.alloc(65_536))
    writeSync(pipes.out, 'one ')
    await pipes.untilSeen('one')
    writeSync(pipes.out, 'two ')
    await pipes.untilSeen('two')
    writeSync(pipes.out, 'three')
    closeSync(pipes.out)
    closeSync(pipes.err)
    await pipes.ended
    expect(pipes.text()).toBe('0:one 0:two 0:three')
  }
})

it('Of pipes that are wanted one after another the names are made together, and none is left', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pipes-'))
  vi.stubEnv('TMPDIR', folder)
  try {
    const all = Array.from({ length: 40 }, () => {
      const pipes = openPipes(2)
      return { pipes, left: readdirSync(folder).length }
    })
    for (const { pipes, left } of all) {
      expect(pipes).toBeDefined()
      expect(left).toBeLessThanOrEqual(1)
      pipes?.passedOn()
      pipes?.unread()
    }
    await expect.poll(() => readdirSync(folder), { timeout: 10_000 }).toEqual([])
  } finally {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true })
  }
})
