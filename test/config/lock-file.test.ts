import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
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
