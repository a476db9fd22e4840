// The command line of the MCP Inspector as a client of `proxy-ctl mcp`.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { inspector } from '../../support/agent.ts'
import { healthyAs, startMonitor } from '../../support/monitored.ts'
import { freePort } from '../../support/tools.ts'
import { echoServer, Watched } from '../../support/watched.ts'

const watched = new Watched()

beforeAll(async () => {
  const listen = await freePort()
  const target = `localhost:${(await echoServer()).port}`
  await startMonitor(watched, { forwards: [{ name: 'web', listen, target }] })
  await healthyAs(watched, listen)
})

afterAll(() => watched.remove())

it('The Inspector lists the tools, calls one and reads a resource', async () => {
  const { tools } = await inspector(watched, '--method', 'tools/list')
  expect(tools.map(({ name }: { name: string }) => name)).toContain('process_restart')
  const called = await inspector(
    watched,
    '--method',
    'tools/call',
    '--tool-name',
    'get_status',
    '--tool-arg',
    'units=["web"]',
  )
  expect(called.structuredContent.units).toMatchObject([{ name: 'web', state: 'healthy' }])
  const read = await inspector(watched, '--method', 'resources/read', '--uri', 'watchdog://process_list')
  expect(JSON.parse(read.contents[0].text).units).toHaveLength(1)
})
