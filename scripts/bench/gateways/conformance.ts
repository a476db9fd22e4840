// Runs the official conformance suite through port-watchdog's gateway and its peers, in front of the same server, and prints how many of the
// required scenarios pass; then the gateway as the client of the suite's servers. Usage: scripts/bench/conformance [NAME...]
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clientConformance } from '../../../test/support/conformance-client.ts'
import {
  type ConformanceRevision,
  clientScenarios,
  conformanceRevisions,
  conformanceServer,
  serverConformance,
} from '../../../test/support/conformance-suite.ts'
import { freePort, type Group, startServer, waitForPort } from '../forwarders/processes.ts'
import { ROOT, run, say } from '../supervisors/command.ts'
import { inFolder } from '../supervisors/folder.ts'
import { mcpProxyPackage, OURS, supergatewayPackage } from './contenders.ts'

const USAGE = 'usage: scripts/bench/conformance [port-watchdog] [supergateway] [mcp-proxy]'

type Generation = 'legacy' | 'modern'

const generations: readonly Generation[] = ['legacy', 'modern']

/** The command that serves this server at `/mcp` of a port. */
type Command = (port: number, generation: Generation, folder: string) => readonly string[]

const gateways: Readonly<Record<string, Command>> = {
  [OURS]: (port, generation, folder) => {
    const file = join(folder, 'connectors.json')
    // As the peers start one for each session, or have no sessions at all.
    const connectors = { all: { command: conformanceServer(generation), isolation: 'session' } }
    writeFileSync(file, JSON.stringify({ connectors }), { mode: 0o600 })
    const state = join(folder, 'state')
    mkdirSync(state, { mode: 0o700 })
    const words = ['--all', '--allow-none', '--config', file, '--state-dir', state]
    const program = join(ROOT, 'dist/bin/mcp-proxy.cjs')
    return [process.execPath, program, 'start', ...words, '--http', `127.0.0.1:${port}`]
  },
  supergateway: (port, generation) => [
    ...[process.execPath, join(ROOT, supergatewayPackage, 'dist/index.js')],
    ...[
      '--stdio',
      conformanceServer(generation).join(' '),
      '--outputTransport',
      'streamableHttp',
      '--stateful',
    ],
    ...['--port', String(port)],
  ],
  'mcp-proxy': (port, generation) => [
    ...[process.execPath, join(ROOT, mcpProxyPackage, 'dist/bin/mcp-proxy.mjs')],
    ...['--host', '127.0.0.1', '--server', 'stream', '--upstreamProtocol', 'auto', '--port', String(port)],
    ...['--', ...conformanceServer(generation)],
  ],
}

interface Row {
  readonly gateway: string
  readonly cells: readonly string[]
}

/** Passed of required; a gateway that cannot be started passes none. */
async function cellOf(
  name: string,
  command: Command,
  revision: ConformanceRevision,
  generation: Generation,
  folder: string,
): Promise<string> {
  mkdirSync(folder)
  const port = await freePort()
  const log = join(folder, 'log')
  const group: Group = startServer(command(port, generation, folder), log)
  try {
    await waitForPort(port, group, log)
    const place = `http://127.0.0.1:${port}/mcp${name === OURS ? '/all' : ''}`
    const { required, results } = await serverConformance(place, revision, join(folder, 'out'))
    const failed = results.filter(({ failures }) => failures.length > 0)
    for (const { scenario, failures } of failed) say(`${name}: ${scenario}: ${failures[0]?.slice(0, 200)}`)
    return `${results.length - failed.length}/${required.length}`
  } catch (error) {
    say(`${name}: ${String(error).slice(0, 300)}; ${readFileSync(log, 'utf8').slice(-300)}`)
    return 'fails'
  } finally {
    await group.stop()
  }
}

/** Passed of the client scenarios that a revision requires, those about logins too. */
async function clientCell(revision: ConformanceRevision, folder: string): Promise<string> {
  const scenarios = clientScenarios(revision)
  const results = await clientConformance(scenarios, revision, folder)
  let passed = 0
  for (const scenario of scenarios) {
    const { checks = 0, failures = [] } = results.find((one) => one.scenario === scenario) ?? {}
    if (checks > 0 && failures.length === 0) passed++
    else say(`${OURS}: ${scenario}: ${(failures[0] ?? 'it has shown nothing').slice(0, 200)}`)
  }
  return `${passed}/${scenarios.length}`
}

function table(rows: readonly Row[]): string {
  const heads = conformanceRevisions.flatMap((revision) =>
    generations.map((generation) => `client of ${revision}, ${generation} server`),
  )
  const lines = [
    ['gateway', ...heads],
    ['---', ...heads.map(() => '---:')],
    ...rows.map(({ gateway, cells }) => [gateway, ...cells]),
  ]
  return lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('')
}

await run(USAGE, async () => {
  const wanted = process.argv.slice(2)
  const chosen = Object.entries(gateways).filter(([name]) => wanted.length === 0 || wanted.includes(name))
  await inFolder('pw-conformance-', async (folder) => {
    const rows: Row[] = []
    for (const [name, command] of chosen) {
      const cells: string[] = []
      for (const revision of conformanceRevisions) {
        for (const generation of generations) {
          const own = join(folder, `${name}-${revision}-${generation}`)
          const cell = await cellOf(name, command, revision, generation, own)
          say(`${name}: client of ${revision}, ${generation} server: ${cell}`)
          cells.push(cell)
        }
      }
      rows.push({ gateway: name, cells })
    }
    process.stdout.write(table(rows))
    if (chosen.every(([name]) => name !== OURS)) return
    for (const revision of conformanceRevisions) {
      const cell = await clientCell(revision, join(folder, `client-${revision}`))
      process.stdout.write(`${OURS} as a client, servers of ${revision}: ${cell}\n`)
    }
  })
})
