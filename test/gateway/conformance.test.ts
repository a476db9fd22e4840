// The official conformance suite (@modelcontextprotocol/conformance) through the gateway, in all four combinations of generations: every
// scenario that a revision requires of a server must pass.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parse } from 'yaml'
import { served } from '../support/gateway.ts'
import { cached, compiled, nodeForInspector, run } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
const suite = () => cached('conformance', '@modelcontextprotocol/conformance/dist/index.js')
let url: string

beforeAll(async () => {
  const server = (generation: string) => ({
    command: [process.execPath, compiled('test/support/mcp-conformance-child.ts'), generation],
    // A server of the older generation that asks its client must know whom it speaks with.
    isolation: 'session',
  })
  const connectors = { legacy: server('legacy'), modern: server('modern') }
  ;({ url } = await served(watched, connectors, '--allow-none'))
})

afterAll(() => watched.remove())

it.each([
  { revision: '2025-11-25', upstream: 'legacy', scenarios: 30 },
  { revision: '2025-11-25', upstream: 'modern', scenarios: 30 },
  { revision: '2026-07-28', upstream: 'modern', scenarios: 37 },
  { revision: '2026-07-28', upstream: 'legacy', scenarios: 37 },
])(
  '$scenarios of $scenarios scenarios: a client of $revision and a $upstream server',
  async (combination) => {
    const { revision, upstream, scenarios } = combination
    const out = watched.file(`out-${revision}-${upstream}`)
    mkdirSync(out)
    const words = ['server', '--url', `${url}/mcp/${upstream}`, '--requirements', revision, '-o', out]
    const { stdout, stderr } = await run([nodeForInspector(), suite(), ...words], 110_000)
    const required = requiredBy(revision)
    const results = resultsIn(out).filter(({ scenario }) => required.includes(scenario))
    const failed = results.filter(({ failures }) => failures.length > 0)
    expect(failed, `${stdout.slice(-3000)}${stderr}`).toEqual([])
    expect(results.map(({ scenario }) => scenario).sort()).toEqual([...required].sort())
    expect(results).toHaveLength(scenarios)
  },
)

/** The scenarios that a revision requires of a server, as the suite lists them. */
function requiredBy(revision: string): readonly string[] {
  const file = path.join(path.dirname(suite()), '..', 'requirements', `${revision}.yaml`)
  return (parse(readFileSync(file, 'utf8')) as { server: readonly string[] }).server
}

interface Check {
  readonly id: string
  readonly status: string
  readonly errorMessage?: string
}

/** What the suite wrote about each scenario: a folder `server-SCENARIO-TIME` with checks.json. */
function resultsIn(folder: string) {
  return readdirSync(folder).map((name) => {
    const checks = JSON.parse(
      readFileSync(path.join(folder, name, 'checks.json'), 'utf8'),
    ) as readonly Check[]
    const failures = checks
      .filter(({ status }) => status === 'FAILURE')
      .map(({ id, errorMessage }) => `${id}: ${errorMessage}`)
    const scenario = name.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '')
    return { scenario, failures }
  })
}
