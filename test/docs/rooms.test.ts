// The rooms of src/: the table, ARCHITECTURE.md and Biome's rules say the same, and Biome refuses what they forbid.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it, type TestContext } from 'vitest'
import { biomeRules, closedTo, packages, rooms } from '../../scripts/rooms.ts'
import { temporaryDirectory } from '../support/children.ts'
import { checkout } from '../support/tools.ts'

const read = (file: string) => readFileSync(path.join(checkout, file), 'utf8')

/** What Biome refuses in files under these rules, as `FILE:LINE`. */
function refused(t: TestContext, rule: string, files: Readonly<Record<string, string>>): string[] {
  const folder = temporaryDirectory(t)
  const all = {
    ...files,
    'biome.json': JSON.stringify({ root: true, extends: ['./rooms.json'] }),
    'rooms.json': read('rooms.json'),
  }
  for (const [file, text] of Object.entries(all)) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    writeFileSync(path.join(folder, file), text)
  }
  const { stdout } = spawnSync(
    path.join(checkout, 'node_modules/.bin/biome'),
    ['lint', `--only=${rule}`, '--reporter=github', '--max-diagnostics=none', '.'],
    { cwd: folder, encoding: 'utf8' },
  )
  const found = [...stdout.matchAll(/file=(\S+?),line=(\d+)/g)].map(
    ([, file = '', line]) => `${file.slice(file.indexOf('src/'))}:${line}`,
  )
  // A package may be called like a room, and be refused as both.
  return [...new Set(found)]
}

describe('The rooms of src/', () => {
  it('are in rooms.json as in the table (npm run rooms)', () => {
    expect(JSON.parse(read('rooms.json'))).toEqual(JSON.parse(JSON.stringify(biomeRules())))
  })

  it('are all in the table, and in ARCHITECTURE.md in its order', () => {
    const there = readdirSync(path.join(checkout, 'src'))
    expect(there.filter((name) => !rooms.some((room) => room === name))).toEqual([])
    const told = [...read('ARCHITECTURE.md').matchAll(/^ {2}([a-z]+)\/ /gm)].map(([, name]) => name)
    expect(told).toEqual(rooms.filter((room) => there.includes(room)))
  })

  it('import nothing from above, from tests, or from packages that are for others', (t) => {
    const specifiers = [
      ...rooms.map((other) => `../${other}/x.ts`),
      '../../test/x.ts',
      ...Object.keys(packages),
      ...Object.keys(packages).map((name) => `${name}/part`),
    ]
    const text = specifiers.map((from, index) => `export { a as a${index} } from '${from}'\n`).join('')
    const byOf = (from: string) =>
      Object.entries(packages).find(([name]) => from === name || from === `${name}/part`)?.[1] ?? []
    const expected = rooms.flatMap((room) =>
      specifiers.flatMap((from, index) => {
        const [first = '', second] = from.split('/')
        const isClosed =
          first === '..'
            ? second === '..' || closedTo(room).some((other) => other === second)
            : !byOf(from).includes(room)
        return isClosed ? [`src/${room}/planted.ts:${index + 1}`] : []
      }),
    )
    const files = Object.fromEntries(rooms.map((room) => [`src/${room}/planted.ts`, text]))
    // Part of a package may be called like a room, too: one line, two messages.
    const found = new Set(refused(t, 'style/noRestrictedImports', files))
    expect([...found].sort()).toEqual(expected.sort())
  })

  it('import so on demand, by type alone and from a folder within, too', (t) => {
    const text = [
      `await import('../../watch/x.ts')`,
      `import type { T } from '../../watch/x.ts'`,
      `export type { U } from '../../log/x.ts'`,
      `export { w } from './watch/x.ts'`,
    ]
    const files = { 'src/record/within/planted.ts': text.join('\n') }
    expect(refused(t, 'style/noRestrictedImports', files)).toEqual([
      'src/record/within/planted.ts:1',
      'src/record/within/planted.ts:2',
    ])
  })

  it('hold no circle of imports, of types alone either', (t) => {
    const files = {
      'src/os/a.ts': `import type { B } from './b.ts'\nexport type A = B | 1\n`,
      'src/os/b.ts': `import type { A } from './a.ts'\nexport type B = A[]\n`,
    }
    expect(refused(t, 'suspicious/noImportCycles', files)).toEqual(['src/os/a.ts:1', 'src/os/b.ts:1'])
  })

  it('begin each folder with what it is for, in its main file', () => {
    const folders = readdirSync(path.join(checkout, 'src'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map((entry) => ({
        folder: entry.parentPath,
        text: readFileSync(path.join(entry.parentPath, entry.name), 'utf8'),
      }))
    const begun = folders.filter(({ folder, text }) => text.startsWith(`/**\n * ${path.basename(folder)}/: `))
    const names = (found: typeof folders) => [
      ...new Set(found.map(({ folder }) => path.relative(checkout, folder))),
    ]
    expect(names(begun).sort()).toEqual(names(folders).sort())
  })
})
