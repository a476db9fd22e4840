import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { checkout, run } from '../support/tools.ts'

/** A PID namespace whose first process waits for orphans, as an init does. */
const namespace = [
  ...['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'],
  ...['sh', '-c', '"$@"; exit $?', 'sh'],
]

it('A PID that the kernel gave to a stranger meanwhile: the stranger survives, the forward is back', {
  timeout: 60_000,
}, async (t) => {
  const mayWrite = await run([...namespace, 'sh', '-c', 'echo 400 >/proc/sys/kernel/ns_last_pid'])
  if (mayWrite.code !== 0) {
    return t.skip(`SKIPPED, NOT TESTED: this user cannot make a PID namespace (${mayWrite.stderr.trim()})`)
  }
  const child = join(checkout, 'dist', 'test', 'support', 'pid-reuse-child.js')
  const { code, stdout, stderr } = await run([...namespace, process.execPath, child], 55_000)
  assert.equal(code, 0, stderr)
  assert.match(stdout, /PID reuse survived/)
})
