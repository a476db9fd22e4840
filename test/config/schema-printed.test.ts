import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { it } from 'vitest'
import { run } from '../support/children.ts'
import { checkout } from '../support/tools.ts'

it('an installed package has no schema that an editor could be given', async () => {
  const { code, stdout } = await run('proxy-monitor', ['--schema'])
  assert.equal(code, 0)
  const shipped = readFileSync(path.join(checkout, 'schema', 'port-watchdog.schema.json'), 'utf8')
  assert.deepEqual(JSON.parse(stdout), JSON.parse(shipped))
})
