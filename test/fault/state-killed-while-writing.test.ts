import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'vitest'
import { readRuntimeState, takeOverRuntimeState } from '../../src/record/runtime-state.ts'
import { temporaryDirectory } from '../support/children.ts'
import { wellRecord, wellState } from '../support/status-facts.ts'
import { compiled } from '../support/tools.ts'

/** scripts/soak-kills asks for more. */
const kills = Number(process.env.STATE_KILLS ?? 16)

/** Writes states of 200 forwards as fast as it can; every forward of one state bears the number of that state. */
const script = (module: string) => `
  import { writeRuntimeState } from ${JSON.stringify(module)}
  const { file, state, record } = JSON.parse(process.argv[1])
  let sequence = state.sequence
  process.stdout.write('begun')
  for (;;) {
    sequence++
    const forwards = Array.from({ length: 200 }, (_, i) => ({ ...record, name: 'f' + i, restarts: sequence }))
    writeRuntimeState(file, { ...state, sequence, forwards }, sequence % 2 === 0)
  }`

function writer(file: string, sequence: number): ChildProcess {
  const module = compiled('src/record/runtime-state.ts')
  const input = JSON.stringify({
    file,
    state: { ...wellState, sequence },
    record: { ...wellRecord, health: null },
  })
  const words = ['--input-type=module', '-e', script(module), input]
  return spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** The number of the state, after making sure that all of it is of one writing. */
function wholeSequence(file: string): number {
  const reading = readRuntimeState(file)
  assert.equal(reading.kind, 'read', JSON.stringify(reading))
  if (reading.kind !== 'read') return 0
  const { sequence, forwards } = reading.state
  assert.equal(forwards.length, 200)
  assert.ok(
    forwards.every(({ restarts }) => restarts === sequence),
    'a mixture of two states',
  )
  return sequence
}

test(`state: ${kills} kill -9 while it is written leave the old one or the new one, and no reader ever sees a mixture`, {
  timeout: 60_000 + kills * 1000,
}, async (t) => {
  const directory = temporaryDirectory(t)
  const file = path.join(directory, 'runtime-state.json')
  let sequence = 0
  let reads = 0
  for (let round = 0; round < kills; round++) {
    const child = writer(file, sequence)
    const ended = once(child, 'exit')
    await once(child.stdout ?? child, 'data')
    if (round === 0) while (readRuntimeState(file).kind === 'missing') reads++
    // Killed after a random number of reads: anywhere between two bytes that it writes.
    for (let left = Math.floor(Math.random() * 8); left >= 0; left--) {
      const seen = wholeSequence(file)
      assert.ok(seen >= sequence, 'the state went back')
      sequence = seen
      reads++
    }
    child.kill('SIGKILL')
    await ended
    const left = wholeSequence(file)
    assert.ok(left >= sequence)
    sequence = left
  }
  assert.ok(reads > kills)
  // What a killed writer leaves is its own temporary file, and no other writer stumbles over it.
  const names = readdirSync(directory).filter((name) => !name.endsWith('.tmp'))
  assert.deepEqual(names, ['runtime-state.json'])
})

test('state: a corrupt file is kept to be looked at, and the one before is gone on from', (t) => {
  const file = path.join(temporaryDirectory(t), 'runtime-state.json')
  writeFileSync(file, JSON.stringify(wellState))
  assert.equal(takeOverRuntimeState(file).reading.kind, 'read')
  for (const damage of [
    '',
    '\u0000'.repeat(4096),
    '{"schemaVersion":1,"wri',
    'null',
    '[]',
    '{"schemaVersion":1}',
  ]) {
    writeFileSync(file, damage)
    const { reading, quarantined, problem } = takeOverRuntimeState(file)
    assert.deepEqual(reading, { kind: 'read', state: wellState })
    assert.equal(quarantined, `${file}.corrupt`)
    assert.ok(problem !== undefined && problem.length > 0)
    assert.equal(readFileSync(`${file}.corrupt`, 'utf8'), damage)
  }
})

test('state: one of a newer version is left alone', (t) => {
  const file = path.join(temporaryDirectory(t), 'runtime-state.json')
  writeFileSync(file, '{"schemaVersion":2}')
  assert.equal(takeOverRuntimeState(file).reading.kind, 'newer')
  assert.equal(readFileSync(file, 'utf8'), '{"schemaVersion":2}')
})
