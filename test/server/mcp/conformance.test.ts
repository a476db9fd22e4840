// The official conformance suite (@modelcontextprotocol/conformance) against `/mcp` of a running monitor, in both generations of the protocol.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { serveMcp, withKey } from '../../support/mcp-http.ts'
import { cached, checkout, freePort, nodeForInspector, run } from '../../support/tools.ts'
import { Watched } from '../../support/watched.ts'

interface Expected {
  /** Scenarios of which every check passes. */
  readonly passes: readonly string[]
  /** What a scenario asks for that this server has not -> scenario -> the checks that fail for it; its others pass. */
  readonly notApplicable: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
}

const file = path.join(checkout, 'test/server/mcp/conformance.json')
const expected = JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, Expected>>

const watched = new Watched()
let port: number

beforeAll(async () => {
  const served = await serveMcp(watched, [{ name: 'web', listen: await freePort(), target: 'localhost:1' }])
  port = (await withKey(served.port, await served.key('suite', '--scope', 'read,control'))).port
})

afterAll(() => watched.remove())

it.each(Object.keys(expected))('/mcp passes what revision %s requires of such a server', async (revision) => {
  const out = watched.file(`conformance-${revision}`)
  const suite = cached('conformance', '@modelcontextprotocol/conformance/dist/index.js')
  const words = ['server', '--url', `http://127.0.0.1:${port}/mcp`, '--requirements', revision, '-o', out]
  const { stdout, stderr } = await run([nodeForInspector(), suite, ...words], 110_000)
  const results = resultsIn(out)
  const passed = results.filter(({ failed }) => failed.length === 0).map(({ scenario }) => scenario)
  const failed = Object.fromEntries(
    results.filter((one) => one.failed.length > 0).map((one) => [one.scenario, one.failed]),
  )
  const { passes = [], notApplicable = {} } = expected[revision] ?? {}
  expect({ passed, failed }, `${stdout}${stderr}`).toEqual({
    passed: passes,
    failed: Object.assign({}, ...Object.values(notApplicable)),
  })
})

interface Check {
  readonly id: string
  readonly status: string
}

/** What the suite wrote about each scenario: a folder `server-SCENARIO-TIME` with checks.json. */
function resultsIn(folder: string) {
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const checks = JSON.parse(
        readFileSync(path.join(folder, name, 'checks.json'), 'utf8'),
      ) as readonly Check[]
      const failed = checks.filter(({ status }) => status === 'FAILURE').map(({ id }) => id)
      const scenario = name.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '')
      return { scenario, failed: [...new Set(failed)].sort() }
    })
}
