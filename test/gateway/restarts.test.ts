// Servers that die or cannot be started, by the watchdog's rules of restarts; and what is remembered of them.
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import type { GatewayState } from '../../src/record/shapes/gateway-state.ts'
import { it } from '../support/fixtures.ts'
import { child, served } from '../support/gateway.ts'
import { until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

type Connector = GatewayState['connectors'][number]

/** Waits until a connector is as wanted, by what the gateway has written of itself. */
function connectorWhen(
  watched: Watched,
  wanted: string,
  isWanted: (connector: Connector) => boolean,
): Promise<Connector> {
  return until(`${wanted} is as wanted`, async () => {
    const { stdout } = await watched.run('mcp-proxy', 'status', '--json')
    const found = (JSON.parse(stdout) as GatewayState).connectors.find(({ id }) => id === wanted)
    if (found !== undefined && isWanted(found)) return found
    throw new Error(stdout)
  })
}

/** A server that runs only while a file is there. */
function needs(file: string) {
  const [node = '', script = ''] = child().command
  const words = [`test -e ${file} || { echo no licence >&2; exit 3; }; exec ${node} ${script}`]
  return ['/bin/sh', '-c', ...words]
}

describe('a server that cannot be started', { timeout: 60_000 }, () => {
  it('is tried again after growing waits, then restarts pause; an order tries it at once', async ({
    watched,
  }) => {
    const licence = watched.file('licence')
    const restart = { backoff: '200ms', flappingRestarts: 3, flappingPause: '10m' }
    const frail = { command: needs(licence), restart }
    const { resident } = await served(watched, { frail, well: child() })
    const paused = await connectorWhen(watched, 'frail', ({ restarts, nextTryAt }) => {
      return restarts === 3 && nextTryAt !== null && Date.parse(nextTryAt) - Date.now() > 60_000
    })
    expect(paused).toMatchObject({
      state: 'error',
      lastError: { message: expect.stringContaining('exit code 3'), stderr: ['no licence'] },
    })
    const { stdout } = await watched.run('mcp-proxy', 'status')
    expect(stdout).toMatch(/✕ frail .*\n.*it said last: no licence\n +Restarts: 3, next try in 9m/)
    const call = ['call', 'frail', 'pid', '--config', watched.file('connectors.json')]
    expect((await watched.run('mcp-proxy', ...call)).stderr).toMatch(
      /restarts pause; it is tried again in \d+ s/,
    )
    writeFileSync(licence, '')
    expect((await watched.run('mcp-proxy', 'retry', 'frail', 'nothing')).code).toBe(64)
    expect((await watched.run('mcp-proxy', 'retry', 'frail')).stdout).toBe('frail\n')
    const well = await connectorWhen(watched, 'frail', ({ state }) => state === 'ready')
    expect(well).toMatchObject({
      restarts: 4,
      error: null,
      nextTryAt: null,
      lastError: { stderr: ['no licence'] },
    })
    expect((await watched.run('mcp-proxy', 'status')).stdout).toMatch(
      /● frail .*\n +Restarts: 4, last error /,
    )
    expect((await watched.run('mcp-proxy', ...call)).stdout).toMatch(/^\d+$/m)
    await resident.stop()
  })
})
