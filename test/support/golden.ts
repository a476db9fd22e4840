import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { checkout } from './tools.ts'

/** Compares with a file under test/golden; with UPDATE_GOLDEN=1 in the environment it is written instead. */
export function matchesGolden(name: string, actual: string): void {
  const file = path.join(checkout, 'test', 'golden', name)
  if (process.env.UPDATE_GOLDEN === '1') {
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, actual)
  }
  assert.equal(
    actual,
    readFileSync(file, 'utf8'),
    `${name} differs; look, then UPDATE_GOLDEN=1 to take it over`,
  )
}
