import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from './tools.ts'

/** Builds what the tests of `real` and `root` run, when a source is newer: a test of yesterday's program would prove nothing. */
export function setup(): void {
  if (isFresh()) return
  execFileSync(join(checkout, 'scripts/lib/compile'), { stdio: 'inherit' })
}

function isFresh(): boolean {
  const mark = join(checkout, 'dist/.compiled')
  if (!existsSync(mark)) return false
  const madeAt = statSync(mark).mtimeMs
  return ['src', 'test/support', 'scripts'].every((folder) =>
    readdirSync(join(checkout, folder), { recursive: true, encoding: 'utf8' }).every(
      (name) => !name.endsWith('.ts') || statSync(join(checkout, folder, name)).mtimeMs <= madeAt,
    ),
  )
}
