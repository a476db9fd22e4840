import assert from 'node:assert/strict'
import { existsSync, rmSync } from 'node:fs'
import { describe } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { it } from '../support/fixtures.ts'
import { freePort, until } from '../support/tools.ts'

describe('The PID file of a forwarder', () => {
  it('that somebody removed is there again when the monitor has looked', async ({ watched }) => {
    const port = await freePort()
    const forward = watched.start('tcp-proxy', String(port), 'localhost', '1')
    const file = watched.file(`tcp_proxy_${port}.pid`)
    await until('the PID file', async () => existsSync(file) || undefined)
    rmSync(file)
    await askControl(watched.file(`tcp_proxy_${port}.sock`), 'health')
    assert.equal(watched.pid(port), forward.pid)
    await forward.stop()
    assert.ok(!existsSync(file))
  })
})
