// How long the monitor takes to answer while it keeps many programs and lines. Ours alone: the others answer no questions about lines.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { askControl } from '../../../src/control/client.ts'
import type { OrderAnswer } from '../../../src/orders/order.ts'
import { fileNames } from '../../../src/record/state-directory.ts'
import { processCpuSeconds } from '../forwarders/processes.ts'
import { stateDirectory } from '../supervisors/forwards.ts'
import { type App, type Keeper, startKeeper } from './keepers.ts'
import { endsWith, LIMIT_MS } from './stages.ts'

export interface Asked {
  /** ms to the answer. */
  readonly p50: number
  readonly p99: number
  /** ms of the monitor's processor time for one. */
  readonly cpuMs: number
}

type Input = Readonly<Record<string, unknown>>

/** What is asked, by the order or the tool that answers. `name` is that of one program. */
const questions: Readonly<Record<string, (name: string) => readonly [order: string, input: Input]>> = {
  list: () => ['list', {}],
  status: () => ['status', {}],
  'status of one': (name) => ['status', { units: [name] }],
  logs: (name) => ['logs', { units: [name], tail: 100 }],
  'logs, a class': (name) => ['logs', { units: [name], class: ['error'] }],
  'logs, a text': (name) => ['logs', { units: [name], contains: 'items/77' }],
  'logs, an expression': (name) => ['logs', { units: [name], regex: 'items/4\\d+7 200' }],
  'logs of all': () => ['logs', { tail: 100 }],
  'search-logs': (name) => ['search-logs', { units: [name], words: 'connect refused' }],
  'get_status, MCP': () => ['get_status', {}],
  'get_logs, MCP': (name) => ['get_logs', { units: [name], tail: 100 }],
}

/** Asks each question `times` times, while `programs` run that have printed `lines` each. */
export async function asks(
  keeper: Keeper,
  root: string,
  folder: string,
  programs: number,
  lines: number,
  times: number,
): Promise<Readonly<Record<string, Asked>>> {
  const apps = Array.from({ length: programs }, (_, index): App => {
    const own = join(folder, 'state', `talker-${index}`)
    const text = `mkfifo ${own} 2>/dev/null; seq -f 'GET /api/items/%.0f 200 in 5ms' ${lines - 2}; echo 'ERROR connect refused'; echo 'the last line'; read -r _ <${own}`
    return { name: `talker-${index}`, command: ['/bin/sh', '-c', text, own] }
  })
  const watchdog = await startKeeper(keeper, apps, folder)
  try {
    const isKept = ({ name }: App) => endsWith(keeper.logOf(folder, name), 'the last line')
    for (const until = performance.now() + 5 * LIMIT_MS; !apps.every(isKept); await sleep(1000)) {
      if (performance.now() > until) throw new Error('not every last line came')
    }
    const agent = await agentOf(root, folder)
    const found: Record<string, Asked> = {}
    for (const [title, question] of Object.entries(questions)) {
      const took: number[] = []
      const before = processCpuSeconds(watchdog.pid)
      for (let time = 0; time < times; time++) {
        const [order, input] = question(`talker-${Math.floor(Math.random() * programs)}`)
        const began = performance.now()
        if (title.endsWith('MCP')) await agent.callTool({ name: order, arguments: input })
        else await answered(folder, order, input)
        took.push(performance.now() - began)
      }
      took.sort((a, b) => a - b)
      const at = (share: number) => took[Math.floor(took.length * share)] ?? Number.NaN
      const cpuMs = ((processCpuSeconds(watchdog.pid) - before) * 1000) / times
      found[title] = { p50: at(0.5), p99: at(0.99), cpuMs }
    }
    await agent.close()
    return found
  } finally {
    await watchdog.stop()
  }
}

async function answered(folder: string, order: string, input: Input): Promise<void> {
  const socket = join(stateDirectory(folder), fileNames.monitorSocket)
  const answer = (await askControl(socket, 'order', { order, input }, LIMIT_MS)) as OrderAnswer
  if ('error' in answer) throw new Error(`${order}: ${answer.error.message}`)
}

async function agentOf(root: string, folder: string): Promise<Client> {
  const client = new Client({ name: 'bench', version: '1.0.0' }, { versionNegotiation: { mode: 'legacy' } })
  const args = [join(root, 'dist/bin/proxy-ctl.cjs'), 'mcp', '--state-dir', stateDirectory(folder)]
  await client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'ignore' }))
  return client
}
