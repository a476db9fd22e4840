// The client scenarios of the official conformance suite, with the gateway as the client of the suite's servers: those about the
// protocol itself, and a choice of those about logins. `scripts/bench/conformance` runs them all.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ClientScenarioResult, clientConformance } from '../support/conformance-client.ts'
import { conformanceRevisions } from '../support/conformance-suite.ts'
import { Watched } from '../support/watched.ts'

const cases = [
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
] as const

const watched = new Watched()
const results = new Map<string, readonly ClientScenarioResult[]>()

beforeAll(async () => {
  for (const revision of conformanceRevisions) {
    const scenarios = cases.filter((one) => one.revision === revision).map(({ scenario }) => scenario)
    results.set(revision, await clientConformance(scenarios, revision, watched.file(`out-${revision}`)))
  }
})

afterAll(() => watched.remove())

it.each(cases)('a server of $revision: $scenario', ({ revision, scenario }) => {
  const { checks, failures, output } = results.get(revision)?.find((one) => one.scenario === scenario) ?? {}
  expect(failures, output).toEqual([])
  expect(checks).toBeGreaterThan(0)
})
