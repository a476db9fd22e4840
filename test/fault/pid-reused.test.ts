import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'vitest'
import { systemVariable } from '../../src/os/system.ts'
import { checkout, run } from '../support/tools.ts'

/** A PID namespace whose first process waits for orphans, as an init does. */
const namespace = [
  ...['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'],
  ...['sh', '-c', '"$@"; exit $?', 'sh'],
]

it.for(['linux', 'portable'])(
  'A PID that the kernel gave to a stranger meanwhile (%s): the stranger survives, the forward is back',
  async (name, t) => {
    const mayWrite = await run([...namespace, 'sh', '-c', 'echo 400 >/proc/sys/kernel/ns_last_pid'])
    if (mayWrite.code !== 0) {
      return t.skip(`this user cannot make a PID namespace (${mayWrite.stderr.trim()})`)
    }
    const child = join(checkout, 'dist', 'test', 'support', 'pid-reuse-child.js')
    const { code, stdout, stderr } = await run(
      [...namespace, 'env', `${systemVariable}=${name}`, process.execPath, child],
      55_000,
    )
    assert.equal(code, 0, stderr)
    assert.match(stdout, /PID reuse survived/)
  },
)
