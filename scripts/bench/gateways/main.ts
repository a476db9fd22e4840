// Usage: see USAGE below and README.md one folder up.
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { describeMachine } from '../forwarders/machine.ts'
import { ROOT, run, say, UsageError, wholeNumber, writeJson } from '../supervisors/command.ts'
import { inFolder } from '../supervisors/folder.ts'
import { contenders, mcpProxyPackage, OURS, supergatewayPackage } from './contenders.ts'
import { type Findings, report } from './report.ts'
import { Field } from './rounds.ts'
import { calls } from './stages/calls.ts'
import { held, heldApart } from './stages/held.ts'
import { profile } from './stages/profile.ts'
import { atRest } from './stages/rest.ts'
import { size } from './stages/size.ts'
import { storeReads } from './stages/store.ts'

const STAGES = ['calls', 'modern', 'held', 'rest', 'store', 'profile', 'size'] as const
type Stage = (typeof STAGES)[number]

const USAGE = `usage: scripts/bench/gateway [options]
  --quick         one round, fewer connections and sessions, not modern, no 100 connectors: about a minute
  --rounds N      rounds of calls, 3
  --seconds S     of each load, 1
  --connections N clients at once; may be repeated; 1, 16, 64, 80 and 256
  --sessions N    that hold a stream and then vanish, 1000; with --quick 300
  --only NAME     only this one, and ours; may be repeated
  --stage STAGE   only this one of ${STAGES.join(', ')}; may be repeated
  --json FILE     where the figures go, bench-results/gateway.json`

function readOptions() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string', default: '1' },
      connections: { type: 'string', multiple: true, default: [] },
      sessions: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      stage: { type: 'string', multiple: true, default: [] },
      json: { type: 'string', default: join(ROOT, 'bench-results/gateway.json') },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const { quick } = values
  const chosen = STAGES.filter((stage) => values.stage.includes(stage))
  const unknown = values.stage.find((name) => !STAGES.some((stage) => stage === name))
  if (unknown) throw new UsageError(`--stage knows ${STAGES.join(', ')}; not "${unknown}"`)
  const stranger = values.only.find((name) => !contenders.some((one) => one.name === name))
  if (stranger)
    throw new UsageError(`--only knows ${contenders.map(({ name }) => name).join(', ')}; not "${stranger}"`)
  const connections = values.connections.map((text) => wholeNumber('connections', text))
  const usual = quick ? [1, 64] : [1, 16, 64, 80, 256]
  return {
    quick,
    rounds: wholeNumber('rounds', values.rounds ?? (quick ? '1' : '3')),
    seconds: wholeNumber('seconds', values.seconds),
    connections: connections.length === 0 ? usual : connections,
    sessions: wholeNumber('sessions', values.sessions ?? (quick ? '300' : '1000')),
    only: values.only,
    isChosen: chosen.length > 0,
    stages: chosen.length === 0 ? STAGES : chosen,
    json: resolve(values.json),
  }
}

type Options = Exclude<ReturnType<typeof readOptions>, 'help'>

async function measure(stage: Stage, field: Field, found: Findings, options: Options): Promise<void> {
  const { rounds, seconds, connections, quick } = options
  switch (stage) {
    case 'calls':
      found.calls = await calls(field, 'legacy', connections, rounds, seconds)
      return
    case 'modern':
      if (!quick || options.isChosen) found.modern = await calls(field, 'modern', [64], rounds, seconds)
      return
    case 'held':
      found.held = await held(field, options.sessions)
      found.heldApart = await heldApart(field, quick ? 5 : 50)
      return
    case 'rest':
      found.rest = await atRest(field, 10, quick ? 3 : 20)
      return
    case 'store':
      found.store = await storeReads(field, seconds)
      return
    case 'profile':
      found.profile = await profile(field, 64, 3 * seconds)
      return
    case 'size': {
      const sizes = [await size(field, 10, 5, seconds)]
      if (!quick) sizes.push(await size(field, 100, 50, seconds))
      found.sizes = sizes
    }
  }
}

async function bench(options: Options, folder: string): Promise<void> {
  const isChosen = (name: string) => options.only.length === 0 || options.only.includes(name) || name === OURS
  const field = new Field(
    contenders.filter(({ name }) => isChosen(name)),
    folder,
  )
  const versionOf = (folder: string) =>
    [process.execPath, '-p', `require('${join(ROOT, folder)}/package.json').version`] as const
  const machine = describeMachine(ROOT, {
    supergateway: versionOf(supergatewayPackage),
    'mcp-proxy': versionOf(mcpProxyPackage),
    wrk: ['wrk', '-v'],
  })
  if (machine.loadBefore > 0.5)
    say(`load ${machine.loadBefore.toFixed(1)}: other programs run, so the figures will vary`)
  const found: Findings = {}
  for (const stage of options.stages) {
    say(`stage ${stage}`)
    try {
      await measure(stage, field, found, options)
    } catch (error) {
      const why = `${stage}: ${error instanceof Error ? error.message : error}`
      field.failures.push(why)
      say(`FAILED ${why}`)
    }
  }
  process.stdout.write(`${report(machine, field, found)}\n`)
  writeJson(options.json, {
    when: new Date().toISOString(),
    machine,
    options,
    failures: field.failures,
    found: { ...found, calls: plain(found.calls), modern: plain(found.modern), held: plain(found.held) },
  })
}

/** Maps as objects, which JSON can hold. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, one]) => [key, plain(one)]))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}

await run(USAGE, async () => {
  const options = readOptions()
  if (options === 'help') process.stdout.write(`${USAGE}\n`)
  else await inFolder('bench-gateway-', (folder) => bench(options, folder))
})
