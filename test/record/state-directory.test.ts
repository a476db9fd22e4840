import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { it } from 'node:test'
import { readersDirectory } from '../../src/record/state-directory.ts'

it('A reader passes over a state directory in the temp folder that is none of this user’s', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pw-readers-'))
  const before = { ...process.env }
  const [elsewhere, own] = [path.join(folder, 'elsewhere'), path.join(folder, 'state', 'port-watchdog')]
  for (const directory of [elsewhere, own]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    writeFileSync(path.join(directory, 'runtime-state.json'), '{}')
  }
  try {
    delete process.env.STATE_DIRECTORY
    delete process.env.XDG_RUNTIME_DIR
    process.env.TMPDIR = folder
    process.env.XDG_STATE_HOME = path.join(folder, 'state')
    symlinkSync(elsewhere, path.join(folder, `port-watchdog-${process.getuid?.()}`))
    assert.equal(readersDirectory(undefined), own)
    rmSync(own, { recursive: true })
    assert.throws(() => readersDirectory(undefined), /somebody else has put it there/)
  } finally {
    process.env = before
    rmSync(folder, { recursive: true })
  }
})
