// What ends sessions: a copied cookie outlives a logout, and nothing outlives a new key or token.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { ask, listen, sendForm } from '../support/gate.ts'
import { healthWhen } from '../support/inherited.ts'
import { freePort } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

async function logIn(watched: Watched, port: number): Promise<string> {
  const token = readFileSync(watched.file('gate_token'), 'utf8').trim()
  const { status, headers } = await sendForm(port, { token })
  assert.equal(status, 303)
  return headers['set-cookie']?.[0]?.split(';')[0] ?? ''
}

describe('Sessions of a gate', () => {
  it('end with gate_key or gate_token at the next planned restart, and not with a logout elsewhere', async ({
    watched,
  }) => {
    const target = createServer((_request, response) => response.end('in'))
    const port = await freePort()
    const words = [String(port), '127.0.0.1', String(await listen(target)), '--bind', '127.0.0.1']
    const forward = watched.start('tcp-proxy', ...words, '--gate', 'token')
    await forward.line(/Listening on/)
    let pid = forward.pid
    try {
      for (const secret of ['gate_key', 'gate_token']) {
        const cookie = await logIn(watched, port)
        const status = async () => (await ask(port, { headers: { cookie } })).status
        await ask(port, { method: 'POST', path: '/.port-watchdog/logout', headers: { cookie } })
        assert.equal(await status(), 200, 'the browser has forgotten it; a copy is as good as ever')
        writeFileSync(watched.file(secret), '')
        assert.equal(await status(), 200, 'not before the forward is restarted')
        const before = pid
        process.kill(before, 'SIGUSR2')
        const { identity } = await healthWhen(watched, port, (health) => health.identity.pid !== before)
        pid = identity.pid
        // The one before has let go of its listeners when it has nothing open any more.
        await healthWhen(watched, port, ({ predecessors }) => predecessors.length === 0)
        assert.equal(await status(), 401)
        assert.equal((await ask(port, { headers: { cookie: await logIn(watched, port) } })).status, 200)
      }
    } finally {
      process.kill(pid, 'SIGTERM')
      await forward.ended()
      target.close()
    }
  })
})
