// The official conformance suite (@modelcontextprotocol/conformance) through the gateway, in all four combinations of generations: every
// scenario that a revision requires of a server must pass.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { conformanceServer, serverConformance } from '../support/conformance-suite.ts'
import { served } from '../support/gateway.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let url: string

beforeAll(async () => {
  const server = (generation: 'legacy' | 'modern') => ({
    command: conformanceServer(generation),
    // A server of the older generation that asks its client must know whom it speaks with.
    isolation: 'session',
  })
  const connectors = { legacy: server('legacy'), modern: server('modern') }
  ;({ url } = await served(watched, connectors, '--allow-none'))
})

afterAll(() => watched.remove())

/** The suite runs them and does not require them: its own server cannot pass them yet. */
const headerScenarios = ['http-custom-header-server-validation', 'http-header-validation']

it.each([
  { revision: '2025-11-25', upstream: 'legacy', scenarios: 30 },
  { revision: '2025-11-25', upstream: 'modern', scenarios: 30 },
  { revision: '2026-07-28', upstream: 'modern', scenarios: 37 },
  { revision: '2026-07-28', upstream: 'legacy', scenarios: 37 },
] as const)(
  '$scenarios of $scenarios scenarios: a client of $revision and a $upstream server',
  async ({ revision, upstream, scenarios }) => {
    const out = watched.file(`out-${revision}-${upstream}`)
    const { required, results, others, output } = await serverConformance(
      `${url}/mcp/${upstream}`,
      revision,
      out,
    )
    expect(
      results.filter(({ failures }) => failures.length > 0),
      output,
    ).toEqual([])
    expect(results.map(({ scenario }) => scenario).sort()).toEqual([...required].sort())
    expect(results).toHaveLength(scenarios)
    if (revision === '2025-11-25') return
    const ofHeaders = others.filter(({ scenario }) => headerScenarios.includes(scenario))
    expect(ofHeaders.map(({ scenario, failures }) => [scenario, failures]).sort()).toEqual(
      headerScenarios.map((scenario) => [scenario, []]),
    )
  },
)
