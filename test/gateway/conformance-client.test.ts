// The client scenarios of the official conformance suite, with the gateway as the client of the suite's servers: those about the
// protocol itself, and a choice of those about logins. `scripts/bench/conformance` runs them all.
import { expect, it } from 'vitest'
import { clientConformance, conformanceClient } from '../support/conformance-suite.ts'
import { Watched } from '../support/watched.ts'

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
  { revision: '2025-11-25', scenario: 'auth/pre-registration' },
  { revision: '2026-07-28', scenario: 'auth/scope-step-up' },
  { revision: '2026-07-28', scenario: 'auth/authorization-server-migration' },
  { revision: '2026-07-28', scenario: 'auth/iss-wrong-issuer' },
] as const)('a server of $revision: $scenario', async ({ revision, scenario }) => {
  const watched = new Watched()
  const out = watched.file('out')
  const { checks, failures, output } = await clientConformance(conformanceClient(), scenario, revision, out)
  expect(failures, output).toEqual([])
  expect(checks).toBeGreaterThan(0)
  await watched.remove()
})
