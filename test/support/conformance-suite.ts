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

/** The command of the gateway as a client of the suite's servers; the suite adds a URL. */
export function conformanceClient(): string {
  return `${process.execPath} ${compiled('test/support/mcp-conformance-client-process.ts')}`
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
  const words = ['server', '--url', url, '--requirements', revision, '-o', out]
  const { stdout, stderr } = await run([nodeForInspector(), suite(), ...words], 110_000)
  const required = requiredBy(revision).server
  const all = resultsIn(out, 'server')
  const results = all.filter(({ scenario }) => required.includes(scenario))
  const others = all.filter(({ scenario }) => !required.includes(scenario))
  return { required, results, others, output: `${stdout.slice(-3000)}${stderr}` }
}

/** The client scenarios that a revision requires. */
export function clientScenarios(revision: ConformanceRevision): readonly string[] {
  return requiredBy(revision).client
}

/** Runs one scenario for clients; a warning counts as a failure. @param command as a shell has it; the URL of the suite's server is added. */
export async function clientConformance(
  command: string,
  scenario: string,
  revision: ConformanceRevision,
  out: string,
): Promise<{ readonly failures: readonly string[]; readonly checks: number; readonly output: string }> {
  mkdirSync(out)
  const words = [
    'client',
    '--command',
    command,
    '--scenario',
    scenario,
    '--spec-version',
    revision,
    '-o',
    out,
  ]
  const { stdout, stderr } = await run([nodeForInspector(), suite(), ...words], 60_000)
  const checks = checksIn(out)
  return {
    failures: failuresOf(checks, ['FAILURE', 'WARNING']),
    checks: checks.length,
    output: `${stdout}${stderr}`,
  }
}

/** The scenarios that a revision requires, as the suite lists them. */
function requiredBy(revision: ConformanceRevision) {
  const file = path.join(path.dirname(suite()), '..', 'requirements', `${revision}.yaml`)
  return parse(readFileSync(file, 'utf8')) as { server: readonly string[]; client: readonly string[] }
}

/** What the suite wrote about each scenario: a folder `server-SCENARIO-TIME` with checks.json. */
function resultsIn(folder: string, kind: string): readonly ScenarioResult[] {
  return readdirSync(folder).map((name) => {
    const scenario = name.replace(`${kind}-`, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '')
    return { scenario, failures: failuresOf(checksIn(path.join(folder, name))) }
  })
}

function checksIn(folder: string): readonly Check[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return files
    .filter((file) => path.basename(file) === 'checks.json')
    .flatMap((file) => JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as readonly Check[])
}

function failuresOf(checks: readonly Check[], bad: readonly string[] = ['FAILURE']): readonly string[] {
  return checks
    .filter(({ status }) => bad.includes(status))
    .map(({ id, errorMessage, description }) => `${id}: ${errorMessage ?? description}`)
}
