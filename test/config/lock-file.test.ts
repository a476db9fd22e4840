import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'vitest'
import { checkout } from '../support/tools.ts'

it('Every package of the lock file has a hash, so that npm installs nothing else', () => {
  const { packages } = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { integrity?: string }>
  }
  const bare = Object.entries(packages).filter(([place, { integrity }]) => place !== '' && !integrity)
  assert.deepEqual(
    bare.map(([place]) => place),
    [],
  )
})

it('No script of this project lets packages run scripts of theirs while they are installed', () => {
  const lines = readdirSync(join(checkout, 'scripts'), { recursive: true, encoding: 'utf8' })
    .map((name) => join(checkout, 'scripts', name))
    .filter((file) => statSync(file).isFile())
    .flatMap((file) =>
      readFileSync(file, 'utf8')
        .replaceAll(/\\\n\s*/g, '')
        .split('\n'),
    )
  // A command, not a sentence that names one.
  const installs = lines.filter((line) => /^\s*(if )?npm (ci|install)\b/.test(line))
  assert.ok(installs.length >= 2)
  for (const line of installs) assert.match(line, /--ignore-scripts/)
})
