// What doctor says of the MCP gateway: facts in, findings out.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { gatewayDefaults } from '../../src/config/gateway-configuration.ts'
import { configurationFrom } from '../../src/config/load.ts'
import { judgeConnector } from '../../src/doctor/checks/gateway/connectors.ts'
import { judgeKeys } from '../../src/doctor/checks/gateway/keys.ts'
import { judgeProxyVariables } from '../../src/doctor/checks/gateway/proxy-variables.ts'
import { judgeRunning } from '../../src/doctor/checks/gateway/running.ts'
import type { GatewayState } from '../../src/record/shapes/gateway-state.ts'
import { temporaryDirectory } from '../support/children.ts'

const now = Date.parse('2026-01-04T16:35:00.000Z')
const ago = (ms: number) => new Date(now - ms).toISOString()

const idle = {
  toolCount: 2,
  healthy: true,
  state: 'ready',
  error: null,
  protocolVersion: null,
  pid: null,
  inFlight: 0,
  junkLines: 0,
  restarts: 0,
  nextTryAt: null,
  lastError: null,
} as const

function stateWith(proxy: object, connectors: object[]): GatewayState {
  const usual = {
    state: 'RUNNING',
    mode: 'http',
    pid: 7,
    heartbeat: ago(1000),
    startedAt: ago(60_000),
    url: null,
  }
  const logging = { level: 'INFO', bufferedLines: 0, maxLines: 1000 }
  return {
    version: 1,
    proxy: { ...usual, ...proxy },
    connectors,
    clients: {},
    logging,
  } as unknown as GatewayState
}

function ofRunning(shown: 'RUNNING' | 'STALE' | 'STOPPED', proxy: object, connectors: object[] = []) {
  const state = stateWith(proxy, connectors)
  const patient = { connectors: [], mistakes: [], configuration: gatewayDefaults }
  return judgeRunning({ ...patient, standing: { kind: 'known', shown, state } }, now)
}

const codes = (found: readonly { code: string }[]) => found.map(({ code }) => code)

describe('a connector', () => {
  it('needs its command, folder, files and variables', async (t) => {
    const folder = temporaryDirectory(t)
    mkdirSync(path.join(folder, 'bin'))
    writeFileSync(path.join(folder, 'bin', 'server'), '#!/bin/sh\n', { mode: 0o755 })
    const written = {
      whole: { command: 'server', env: { KEY: `\${env:KEY}` } },
      own: { command: './bin/server' },
      lost: { command: 'no-such-server', envFile: '.env' },
      elsewhere: { command: 'server', cwd: 'gone' },
      input: { command: 'server', args: [`\${input:api-key}`] },
      clear: { url: 'http://mcp.example.com/mcp', headers: { Authorization: 'x' } },
      near: { url: 'http://127.0.0.1:1/mcp', headers: { Authorization: 'x' } },
    }
    const { connectors } = await configurationFrom(
      path.join(folder, 'c.yaml'),
      JSON.stringify({ connectors: written }),
    )
    const environment = { PATH: path.join(folder, 'bin'), KEY: '1' }
    const found = new Map(connectors.map((one) => [one.id, judgeConnector(one, environment)]))
    expect(Object.fromEntries([...found].map(([id, all]) => [id, codes(all)]))).toEqual({
      whole: [],
      own: [],
      lost: ['connector-variables-unreadable', 'connector-command-missing'],
      elsewhere: ['connector-folder-missing'],
      input: ['connector-variable-unset'],
      clear: ['connector-url-plain'],
      near: [],
    })
    expect(found.get('lost')?.[1]?.what).toBe('connector lost: no-such-server was not found')
    expect(found.get('input')?.[0]?.what).toContain('MCP_INPUT_API_KEY')
    expect(codes(judgeProxyVariables(connectors, { HTTPS_PROXY: 'http://p:1' }))).toEqual([
      'proxy-unused',
      'proxy-not-passed',
    ])
    expect(judgeProxyVariables(connectors, {})).toEqual([])
  })
})

describe('the gateway', () => {
  it('runs, has died, hangs, or is of another clock', () => {
    expect(codes(ofRunning('RUNNING', {}))).toEqual(['gateway-running'])
    expect(codes(ofRunning('STOPPED', {}))).toEqual(['gateway-stopped'])
    const [stale] = ofRunning('STALE', { heartbeat: ago(42_000) })
    expect(stale).toMatchObject({ code: 'gateway-stale', level: 'error' })
    expect(stale?.what).toContain('PID 7, has given no sign of life for 42 s')
    const [ofClient] = ofRunning('STALE', { heartbeat: ago(42_000), mode: 'stdio' })
    expect(ofClient?.level).toBe('warning')
    expect(codes(ofRunning('RUNNING', { heartbeat: ago(-60_000) }))).toContain('gateway-clock')
  })

  it('has connectors that are down, with the reason and the next step', () => {
    const lastError = { at: ago(1), message: 'x', stderr: ['cannot reach the database'] }
    const dead = { ...idle, id: 'dead', state: 'error', error: 'it ended with exit code 3', lastError }
    const found = ofRunning('RUNNING', {}, [
      { ...idle, id: 'well' },
      { ...dead, nextTryAt: ago(-5000) },
    ])
    expect(found[1]?.what).toBe(
      'connector dead is down: it ended with exit code 3; it said last: cannot reach the database',
    )
    expect(found[1]?.cure).toMatch(/test dead, then: .*retry dead$/)
  })

  it('offers more tools than clients or models take', () => {
    const tools = (count: number) => codes(ofRunning('RUNNING', {}, [{ ...idle, id: 'a', toolCount: count }]))
    expect(tools(40)).toEqual(['gateway-running'])
    expect(tools(41)).toEqual(['gateway-running', 'tools-many'])
    expect(tools(129)).toEqual(['gateway-running', 'tools-too-many'])
  })

  it('has keys that end', () => {
    const key = { id: 'a', hash: '', scopes: [], units: null, createdAt: ago(0), lastUsedAt: null }
    const judged = (expiresAt: string | null) =>
      codes(judgeKeys([{ ...key, name: 'laptop', expiresAt }], now))
    expect(judged(null)).toEqual(['gateway-keys'])
    expect(judged(ago(-30 * 86_400_000))).toEqual(['gateway-keys'])
    expect(judged(ago(-3 * 86_400_000))).toEqual(['gateway-key-expires'])
    expect(judged(ago(1))).toEqual(['gateway-key-expired'])
  })
})
