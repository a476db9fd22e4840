import { readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { child, childrenOf, configured } from '../support/gateway.ts'
import { Resident } from '../support/resident.ts'
import { clockLibrary, SettableClock } from '../support/settable-clock.ts'
import { freePort, run, skipFor, until } from '../support/tools.ts'
import { command } from '../support/watched.ts'

const skip = skipFor(
  clockLibrary === undefined && 'no libfaketime here (Debian: faketime), so that no clock can be set',
)

const hour = 3600

describe('the clock of a gateway', { skip }, () => {
  it('set an hour forward ends no session, and set back keeps none; keys are taken and calls answered', async ({
    watched,
  }) => {
    const clock = new SettableClock(watched)
    const own = { ...child(), isolation: 'session' }
    const file = configured(watched, { own }, { access: { sessions: { idle: '4s' } } })
    const at = `127.0.0.1:${await freePort()}`
    const words = command('mcp-proxy', 'start', '--all', '--config', file, '--http', at)
    const state = ['--state-dir', watched.directory]
    const gateway = watched.adopt(new Resident([...words, ...state], clock.environment))
    await gateway.line(/Proxy started/)
    expect(readFileSync(`/proc/${gateway.pid}/environ`, 'utf8')).toContain(String(clockLibrary))
    const before = childrenOf(gateway.pid).length
    let session = {}
    const post = async (method: string, params: object) => {
      const answer = await fetch(`http://${at}/mcp`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'x-api-key': readFileSync(watched.file('mcp_proxy_key'), 'utf8').trim(),
          ...session,
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      })
      return { status: answer.status, text: await answer.text(), id: answer.headers.get('mcp-session-id') }
    }
    const protocolVersion = '2025-06-18'
    const clientInfo = { name: 'hand', version: '1' }
    const { id } = await post('initialize', { protocolVersion, capabilities: {}, clientInfo })
    session = { 'mcp-session-id': id }
    const call = () => post('tools/call', { name: 'own__pid' })
    const first = await call()
    clock.set(hour)
    // A round of the sweep by the new clock: it looks for idle sessions every 2 s.
    await new Promise((resolve) => setTimeout(resolve, 2200))
    expect(await call()).toMatchObject({ status: 200, text: first.text })
    clock.set(-hour)
    expect(await call()).toMatchObject({ status: 200, text: first.text })
    // What was idle for too long goes at its time, not an hour later.
    await until('its server is gone', async () => childrenOf(gateway.pid).length <= before || undefined)
    expect((await call()).status).toBe(404)
    const status = [...command('mcp-proxy', 'status', '--json', ...state)]
    const preload = Object.entries(clock.environment).map(([name, value]) => `${name}=${value}`)
    await until('it runs by that clock, too', async () => {
      const { stdout } = await run(['env', ...preload, ...status])
      return stdout.includes('"RUNNING"') || undefined
    })
  })
})
