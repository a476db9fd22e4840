// How often the gateway looks into its files while calls come: it must not be more often than while none come.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from '../../supervisors/command.ts'
import { callBody, callHeaders } from '../client.ts'
import { startOurs } from '../contenders.ts'
import { load, upstreamCommand } from '../load.ts'
import type { Field } from '../rounds.ts'

export interface StoreReads {
  readonly calls: number
  /** Of the file of keys. */
  readonly opened: number
  /** Looks at whether it has changed. */
  readonly looked: number
  readonly seconds: number
  /** Of all other files. */
  readonly others: Readonly<Record<string, number>>
}

const counter = join(ROOT, 'dist/scripts/bench/gateways/file-calls-process.js')

export async function storeReads(field: Field, seconds: number): Promise<StoreReads> {
  const folder = field.folder()
  const file = join(folder, 'counts.json')
  process.env.FILE_CALLS = file
  const standing = await startOurs(folder, { echo: { command: upstreamCommand() } }, ['--import', counter])
  try {
    const { url, tool, pid } = standing
    const headers = await callHeaders('legacy', standing, tool)
    const asked = { url, headers, bodies: [callBody('legacy', tool)], connections: 16, pid }
    await load({ ...asked, seconds: 1 })
    const before = await countsOf(pid, file)
    const began = performance.now()
    const { calls } = await load({ ...asked, seconds })
    const after = await countsOf(pid, file)
    const took = (performance.now() - began) / 1000
    const grown = Object.entries(after).map(([what, count]) => [what, count - (before[what] ?? 0)] as const)
    const isKeys = (what: string) => what.endsWith('mcp_proxy_keys.json')
    const of = (isMeant: (what: string) => boolean) =>
      grown.filter(([what]) => isMeant(what)).reduce((sum, [, count]) => sum + count, 0)
    return {
      calls,
      opened: of((what) => isKeys(what) && !what.startsWith('stat ')),
      looked: of((what) => isKeys(what) && what.startsWith('stat ')),
      seconds: took,
      others: Object.fromEntries(grown.filter(([what, count]) => count > 0 && !isKeys(what))),
    }
  } finally {
    await standing.group.stop()
  }
}

async function countsOf(pid: number, file: string): Promise<Readonly<Record<string, number>>> {
  rmSync(file, { force: true })
  process.kill(pid, 'SIGUSR2')
  for (const until = performance.now() + 10_000; performance.now() < until; await sleep(10)) {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    if (text.endsWith('}')) return JSON.parse(text) as Record<string, number>
  }
  throw new Error('the gateway did not tell its counts')
}
