import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parse } from 'yaml'
import { cached, compiled, nodeForInspector, run } from './tools.ts'

/** The revisions that the official suite (@modelcontextprotocol/conformance) has requirements for: one of each generation. */
export const conformanceRevisions = ['2025-11-25', '2026-07-28'] as const

export type ConformanceRevision = (typeof conformanceRevisions)[number]

const suite = () => cached('conformance', '@modelcontextprotocol/conformance/dist/index.js')

/** The command of the server that the suite expects, on stdin and stdout, in one generation. */
export function conformanceServer(generation: 'legacy' | 'modern'): readonly [string, ...string[]] {
  return [process.execPath, compiled('test/support/mcp-conformance-child.ts'), generation]
}

interface Check {
  readonly id: string
  readonly status: string
  readonly description?: string
  readonly errorMessage?: string
}

/** What one scenario has shown. */
export interface ScenarioResult {
  readonly scenario: string
  readonly failures: readonly string[]
  /** How many checks there were. */
  readonly checks: number
}

export interface ConformanceResult {
  /** The scenarios that the revision requires. */
  readonly required: readonly string[]
  /** Of those that it requires, in no order. */
  readonly results: readonly ScenarioResult[]
  /** Of those that it runs and does not require. */
  readonly others: readonly ScenarioResult[]
  readonly output: string
}

/** Runs the scenarios that a revision requires of a server. @param out a folder that is not there yet. */
export async function serverConformance(
  url: string,
  revision: ConformanceRevision,
  out: string,
): Promise<ConformanceResult> {
  mkdirSync(out)
  const { stdout, stderr } = await runSuite(['server', '--url', url], revision, out)
  const required = requiredBy(revision).server
  const all = resultsIn(out).map((one) => ({ ...one, scenario: one.scenario.replace(/^server-/, '') }))
  const results = all.filter(({ scenario }) => required.includes(scenario))
  const others = all.filter(({ scenario }) => !required.includes(scenario))
  return { required, results, others, output: `${stdout.slice(-3000)}${stderr}` }
}

/** The client scenarios that a revision requires. */
export function clientScenarios(revision: ConformanceRevision): readonly string[] {
  return requiredBy(revision).client
}

/** Runs the suite with all scenarios that a revision requires, and those that it has besides, in one process. @param words what is tested. */
export function runSuite(words: readonly string[], revision: ConformanceRevision, out: string) {
  return run([nodeForInspector(), suite(), ...words, '--requirements', revision, '-o', out], 110_000)
}

/** The scenarios that a revision requires, as the suite lists them. */
function requiredBy(revision: ConformanceRevision) {
  const file = path.join(path.dirname(suite()), '..', 'requirements', `${revision}.yaml`)
  return parse(readFileSync(file, 'utf8')) as { server: readonly string[]; client: readonly string[] }
}

/**
 * What the suite wrote about each scenario, which has a folder `SCENARIO-TIME` with checks.json; the name of a scenario may have slashes.
 * @param bad the results of a check that count as a failure.
 */
export function resultsIn(folder: string, bad: readonly string[] = ['FAILURE']): readonly ScenarioResult[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return files
    .filter((file) => path.basename(file) === 'checks.json')
    .map((file) => {
      const checks = JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as readonly Check[]
      const failures = checks
        .filter(({ status }) => bad.includes(status))
        .map(({ id, errorMessage, description }) => `${id}: ${errorMessage ?? description}`)
      const scenario = path.dirname(file).replace(/-\d{4}-\d\d-\d\dT.*$/, '')
      return { scenario, failures, checks: checks.length }
    })
}
