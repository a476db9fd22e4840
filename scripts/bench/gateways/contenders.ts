// The gateways that are compared, and how each is started in front of the same MCP server.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { allPids, freePort, type Group, readProc, startServer, waitForPort } from '../forwarders/processes.ts'
import { ROOT } from '../supervisors/command.ts'
import { type Era, type Place, Session } from './client.ts'
import { upstreamCommand } from './load.ts'

export const OURS = 'port-watchdog'

/** A gateway that runs. */
export interface Standing extends Place {
  readonly group: Group
  readonly pid: number
  /** The name of its one tool as its clients know it. */
  readonly tool: string
  /** Of ours. */
  readonly stateDirectory?: string
}

export interface Contender {
  readonly name: string
  /** `peer`: to be compared with. `self`: another way to use ours. `direct`: no gateway. */
  readonly kind: 'ours' | 'peer' | 'self' | 'direct'
  readonly hasKey: boolean
  /** Each of its sessions has a child of its own. */
  readonly hasChildForSession: boolean
  readonly eras: readonly Era[]
  readonly start: (folder: string) => Promise<Standing>
}

export const KEY = 'bench-key-of-forty-characters-0123456789ab'

export const supergatewayPackage = '.cache/supergateway/node_modules/supergateway'
export const mcpProxyPackage = '.cache/mcp-proxy/node_modules/mcp-proxy'

export const contenders: readonly Contender[] = [
  {
    name: OURS,
    kind: 'ours',
    hasKey: true,
    hasChildForSession: false,
    eras: ['legacy', 'modern'],
    start: (folder) => startOurs(folder, { echo: { command: upstreamCommand() } }),
  },
  {
    name: 'supergateway',
    kind: 'peer',
    hasKey: false,
    hasChildForSession: true,
    // Of the newer generation each call starts a child: a few calls a second.
    eras: ['legacy'],
    start: (folder) => {
      const program = join(ROOT, supergatewayPackage, 'dist/index.js')
      const how = ['--outputTransport', 'streamableHttp', '--stateful', '--logLevel', 'none']
      return startPeer(folder, {}, (port) => [
        ...[process.execPath, program, '--stdio', upstreamCommand().join(' ')],
        ...[...how, '--port', String(port)],
      ])
    },
  },
  {
    name: 'mcp-proxy',
    kind: 'peer',
    hasKey: true,
    hasChildForSession: false,
    eras: ['legacy', 'modern'],
    start: (folder) => {
      const program = join(ROOT, mcpProxyPackage, 'dist/bin/mcp-proxy.mjs')
      const how = ['--host', '127.0.0.1', '--server', 'stream', '--apiKey', KEY]
      return startPeer(folder, { 'x-api-key': KEY }, (port) => [
        ...[process.execPath, program, ...how, '--port', String(port)],
        ...['--', ...upstreamCommand()],
      ])
    },
  },
  {
    name: 'ours, HTTP server',
    kind: 'self',
    hasKey: true,
    hasChildForSession: false,
    eras: ['legacy'],
    start: async (folder) => {
      const port = await freePort()
      const upstream = startServer(upstreamCommand('--http', String(port)), join(folder, 'upstream.log'))
      await waitForPort(port, upstream, join(folder, 'upstream.log'))
      const standing = await startOurs(folder, { echo: { url: `http://127.0.0.1:${port}/mcp` } })
      const { group } = standing
      const stop = async () => {
        await group.stop()
        await upstream.stop()
      }
      return { ...standing, group: { ...group, stop } }
    },
  },
  {
    name: 'direct',
    kind: 'direct',
    hasKey: false,
    hasChildForSession: false,
    eras: ['legacy'],
    start: (folder) => startPeer(folder, {}, (port) => upstreamCommand('--http', String(port))),
  },
]

/**
 * Ours, with these entries of `connectors`.
 * @param nodeWords for Node, before the program.
 */
export async function startOurs(
  folder: string,
  connectors: Readonly<Record<string, object>>,
  nodeWords: readonly string[] = [],
): Promise<Standing> {
  const state = join(folder, 'state')
  mkdirSync(state, { recursive: true, mode: 0o700 })
  const file = join(folder, 'connectors.json')
  writeFileSync(file, JSON.stringify({ connectors }), { mode: 0o600 })
  const port = await freePort()
  const log = join(folder, 'log')
  const program = join(ROOT, 'dist/bin/mcp-proxy.cjs')
  const words = ['start', '--all', '--config', file, '--state-dir', state, '--http', `127.0.0.1:${port}`]
  const group = startServer([process.execPath, ...nodeWords, program, ...words], log)
  await isSaid(log, 'Proxy started', group)
  const headers = keyOf(state, 'bench')
  const url = `http://127.0.0.1:${port}/mcp`
  return { group, pid: group.pid, url, headers, tool: 'echo__tool_0', stateDirectory: state }
}

/** A key of ours, as a person makes it. */
export function keyOf(stateDirectory: string, name: string): Readonly<Record<string, string>> {
  const program = join(ROOT, 'dist/bin/mcp-proxy.cjs')
  const words = [program, 'key', 'create', name, '--state-dir', stateDirectory]
  const key = execFileSync(process.execPath, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  return { 'x-api-key': key.trim() }
}

async function startPeer(
  folder: string,
  headers: Readonly<Record<string, string>>,
  command: (port: number) => readonly string[],
): Promise<Standing> {
  mkdirSync(folder, { recursive: true })
  const port = await freePort()
  const log = join(folder, 'log')
  const group = startServer(command(port), log)
  await waitForPort(port, group, log)
  const place = { url: `http://127.0.0.1:${port}/mcp`, headers }
  // It may listen before it can answer.
  const until = performance.now() + 20_000
  for (;;) {
    try {
      await (await Session.open(place)).call('tool_0', 'tool_0')
      return { ...place, group, pid: group.pid, tool: 'tool_0' }
    } catch (error) {
      if (performance.now() > until || !group.alive()) throw error
      await sleep(50)
    }
  }
}

async function isSaid(log: string, words: string, group: Group): Promise<void> {
  const until = performance.now() + 120_000
  while (!readFileSync(log, 'utf8').includes(words)) {
    if (performance.now() > until || !group.alive())
      throw new Error(`"${words}" was not said: ${readFileSync(log, 'utf8').trim().slice(-300)}`)
    await sleep(20)
  }
}

/** The processes that a process has started, and theirs. */
export function childrenOf(pid: number): readonly number[] {
  const parents = allPids().map((one) => [one, parentOf(one)] as const)
  const below = (parent: number): number[] =>
    parents.flatMap(([one, its]) => (its === parent ? [one, ...below(one)] : []))
  return below(pid)
}

function parentOf(pid: number): number {
  const stat = readProc(`/proc/${pid}/stat`)
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}
