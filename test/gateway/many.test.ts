// What many clients, sessions and connectors cost. scripts/bench/gateway has the figures; here is what no machine changes.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Session } from '../../scripts/bench/gateways/client.ts'
import { childrenOf, configured } from '../support/gateway.ts'
import { Resident } from '../support/resident.ts'
import { compiled, freePort, until } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'

const watched = new Watched()
const counts = watched.file('file-calls.json')
let url = ''
let pid = 0
let keys: readonly Readonly<Record<string, string>>[] = []

const upstream = [process.execPath, compiled('scripts/bench/gateways/upstream-process.ts'), '--tools', '10']
const names = Array.from({ length: 10 }, (_, index) => `c${index}`)

/** One gateway for all: ten connectors that everybody shares, and one whose clients have a server each. */
beforeAll(async () => {
  const shared = Object.fromEntries(names.map((name) => [name, { command: upstream }]))
  const own = { command: upstream, isolation: 'session', idle: '1s', start: 'demand' }
  const config = configured(watched, { ...shared, own })
  const port = await freePort()
  const words = ['start', '--all', '--config', config, '--http', `127.0.0.1:${port}`]
  const counter = compiled('scripts/bench/gateways/file-calls-process.ts')
  const resident = watched.adopt(
    new Resident([...command('mcp-proxy', ...words), '--state-dir', watched.directory], {
      NODE_OPTIONS: `--import=${counter}`,
      FILE_CALLS: counts,
    }),
  )
  await resident.line(/Proxy started/)
  url = `http://127.0.0.1:${port}/mcp`
  pid = resident.pid
  keys = ['one', 'two'].map((name) => {
    const [program = '', ...create] = command('mcp-proxy', 'key', 'create', name)
    const key = execFileSync(program, [...create, '--state-dir', watched.directory], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return { 'x-api-key': key.trim() }
  })
})

afterAll(() => watched.remove())

const sessionOf = (number: number) => Session.open({ url, headers: keys[number % keys.length] ?? {} })

/** What the gateway's process has for itself, in bytes. */
function ownMemory(): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  return Number(/^Pss_Anon:\s+(\d+) kB/m.exec(text)?.[1]) * 1024
}

/** Calls of file functions, by function and file. */
async function fileCalls(): Promise<Readonly<Record<string, number>>> {
  rmSync(counts, { force: true })
  process.kill(pid, 'SIGUSR2')
  return until('the counts of file calls', async () => {
    const text = existsSync(counts) ? readFileSync(counts, 'utf8') : ''
    return text.endsWith('}') ? (JSON.parse(text) as Record<string, number>) : undefined
  })
}

describe('many clients', { timeout: 60_000 }, () => {
  it('reach 100 tools of ten connectors, five at once, each call its own', async () => {
    const tools = names.flatMap((name) => Array.from({ length: 10 }, (_, index) => `${name}__tool_${index}`))
    await Promise.all(
      [0, 1, 2, 3, 4].map(async (number) => {
        const session = await sessionOf(number)
        const { tools: listed } = await session.ask<{ tools: { name: string }[] }>('tools/list')
        expect(listed.map(({ name }) => name).filter((name) => !name.startsWith('own__'))).toEqual(tools)
        const from = number * 20
        for (const tool of [...tools.slice(from), ...tools.slice(0, from)])
          await session.call(tool, tool.split('__')[1] ?? '')
      }),
    )
  })

  it('are let in without a look into the store at each call', async () => {
    const session = await sessionOf(0)
    await session.call('c0__tool_0', 'tool_0')
    const before = await fileCalls()
    const began = performance.now()
    const calls = 500
    for (let call = 0; call < calls; call++) await session.call('c0__tool_0', 'tool_0')
    const after = await fileCalls()
    const tookMs = performance.now() - began
    const of = (kind: RegExp) =>
      Object.keys(after)
        .filter((what) => kind.test(what))
        .reduce((sum, what) => sum + (after[what] ?? 0) - (before[what] ?? 0), 0)
    expect(of(/^(open|readFile) .*mcp_proxy_keys\.json$/)).toBe(0)
    // That a key was revoked holds within a tenth of a second: so often the file is looked at, however many calls come.
    expect(of(/^stat .*mcp_proxy_keys\.json$/)).toBeLessThanOrEqual(Math.ceil(tookMs / 100) + 1)
    // What is written for people and for the status depends on time, not on calls.
    expect(of(/./)).toBeLessThan(calls)
  })

  it('hold streams at less than 150 KB each, and leave nothing when they vanish', async () => {
    const children = childrenOf(pid).length
    const before = ownMemory()
    const held = 200
    const streams = []
    for (let number = 0; number < held; number++) {
      const session = await sessionOf(number)
      await session.call('c1__tool_1', 'tool_1')
      streams.push(await session.stream())
    }
    expect((ownMemory() - before) / held).toBeLessThan(150_000)
    for (const stream of streams) stream.destroy()
    await (await sessionOf(0)).call('c2__tool_2', 'tool_2')
    expect(childrenOf(pid)).toHaveLength(children)
  })

  it('that have a server each leave none when they vanish', async () => {
    const children = childrenOf(pid).length
    const streams = await Promise.all(
      Array.from({ length: 5 }, async (_, number) => {
        const session = await sessionOf(number)
        await session.call('own__tool_0', 'tool_0')
        return session.stream()
      }),
    )
    expect(childrenOf(pid).length).toBeGreaterThan(children)
    for (const stream of streams) stream.destroy()
    await until('the end of their servers', async () => childrenOf(pid).length === children || undefined)
  })
})
