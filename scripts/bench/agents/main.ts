// Usage: see USAGE below and README.md one folder up.
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type App, type Keeper, keepers, OURS, startKeeper } from '../apps/keepers.ts'
import { freePort } from '../forwarders/processes.ts'
import { table } from '../forwarders/report.ts'
import { ROOT, run, say, UsageError, writeJson } from '../supervisors/command.ts'
import { inFolder } from '../supervisors/folder.ts'
import type { Watchdog } from '../supervisors/supervisor.ts'
import { type Breakage, breakages } from './breakages.ts'
import { type Asker, ours, pm2, supervisorctl } from './clients.ts'

const USAGE = `usage: scripts/bench/agent [options]
  --only NAME      only this one; may be repeated
  --breakage NAME  only this one of ${breakages.map(({ name }) => name).join(', ')}; may be repeated
  --json FILE      where the figures go, bench-results/agent.json`

/** s until a fault that shows at the start has shown itself more than once. */
const usualWait = 5

/** What was read until the cause was known, or in vain. */
interface Found {
  readonly breakage: string
  readonly keeper: string
  /** Undefined = the cause was in none of the answers. */
  readonly calls: number | undefined
  readonly tokens: number
  readonly answers: readonly string[]
}

const askers: Readonly<Record<string, (root: string, folder: string) => Promise<Asker>>> = {
  [OURS]: ours,
  pm2,
  supervisord: supervisorctl,
}

/** By the tokenizer of recent OpenAI models, which is public; other models' differ by some percent. */
function tokensIn(text: string): number {
  const place = join(ROOT, '.cache/gpt-tokenizer/node_modules/gpt-tokenizer')
  const { encode } = createRequire(import.meta.url)(place) as {
    readonly encode: (text: string) => readonly number[]
  }
  return encode(text).length
}

/** The broken app and two that work. */
async function makeApps(breakage: Breakage, folder: string): Promise<readonly App[]> {
  mkdirSync(folder, { recursive: true })
  const app = async (name: string, code: string) => {
    const file = join(folder, `${name}.js`)
    writeFileSync(file, `${code}\n`)
    const port = await freePort()
    return { name, command: [process.execPath, file], port, env: { PORT: `${port}` } }
  }
  const works = breakages.find(({ isTaken }) => isTaken)?.code ?? ''
  const broken = await app('shop', breakage.code)
  const told = { ...breakage.ours?.(broken.port) }
  const lost = breakage.isLost ? { cwd: join(folder, 'web-app') } : {}
  return [await app('docs', works), { ...broken, ...lost, ours: told }, await app('mail', works)]
}

async function examine(breakage: Breakage, keeper: Keeper, folder: string): Promise<Found> {
  const apps = await makeApps(breakage, join(folder, 'apps'))
  const holder = createServer()
  const broken = apps[1]
  if (breakage.isTaken) await new Promise<void>((done) => holder.listen(broken?.port, '127.0.0.1', done))
  let watchdog: Watchdog
  try {
    watchdog = await startKeeper(keeper, apps, folder)
  } catch (error) {
    // Some refuse it at once, which is an answer, too.
    const why = String(error)
    const calls = breakage.cause.test(why) ? 1 : undefined
    return { breakage: breakage.name, keeper: keeper.name, calls, tokens: tokensIn(why), answers: [why] }
  }
  try {
    await sleep((breakage.showsAfter ?? usualWait) * 1000)
    const asker = await askers[keeper.name]?.(ROOT, folder)
    if (asker === undefined) throw new Error(`nobody knows how to ask ${keeper.name}`)
    let tokens = 0
    const answers: string[] = []
    const found = { breakage: breakage.name, keeper: keeper.name, answers }
    try {
      for (const [index, call] of asker.calls.entries()) {
        const answer = await asker.ask(call, 'shop')
        answers.push(answer)
        tokens += tokensIn(answer)
        if (breakage.cause.test(answer)) return { ...found, calls: index + 1, tokens }
      }
      return { ...found, calls: undefined, tokens }
    } finally {
      await asker.close()
    }
  } finally {
    await watchdog.stop()
    holder.close()
  }
}

await run(USAGE, async () => {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [] },
      breakage: { type: 'string', multiple: true, default: [] },
      json: { type: 'string', default: join(ROOT, 'bench-results/agent.json') },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(`${USAGE}\n`)
    return
  }
  const all = keepers(ROOT).filter(({ name, missing }) => name in askers && missing === undefined)
  const field = all.filter(({ name }) => values.only.length === 0 || values.only.includes(name))
  const chosen = breakages.filter(
    ({ name }) => values.breakage.length === 0 || values.breakage.includes(name),
  )
  if (field.length === 0 || chosen.length === 0) throw new UsageError('nothing is chosen')
  await inFolder('bench-agent-', async (folder) => {
    const found: Found[] = []
    for (const breakage of chosen) {
      for (const keeper of field) {
        say(`${breakage.name}: ${keeper.name}`)
        found.push(await examine(breakage, keeper, join(folder, `${found.length}`)))
      }
    }
    const cell = (breakage: string, keeper: string) => {
      const one = found.find((each) => each.breakage === breakage && each.keeper === keeper)
      return one === undefined ? '-' : `${one.calls ?? 'not found'} / ${one.tokens}`
    }
    const names = field.map(({ name }) => name)
    const rows = chosen.map(({ name }) => [name, ...names.map((keeper) => cell(name, keeper))])
    process.stdout.write(`${table(['broken by (calls / tokens)', ...names], rows)}\n`)
    writeJson(resolve(values.json), { when: new Date().toISOString(), found })
  })
})
