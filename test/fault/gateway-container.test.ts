// A gateway that starts ends what a killed one has left. One that lives in a container has another PID here, and was taken for dead.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { child, configured, type RpcAnswer, served } from '../support/gateway.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'

const container = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']

it('The servers of a gateway in a container outlive the start of another gateway', async ({
  watched,
  skip,
}) => {
  const made = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true'])
  if (made.status !== 0) skip('NOT TESTED: this user cannot make PID namespaces')
  const at = `127.0.0.1:${await freePort()}`
  const words = ['start', '--all', '--config', configured(watched, { echo: child() }), '--http', at]
  const start = command('mcp-proxy', ...words, '--state-dir', watched.directory)
  const inside = watched.adopt(new Resident([...container, ...start], {}))
  await inside.line(/Proxy started with 1/)
  const key = readFileSync(watched.file('mcp_proxy_key'), 'utf8').trim()
  const pid = async () => {
    const response = await fetch(`http://${at}/mcp`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': key },
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo__pid"}}',
    })
    return ((await response.json()) as RpcAnswer).result?.content?.[0]?.text
  }
  const before = await pid()
  expect(before).toMatch(/^\d+$/)
  const outside = new Watched()
  try {
    await served(outside, { other: child() })
    expect(await pid()).toBe(before)
  } finally {
    await outside.remove()
  }
})
