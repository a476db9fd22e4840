import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { ownIdentity } from '../../src/process/identity.ts'
import { writePidFile } from '../../src/record/pid-file.ts'
import { homeDirectory, readersDirectory, writersDirectory } from '../../src/record/usual-directories.ts'

const changed = ['STATE_DIRECTORY', 'HOME', 'XDG_STATE_HOME', 'XDG_RUNTIME_DIR', 'TMPDIR']

/** Folders of their own for home, state, runtime and temporary files. */
function withPlaces(use: (folder: string) => void): void {
  const folder = mkdtempSync(path.join(tmpdir(), 'pw-places-'))
  const before = { ...process.env }
  try {
    for (const name of ['home', 'state', 'run', 'tmp']) mkdirSync(path.join(folder, name), { mode: 0o700 })
    delete process.env.STATE_DIRECTORY
    process.env.HOME = path.join(folder, 'home')
    process.env.XDG_STATE_HOME = path.join(folder, 'state')
    process.env.XDG_RUNTIME_DIR = path.join(folder, 'run')
    process.env.TMPDIR = path.join(folder, 'tmp')
    use(folder)
  } finally {
    // One by one: the temp folder is looked up in the environment of the process itself.
    for (const name of changed) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
    rmSync(folder, { recursive: true })
  }
}

function recordsIn(directory: string): string {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  writeFileSync(path.join(directory, 'runtime-state.json'), '{}')
  return directory
}

describe('The state directory of a command that writes', () => {
  it('is the one asked for, systemd’s, that of XDG_STATE_HOME, or in the home', () =>
    withPlaces((folder) => {
      process.env.STATE_DIRECTORY = '/var/lib/a:/var/lib/b'
      expect(writersDirectory('/srv/x').directory).toBe('/srv/x')
      expect(writersDirectory(undefined).directory).toBe('/var/lib/a')
      delete process.env.STATE_DIRECTORY
      expect(writersDirectory(undefined).directory).toBe(path.join(folder, 'state', 'port-watchdog'))
      for (const unset of [undefined, '', 'relative']) {
        if (unset === undefined) delete process.env.XDG_STATE_HOME
        else process.env.XDG_STATE_HOME = unset
        const own = path.join(folder, 'home', '.local', 'state', 'port-watchdog')
        expect(writersDirectory(undefined).directory).toBe(own)
      }
    }))

  it('is made nowhere by asking for its name', () =>
    withPlaces((folder) => {
      writersDirectory(undefined)
      expect(existsSync(path.join(folder, 'state', 'port-watchdog'))).toBe(false)
    }))

  it('is refused when it is empty, as from a variable that is not set', () => {
    for (const find of [writersDirectory, readersDirectory]) {
      expect(() => find('')).toThrow(
        expect.objectContaining({ exitCode: 64, message: expect.stringContaining('--state-dir') }),
      )
    }
  })

  it('is a place of earlier versions while one of theirs lives there, which is said', () =>
    withPlaces((folder) => {
      const old = path.join(folder, 'run', 'port-watchdog')
      mkdirSync(old, { mode: 0o700 })
      writePidFile(path.join(old, 'tcp_proxy_6274.pid'))
      const { directory, note } = writersDirectory(undefined)
      expect(directory).toBe(old)
      expect(note ?? '').toMatch(/Going on in .*run\/port-watchdog, because .* still runs there/)
      expect(readersDirectory(undefined)).toBe(old)
      const gone = { ...ownIdentity(), startTime: '1' }
      writeFileSync(path.join(old, 'tcp_proxy_6274.pid'), `${gone.pid}\n${JSON.stringify(gone)}\n`)
      expect(writersDirectory(undefined)).toStrictEqual({
        directory: path.join(folder, 'state', 'port-watchdog'),
        note: undefined,
      })
    }))

  it('is private and under the temp folder for a user whose home cannot be written', (t) =>
    withPlaces((folder) => {
      if (process.getuid?.() === 0) return t.skip('root may write everywhere')
      chmodSync(path.join(folder, 'home'), 0o500)
      delete process.env.XDG_STATE_HOME
      const own = path.join(folder, 'tmp', `port-watchdog-${process.getuid?.()}`)
      expect(writersDirectory(undefined).directory).toBe(own)
    }))

  it('does not depend on a home that is not there', () =>
    withPlaces(() => {
      process.env.HOME = '/nonexistent'
      expect(homeDirectory()).not.toBe('/nonexistent')
    }))
})

describe('The state directory of a command that reads', () => {
  it('is the one in which something runs, before others with records', () =>
    withPlaces((folder) => {
      const usual = recordsIn(path.join(folder, 'state', 'port-watchdog'))
      expect(readersDirectory(undefined)).toBe(usual)
      const old = recordsIn(path.join(folder, 'tmp', `port-watchdog-${process.getuid?.()}`))
      expect(readersDirectory(undefined)).toBe(usual)
      writePidFile(path.join(old, 'tcp_proxy_6274.pid'))
      expect(readersDirectory(undefined)).toBe(old)
    }))

  it('is none that somebody else has put into the temp folder', () =>
    withPlaces((folder) => {
      const elsewhere = recordsIn(path.join(folder, 'elsewhere'))
      symlinkSync(elsewhere, path.join(folder, 'tmp', `port-watchdog-${process.getuid?.()}`))
      expect(readersDirectory(undefined)).toBe(path.join(folder, 'state', 'port-watchdog'))
    }))
})
