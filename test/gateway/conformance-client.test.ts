// The client scenarios of the official conformance suite, with the gateway as the client of the suite's servers: those about the protocol itself.
import { expect, it } from 'vitest'
import { clientConformance } from '../support/conformance-suite.ts'
import { compiled } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

const gateway = `${process.execPath} ${compiled('test/support/mcp-conformance-client-process.ts')}`

it.each([
  { revision: '2025-11-25', scenario: 'initialize' },
  { revision: '2025-11-25', scenario: 'tools_call' },
  { revision: '2025-11-25', scenario: 'sse-retry' },
  { revision: '2025-11-25', scenario: 'elicitation-sep1034-client-defaults' },
  { revision: '2025-11-25', scenario: 'json-schema-2020-12-preservation' },
  { revision: '2026-07-28', scenario: 'tools_call' },
  { revision: '2026-07-28', scenario: 'sep-2322-client-request-state' },
  { revision: '2026-07-28', scenario: 'json-schema-2020-12-preservation' },
  { revision: '2026-07-28', scenario: 'json-schema-ref-no-deref' },
  { revision: '2026-07-28', scenario: 'request-metadata' },
  { revision: '2026-07-28', scenario: 'http-standard-headers' },
  { revision: '2026-07-28', scenario: 'http-custom-headers' },
  { revision: '2026-07-28', scenario: 'http-invalid-tool-headers' },
] as const)('a server of $revision: $scenario', async ({ revision, scenario }) => {
  const watched = new Watched()
  const out = watched.file('out')
  const { checks, failures, output } = await clientConformance(gateway, scenario, revision, out)
  expect(failures, output).toEqual([])
  expect(checks).toBeGreaterThan(0)
  await watched.remove()
})
