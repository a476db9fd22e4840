import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import { openForAppending, readRegularFile, readTrustedFile } from '../../src/os/regular-file.ts'
import { distrustCure, distrustOf, distrustText, mapsUser } from '../../src/os/trusted-path.ts'
import { temporaryDirectory } from '../support/children.ts'
import { skipFor } from '../support/tools.ts'

/** A user who is neither root nor the one that runs the tests. */
const stranger = 65_534
const asRoot = { skip: skipFor(process.getuid?.() !== 0 && 'only root can give files to another user') }

function file(t: TestContext): string {
  const made = path.join(temporaryDirectory(t), 'folder', 'file')
  mkdirSync(path.dirname(made))
  writeFileSync(made, 'text')
  return made
}

describe('A path is believed', () => {
  it('when root and this user alone can change it, in a folder of everybody with the sticky bit, too', (t) => {
    assert.equal(distrustOf(file(t)), undefined)
    assert.equal(distrustOf('/dev/null'), undefined)
  })

  it('as far as it exists', (t) => {
    assert.equal(distrustOf(path.join(file(t), '..', 'none', 'x')), undefined)
  })
})

describe('A path is not believed', () => {
  it('when everybody can write the file, or a folder above it', (t) => {
    const it = file(t)
    chmodSync(it, 0o666)
    assert.deepEqual(distrustOf(it)?.kind, 'writable')
    chmodSync(it, 0o600)
    chmodSync(path.dirname(it), 0o777)
    const distrust = distrustOf(it)
    assert.ok(distrust)
    assert.equal(distrustText(distrust), `other users can write ${path.dirname(it)}`)
    assert.equal(distrustCure(distrust), `chmod go-w ${path.dirname(it)}`)
    chmodSync(path.dirname(it), 0o1777)
    assert.equal(distrustOf(it), undefined)
  })

  it('when its links lead in a circle', (t) => {
    const folder = temporaryDirectory(t)
    symlinkSync('b', path.join(folder, 'a'))
    symlinkSync('a', path.join(folder, 'b'))
    assert.equal(distrustOf(path.join(folder, 'a', 'x'))?.kind, 'links')
  })

  it('when another user owns the file, a folder above it, or a link on the way', asRoot, (t) => {
    const it = file(t)
    chownSync(it, stranger, stranger)
    const distrust = distrustOf(it)
    assert.ok(distrust)
    assert.equal(distrustText(distrust), `${it} belongs to another user (uid ${stranger})`)
    assert.equal(distrustCure(distrust), `chown 0 ${it}`)
    chownSync(it, 0, 0)
    chownSync(path.dirname(it), stranger, stranger)
    assert.equal(distrustOf(it)?.path, path.dirname(it))
    chownSync(path.dirname(it), 0, 0)
    const link = path.join(temporaryDirectory(t), 'link')
    symlinkSync(it, link)
    assert.equal(distrustOf(link), undefined)
    lchownSync(link, stranger, stranger)
    assert.equal(distrustOf(link)?.path, link)
  })

  it('behind a trusted link, when another user owns what the link leads through', asRoot, (t) => {
    const it = file(t)
    const link = path.join(temporaryDirectory(t), 'link')
    symlinkSync(path.dirname(it), link)
    chownSync(path.dirname(it), stranger, stranger)
    assert.equal(distrustOf(path.join(link, 'file'))?.path, path.dirname(it))
  })

  it('when a group may write it that has other members; a group of one’s own is no matter', asRoot, (t) => {
    const it = file(t)
    chmodSync(it, 0o664)
    assert.equal(distrustOf(it), undefined)
    chownSync(it, 0, Number(execFileSync('id', ['-g', 'nobody'], { encoding: 'utf8' })))
    assert.equal(distrustOf(it)?.kind, 'writable')
    chownSync(it, 0, 4_000_000)
    assert.equal(distrustOf(it)?.kind, 'writable', 'nobody knows who is in that group')
  })
})

describe('A file is read without waiting', () => {
  it('for a writer: a FIFO, a device and a folder are refused in words', (t) => {
    const folder = temporaryDirectory(t)
    const fifo = path.join(folder, 'fifo')
    execFileSync('mkfifo', [fifo])
    assert.throws(() => readRegularFile(fifo), {
      code: 'ENOTFILE',
      message: `${fifo} is a FIFO, not a regular file`,
    })
    assert.throws(() => readRegularFile('/dev/zero'), { code: 'ENOTFILE' })
    assert.throws(() => readRegularFile(folder), { code: 'EISDIR' })
  })

  it('and behind a link only where that is wanted', (t) => {
    const it = file(t)
    const link = `${it}.link`
    symlinkSync(it, link)
    assert.throws(() => readRegularFile(link), { code: 'ELOOP', message: `${link} is a symbolic link` })
    assert.equal(readRegularFile(link, { follow: true }), 'text')
    assert.equal(readTrustedFile(link), 'text')
  })

  it('and not believed when somebody else could have written it', (t) => {
    const it = file(t)
    chmodSync(it, 0o666)
    assert.throws(() => readTrustedFile(it), {
      code: 'EUNTRUSTED',
      message: `other users can write ${it}, so ${it} cannot be trusted; chmod go-w ${it}`,
    })
  })
})

describe('A log is appended to', () => {
  it('behind a link of one’s own', (t) => {
    const it = file(t)
    symlinkSync(it, `${it}.link`)
    openForAppending(`${it}.link`)
  })

  it('never behind a link in a folder of another user', asRoot, (t) => {
    const it = file(t)
    const precious = path.join(temporaryDirectory(t), 'precious')
    writeFileSync(precious, 'text')
    chownSync(path.dirname(it), stranger, stranger)
    symlinkSync(precious, `${it}.link`)
    assert.throws(() => openForAppending(`${it}.link`), { code: 'ELOOP' })
    // A link in the middle of the path.
    symlinkSync(path.dirname(precious), path.join(path.dirname(it), 'way'))
    assert.throws(() => openForAppending(path.join(path.dirname(it), 'way', 'precious')), { code: 'ELOOP' })
    assert.equal(readFileSync(precious, 'utf8'), 'text')
    renameSync(it, `${it}.own`)
    openForAppending(it)
  })
})

describe('A file that another user makes in a folder of everybody just after its path was checked', () => {
  it('is never read', asRoot, async (t) => {
    const folder = path.join(temporaryDirectory(t), 'everybodys')
    chmodSync(path.dirname(folder), 0o755)
    mkdirSync(folder)
    chmodSync(folder, 0o1777)
    const planted = path.join(folder, 'pw.yaml')
    const script = `const fs = require('node:fs'); console.log('up')
      for (;;) { fs.writeFileSync(${JSON.stringify(planted)}, 'planted'); fs.unlinkSync(${JSON.stringify(planted)}) }`
    const planter = spawn(process.execPath, ['--eval', script], { uid: stranger, gid: stranger })
    t.onTestFinished(() => {
      void planter.kill('SIGKILL')
    })
    await once(planter.stdout, 'data')
    for (let tries = 0; tries < 20_000; tries++) {
      assert.throws(() => readTrustedFile(planted), { code: /^(?:ENOENT|EUNTRUSTED)$/ })
    }
  })
})

describe('The number that stands for owners who are not mapped', () => {
  for (const [what, map, isMapped] of [
    ['the whole system', '         0          0 4294967295\n', true],
    ['a rootless container with 65,536 users', '0 1000 1\n1 100000 65536\n', true],
    ['bubblewrap with one user', '      1000       1000          1\n', false],
    ['no user at all', '', false],
  ] as const) {
    it(`is ${isMapped ? 'a user of its own' : 'nobody’s'} in ${what}`, () => {
      assert.equal(mapsUser(map, 65_534), isMapped)
    })
  }
})
