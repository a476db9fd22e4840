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
import { afterEach, beforeEach, describe, expect, it, type TestContext, vi } from 'vitest'
import { createFileAtomically, sweepTemporaries, writeFileAtomically } from '../../src/os/atomic-file.ts'

/** The real calls that make a file, in the order in which they are made: fsync names what is synced. */
function calls(t: TestContext): string[] {
  const made: string[] = []
  for (const name of ['writeSync', 'fsyncSync', 'renameSync', 'linkSync'] as const) {
    const real = fs[name] as (...args: unknown[]) => unknown
    vi.spyOn(fs, name).mockImplementation((...args: unknown[]) => {
      const isDirectory = typeof args[0] === 'number' && fs.fstatSync(args[0]).isDirectory()
      made.push(isDirectory ? `${name} of the directory` : name)
      return real(...args)
    })
  }
  syncBuiltinESMExports()
  t.onTestFinished(() => {
    vi.restoreAllMocks()
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
    expect(made.splice(0)).toStrictEqual([
      'writeSync',
      'fsyncSync',
      'renameSync',
      'fsyncSync of the directory',
    ])
    expect(createFileAtomically(join(folder, 'other'), 'new')).toBe(true)
    expect(made).toStrictEqual(['writeSync', 'fsyncSync', 'linkSync', 'fsyncSync of the directory'])
  })

  it('is made for this user alone, once, and nothing is left lying about', () => {
    expect(createFileAtomically(file, 'first')).toBe(true)
    expect(createFileAtomically(file, 'second')).toBe(false)
    expect(readFileSync(file, 'utf8')).toBe('first')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(() => createFileAtomically(join(folder, 'none', 'x'), 'x')).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    )
    expect(readdirSync(folder)).toStrictEqual(['it'])
  })

  it('has a temporary name that nobody can foresee, and what a killed process leaves is removed later', () => {
    const precious = join(folder, 'precious')
    writeFileSync(precious, 'text')
    symlinkSync(precious, `${file}.${process.pid}.tmp`)
    writeFileAtomically(file, 'new')
    expect(readFileSync(precious, 'utf8')).toBe('text')
    const [left, fresh] = [`${file}.abcdefghijkl.tmp`, `${file}.abcdefghijkm.tmp`]
    for (const each of [left, fresh]) writeFileSync(each, 'half')
    utimesSync(left, 0, 0)
    sweepTemporaries(folder)
    expect(readdirSync(folder).filter((name) => name.includes('abc'))).toStrictEqual(['it.abcdefghijkm.tmp'])
  })
})
