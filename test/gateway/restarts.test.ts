// Servers that die or cannot be started, by the watchdog's rules of restarts; and what is remembered of them.
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import type { GatewayState } from '../../src/record/shapes/gateway-state.ts'
import { it } from '../support/fixtures.ts'
import { child, childrenOf, configured, LineClient, served, stateWhen } from '../support/gateway.ts'
import type { Watched } from '../support/watched.ts'

type Connector = GatewayState['connectors'][number]

/** Waits until a connector is as wanted, by what the gateway has written of itself. */
async function connectorWhen(
  watched: Watched,
  wanted: string,
  isWanted: (connector: Connector) => boolean,
): Promise<Connector | undefined> {
  const found = ({ connectors }: GatewayState) => connectors.find(({ id }) => id === wanted)
  const state = await stateWhen(watched, `${wanted} is as wanted`, (one) => {
    const connector = found(one)
    return connector !== undefined && isWanted(connector)
  })
  return found(state)
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

describe('a server that sleeps', { timeout: 60_000 }, () => {
  it('is listed after a restart of the gateway without being started, and starts at its first call', async ({
    watched,
  }) => {
    const lazy = { ...child(), start: 'demand' }
    const words = ['--all', '--config', configured(watched, { lazy })]
    const names = async (client: LineClient) => {
      const { result } = await client.ask('list', 'tools/list')
      return result?.tools?.map(({ name }) => name)
    }
    const first = new LineClient(watched, ...words)
    await first.initialize()
    const known = await names(first)
    expect(known).toContain('lazy__pid')
    await first.end()
    const second = new LineClient(watched, ...words)
    const opened = await second.initialize()
    // What it said of itself is there, too.
    expect(opened.result?.instructions).toContain('be kind')
    expect(await names(second)).toEqual(known)
    expect(childrenOf(second.pid)).toEqual([])
    const pid = (await second.ask('call', 'tools/call', { name: 'lazy__pid' })).result?.content?.[0]?.text
    expect(childrenOf(second.pid)).toEqual([Number(pid)])
    await second.end()
    // Another server of the same name offers something else.
    const other = new LineClient(
      watched,
      '--all',
      '--config',
      configured(watched, { lazy: { ...lazy, env: { A: '1' } } }),
    )
    await other.initialize()
    await names(other)
    expect(childrenOf(other.pid)).toHaveLength(1)
    await other.end()
  })
})
