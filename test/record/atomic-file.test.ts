import assert from 'node:assert/strict'
import fs, {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it, type TestContext } from 'node:test'
import { createFileAtomically, sweepTemporaries, writeFileAtomically } from '../../src/record/atomic-file.ts'

/** The real calls that make a file, in the order in which they are made: fsync names what is synced. */
function calls(t: TestContext): string[] {
  const made: string[] = []
  for (const name of ['writeSync', 'fsyncSync', 'renameSync', 'linkSync'] as const) {
    const real = fs[name] as (...args: unknown[]) => unknown
    t.mock.method(fs, name, (...args: unknown[]) => {
      const isDirectory = typeof args[0] === 'number' && fs.fstatSync(args[0]).isDirectory()
      made.push(isDirectory ? `${name} of the directory` : name)
      return real(...args)
    })
  }
  syncBuiltinESMExports()
  t.after(() => {
    t.mock.restoreAll()
    syncBuiltinESMExports()
  })
  return made
}

describe('A file that must survive a power loss', () => {
  let folder: string
  let file: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pw-file-'))
    file = join(folder, 'it')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('is on the disk before it has its name, and the name before the caller goes on', (t) => {
    const made = calls(t)
    writeFileAtomically(file, 'new')
    assert.deepEqual(made.splice(0), ['writeSync', 'fsyncSync', 'renameSync', 'fsyncSync of the directory'])
    assert.equal(createFileAtomically(join(folder, 'other'), 'new'), true)
    assert.deepEqual(made, ['writeSync', 'fsyncSync', 'linkSync', 'fsyncSync of the directory'])
  })

  it('is made for this user alone, once, and nothing is left lying about', () => {
    assert.equal(createFileAtomically(file, 'first'), true)
    assert.equal(createFileAtomically(file, 'second'), false)
    assert.equal(readFileSync(file, 'utf8'), 'first')
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.throws(() => createFileAtomically(join(folder, 'none', 'x'), 'x'), { code: 'ENOENT' })
    assert.deepEqual(readdirSync(folder), ['it'])
  })

  it('has a temporary name that nobody can foresee, and what a killed process leaves is removed later', () => {
    const precious = join(folder, 'precious')
    writeFileSync(precious, 'text')
    symlinkSync(precious, `${file}.${process.pid}.tmp`)
    writeFileAtomically(file, 'new')
    assert.equal(readFileSync(precious, 'utf8'), 'text')
    const [left, fresh] = [`${file}.abcdefghijkl.tmp`, `${file}.abcdefghijkm.tmp`]
    for (const each of [left, fresh]) writeFileSync(each, 'half')
    utimesSync(left, 0, 0)
    sweepTemporaries(folder)
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.includes('abc')),
      ['it.abcdefghijkm.tmp'],
    )
  })
})
