// Usage: see USAGE below and README.md one folder up.
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { describeMachine } from '../forwarders/machine.ts'
import { startTarget } from './client.ts'
import { ROOT, run, say, UsageError, wholeNumber, writeJson } from './command.ts'
import { inFolder } from './folder.ts'
import { makeForwards } from './forwards.ts'
import { FEW, type Findings, heldTable, judge, MANY, rowsOf, shippedTable, verdictTable } from './report.ts'
import { hangs } from './stages/hangs.ts'
import { killUnderClients } from './stages/held.ts'
import { killInRounds } from './stages/kills.ts'
import { restOf } from './stages/rest.ts'
import { endure } from './stages/shipped.ts'
import type { Limits, Post, Supervisor } from './supervisor.ts'
import { post, supervisors } from './supervisors.ts'

const STAGES = ['kills', 'held', 'hangs', 'shipped', 'rest', 'many'] as const
type Stage = (typeof STAGES)[number]

const USAGE = `usage: scripts/bench/recovery [options]
  --kills N       kills of each supervisor's forwarder, 50
  --patience S    seconds to wait for a hang to be found, and for one that has given up, 60
  --rest S        seconds to watch each at rest, 30
  --only NAME     only this supervisor; may be repeated
  --stage STAGE   only this one of ${STAGES.join(', ')}; may be repeated
  --quick         10 kills, little patience, no ${MANY} forwards: about two minutes
  --json FILE     where the figures go, bench-results/recovery.json`

interface Options {
  readonly kills: number
  readonly patience: number
  readonly rest: number
  readonly only: readonly string[]
  readonly stages: readonly Stage[]
  readonly json: string
}

/** Kills in a row for a supervisor as shipped. More than any of their limits would take too long. */
const SHIPPED_KILLS = 10

function readOptions(): Options | 'help' {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string' },
      patience: { type: 'string' },
      rest: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      stage: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      json: { type: 'string', default: join(ROOT, 'bench-results/recovery.json') },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const chosen = STAGES.filter((stage) => values.stage.includes(stage))
  const unknown = values.stage.find((name) => !STAGES.some((stage) => stage === name))
  if (unknown) throw new UsageError(`--stage knows ${STAGES.join(', ')}; not "${unknown}"`)
  const usual = values.quick ? STAGES.filter((stage) => stage !== 'many') : STAGES
  const number = (name: 'kills' | 'patience' | 'rest', normal: string, quick: string) =>
    wholeNumber(name, values[name] ?? (values.quick ? quick : normal))
  return {
    kills: number('kills', '50', '10'),
    patience: number('patience', '60', '20'),
    rest: number('rest', '30', '10'),
    only: values.only,
    stages: chosen.length === 0 ? usual : chosen,
    json: resolve(values.json),
  }
}

function choose(all: readonly Supervisor[], only: readonly string[]): readonly Supervisor[] {
  const unknown = only.find((name) => !all.some((one) => one.name === name))
  if (unknown)
    throw new UsageError(`--only knows ${all.map(({ name }) => name).join(', ')}; not "${unknown}"`)
  return only.length === 0 ? all : all.filter(({ name }) => only.includes(name))
}

/** Runs the stages one after another. Each starts its own supervisors, so that none inherits what another did to them. */
class Bench {
  readonly #options: Options
  readonly #field: readonly Supervisor[]
  readonly #folder: string
  readonly #target: number
  readonly findings: ReadonlyMap<string, Findings>
  #posts = 0

  constructor(options: Options, field: readonly Supervisor[], folder: string, target: number) {
    this.#options = options
    this.#field = field
    this.#folder = folder
    this.#target = target
    const empty = (): Findings => ({
      kills: [],
      held: undefined,
      hangs: [],
      rest: {},
      shipped: undefined,
      failures: [],
    })
    this.findings = new Map(field.map(({ name }) => [name, empty()]))
  }

  async run(): Promise<void> {
    const { stages } = this.#options
    if (stages.includes('kills')) await this.#kills()
    if (stages.includes('held')) await this.#held()
    const waiting = stages.filter((stage) => stage === 'hangs' || stage === 'shipped')
    if (waiting.length > 0) say(`${waiting.join(' and ')}, ${this.#options.patience} s`)
    // Both are little work and long waits.
    await Promise.all(waiting.map((stage) => (stage === 'hangs' ? this.#hangs() : this.#shipped())))
    if (stages.includes('rest')) await this.#rest()
    if (stages.includes('many')) await this.#many()
  }

  async #kills(): Promise<void> {
    await this.#together(this.#field, 'lifted', async (posts) => {
      const contestants = posts.map((one) => ({
        post: one,
        kills: [],
        failures: this.#of(one.supervisor).failures,
      }))
      await killInRounds(contestants, this.#options.kills, say)
      for (const { post: one, kills } of contestants) this.#of(one.supervisor).kills = kills
    })
  }

  /** One after another, since the clients leave no core idle. */
  async #held(): Promise<void> {
    for (const supervisor of this.#field.filter((one) => one.cannotHold === undefined)) {
      say(`kills with held sockets: ${supervisor.name}`)
      await this.#together([supervisor], 'held', async (posts) => {
        for (const one of posts) {
          try {
            this.#of(supervisor).held = await killUnderClients(one, this.#options.kills)
          } catch (error) {
            this.#failed(supervisor, error)
          }
        }
      })
    }
  }

  async #hangs(): Promise<void> {
    await this.#together(this.#field, 'lifted', async (posts) => {
      await Promise.all(
        posts.map(async (one) => {
          this.#of(one.supervisor).hangs = await hangs(one, this.#options.patience * 1000)
        }),
      )
    })
  }

  async #shipped(): Promise<void> {
    const limited = this.#field.filter((one) => one.limited)
    await this.#together(limited, 'shipped', async (posts) => {
      await Promise.all(
        posts.map(async (one) => {
          this.#of(one.supervisor).shipped = await endure(one, SHIPPED_KILLS, this.#options.patience * 1000)
        }),
      )
    })
  }

  async #rest(): Promise<void> {
    say(`at rest with ${FEW} forwards, ${this.#options.rest} s`)
    await this.#together(this.#field, 'lifted', (posts) => this.#measureRest(posts, FEW), FEW)
  }

  /** One after another: all together they would not fit. */
  async #many(): Promise<void> {
    for (const supervisor of this.#field) {
      say(`at rest with ${MANY} forwards: ${supervisor.name}`)
      await this.#together([supervisor], 'lifted', (posts) => this.#measureRest(posts, MANY), MANY)
    }
  }

  async #measureRest(posts: readonly Post[], count: number): Promise<void> {
    const found = await restOf(
      posts.map(({ pid }) => [pid]),
      this.#options.rest,
    )
    for (const [index, one] of posts.entries()) {
      const rest = found[index]
      if (rest !== undefined) this.#of(one.supervisor).rest[count] = rest
    }
  }

  /** Starts supervisors, hands them over, ends them. One that cannot be started is told of and left out. */
  async #together(
    field: readonly Supervisor[],
    limits: Limits,
    work: (posts: readonly Post[]) => Promise<void>,
    count?: number,
  ): Promise<void> {
    const posts: Post[] = []
    try {
      for (const supervisor of field) {
        const forwards = await makeForwards(count ?? Math.max(FEW, supervisor.lanes), this.#target)
        const folder = join(this.#folder, `${++this.#posts}`)
        try {
          posts.push(await post(supervisor, forwards, folder, limits))
        } catch (error) {
          this.#failed(supervisor, error)
        }
      }
      await work(posts)
    } finally {
      await Promise.all(posts.map((one) => one.stop()))
    }
  }

  #failed(supervisor: Supervisor, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    this.#of(supervisor).failures.push(why)
    say(`FAILED ${supervisor.name}: ${why}`)
  }

  #of({ name }: Supervisor): Findings {
    const found = this.findings.get(name)
    if (found === undefined) throw new Error(`${name} takes no part`)
    return found
  }
}

async function bench(options: Options, folder: string): Promise<void> {
  const chosen = choose(supervisors(ROOT), options.only)
  const missing = chosen.filter((one) => one.missing !== undefined)
  const field = chosen.filter((one) => one.missing === undefined)
  const machine = describeMachine(ROOT, {
    systemd: ['/lib/systemd/systemd', '--version'],
    supervisord: ['supervisord', '--version'],
    monit: ['monit', '--version'],
    pm2: [process.execPath, '-p', `require('${ROOT}/.cache/pm2/node_modules/pm2/package.json').version`],
  })
  if (machine.loadBefore > 0.5)
    say(`load ${machine.loadBefore.toFixed(1)}: other programs run, so the figures will vary`)

  const began = performance.now()
  const target = await startTarget()
  const bench = new Bench(options, field, folder, target.port)
  try {
    await bench.run()
  } finally {
    target.server.close()
  }
  const { findings } = bench
  const minutes = (performance.now() - began) / 60_000
  const rows = rowsOf(findings)
  const names = field.map(({ name }) => name)
  const { versions, ...place } = machine
  const failures = [...findings].flatMap(([name, found]) => found.failures.map((why) => `${name}: ${why}`))
  const lines = [
    `${place.cpu}, ${place.cores} cores, ${place.memoryGiB} GiB, Linux ${place.kernel}, Node ${place.node}, commit ${place.commit}`,
    Object.entries(versions)
      .map(([tool, version]) => `${tool} ${version}`)
      .join(', '),
    `${options.kills} kills each, limits lifted, ${minutes.toFixed(1)} minutes, load before ${place.loadBefore.toFixed(1)}; in brackets ours divided by theirs`,
    '',
    verdictTable(rows, names),
    ...(options.stages.includes('held') ? ['', heldTable(findings)] : []),
    ...(options.stages.includes('shipped') ? ['', shippedTable(findings)] : []),
    ...missing.map(({ name, missing: why }) => `\nnot here: ${name}: ${why}`),
    ...failures.map((why) => `\nfailed: ${why}`),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  const { json, ...settings } = options
  writeJson(json, {
    when: new Date().toISOString(),
    machine,
    settings,
    rows: rows.map((row) => ({ ...row, verdict: judge(row) })),
    findings: Object.fromEntries(findings),
    missing: missing.map(({ name, missing: why }) => ({ name, why })),
  })
}

await run(USAGE, async () => {
  const options = readOptions()
  if (options === 'help') process.stdout.write(`${USAGE}\n`)
  else await inFolder('bench-recovery-', (folder) => bench(options, folder))
})
