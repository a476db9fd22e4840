// `mcp-proxy doctor`, and what `port-watchdog doctor` says of the gateway.
import { chmodSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { child, served } from '../support/gateway.ts'

describe('mcp-proxy doctor', () => {
  it('names what is wrong with a gateway that runs, and what to type', async ({ watched }) => {
    const { url } = await served(watched, {
      well: child(),
      dead: child('end'),
      lost: { command: 'no-such-server' },
    })
    const config = ['--config', watched.file('connectors.json')]
    const found = async (...words: string[]) => {
      const { code, stdout, stderr } = await watched.run(
        words[0] ?? '',
        ...words.slice(1),
        '--json',
        ...config,
      )
      const diagnosis = JSON.parse(stdout)
      expect([code, stderr], stdout).toEqual([diagnosis.exitCode, ''])
      return diagnosis.findings as { code: string; level: string; what: string; cure: string }[]
    }
    const all = await found('mcp-proxy', 'doctor')
    const of = (code: string) => all.filter((one) => one.code === code).map(({ what }) => what)
    expect(of('connector-command-missing')).toEqual(['connector lost: no-such-server was not found'])
    expect(of('gateway-running')).toHaveLength(1)
    expect(of('port-served')[0]).toBe(
      `gateway: port ${new URL(url).port} is held by the gateway, PID ${of('gateway-running')[0]?.match(/PID (\d+)/)?.[1]}`,
    )
    expect(of('connector-down')).toEqual([
      expect.stringMatching(/^connector dead is down: it ended with exit code 3/),
      expect.stringMatching(/^connector lost is down: no-such-server was not found/),
    ])
    expect(of('gateway-key-open')).toEqual([])
    chmodSync(watched.file('mcp_proxy_key'), 0o644)
    const again = await found('port-watchdog', 'doctor')
    expect(again.map(({ code }) => code)).toEqual(
      expect.arrayContaining(['gateway-key-open', 'connector-down', 'gateway-running', 'timeouts']),
    )
    const shown = await watched.run('mcp-proxy', 'doctor', ...config)
    expect(shown.stdout).toMatch(/^✗ connector dead is down: [\s\S]*?→ \S*mcp-proxy\S* test dead/m)
  })

  it('reads the file of a client, and says what is wrong in it', async ({ watched }) => {
    const file = watched.file('mcp.json')
    writeFileSync(file, '{"mcpServers": {"a": {"command": "cat"}}}', { mode: 0o600 })
    const well = await watched.run('mcp-proxy', 'doctor', '--config', file)
    expect(well.stdout).toContain('✓ the connector finds its command, folder and variables')
    writeFileSync(file, '{"mcpServers": {"a": {"command": 7}}}', { mode: 0o600 })
    const wrong = await watched.run('mcp-proxy', 'doctor', '--config', file)
    expect([wrong.code, wrong.stdout]).toEqual([2, expect.stringMatching(/^✗ .*mcp\.json: mcpServers\.a/m)])
  })
})
