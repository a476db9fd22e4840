// From what was measured to the rows of the table. No measuring here.
import { short, summarize, table } from '../forwarders/report.ts'
import type { Served } from './client.ts'
import type { Held } from './stages/held.ts'
import type { Rest } from './stages/rest.ts'
import type { Endurance } from './stages/shipped.ts'
import { OURS } from './supervisors.ts'

/** All that was measured of one supervisor. */
export interface Findings {
  kills: readonly Served[]
  hangs: readonly (number | 'never')[]
  held: Held | undefined
  /** By the number of forwards. */
  rest: Record<number, Rest>
  shipped: Endurance | undefined
  failures: string[]
}

export type Value = number | 'never'

/** One line of the table. Less is better in all of them. */
export interface Row {
  readonly id: string
  readonly title: string
  readonly unit: string
  /** What is asked of ours beside being ahead of every peer. */
  readonly bound: number | undefined
  readonly by: Readonly<Record<string, Value | undefined>>
}

export const FEW = 2
export const MANY = 200

export function rowsOf(findings: ReadonlyMap<string, Findings>): Row[] {
  const row = (
    id: string,
    title: string,
    unit: string,
    bound: number | undefined,
    value: (of: Findings) => Value | undefined,
  ): Row => {
    const by = Object.fromEntries([...findings].map(([name, found]) => [name, value(found)]))
    return { id, title, unit, bound, by }
  }
  const times = ({ kills }: Findings) => kills.map(({ ms }) => ms)
  const middle = (values: readonly number[]) => (values.length === 0 ? undefined : summarize(values).median)
  return [
    row('median', 'kill -9 to served, median', 'ms', 150, (one) => middle(times(one))),
    row('p99', 'kill -9 to served, p99', 'ms', undefined, (one) => percentile(times(one), 99)),
    row('refused', 'connects refused a kill', '', undefined, ({ kills }) =>
      middle(kills.map(({ refused }) => refused)),
    ),
    row('held', '... in all kills, held sockets', '', 0, ({ held }) => held?.refused),
    row('hang', 'SIGSTOP to served, worst', 's', 15, ({ hangs }) => worst(hangs)),
    ...[FEW, MANY].flatMap((count) => [
      row(
        `cpu-${count}`,
        `CPU at rest, ${count} forwards`,
        '%',
        count === FEW ? 0.3 : undefined,
        ({ rest }) => rest[count]?.cpuPercent,
      ),
      row(
        `memory-${count}`,
        `memory (PSS), ${count} forwards`,
        'MB',
        undefined,
        ({ rest }) => rest[count]?.pssMB,
      ),
    ]),
  ]
}

/** The nearest rank: the least value that is not below so many percent of all. */
function percentile(values: readonly number[], percent: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.ceil((percent / 100) * sorted.length) - 1]
}

function worst(values: readonly Value[]): Value | undefined {
  if (values.length === 0) return undefined
  return values.includes('never') ? 'never' : Math.max(...values.filter((value) => value !== 'never'))
}

export interface Verdict {
  readonly bound: boolean | undefined
  /** Peers that do as well or better. None where the goal is 0, which nobody is ahead of. */
  readonly behind: readonly string[]
}

export function judge({ by, bound }: Row): Verdict {
  const own = rank(by[OURS])
  const behind = Object.entries(by)
    .filter(
      ([name, value]) =>
        name !== OURS && bound !== 0 && value !== undefined && own !== undefined && (rank(value) ?? 0) <= own,
    )
    .map(([name]) => name)
  return { bound: bound === undefined || own === undefined ? undefined : own <= bound, behind }
}

const rank = (value: Value | undefined) => (value === 'never' ? Number.POSITIVE_INFINITY : value)

/** A peer's cell holds its value and, in brackets, ours divided by it. */
export function verdictTable(rows: readonly Row[], names: readonly string[]): string {
  const peers = names.filter((name) => name !== OURS)
  const measured = rows.filter(({ by }) => Object.values(by).some((value) => value !== undefined))
  const lines = measured.map((row) => {
    const { by, bound, title, unit } = row
    const own = by[OURS]
    const verdict = judge(row)
    const cell = (value: Value | undefined) => {
      const isRatio = typeof value === 'number' && typeof own === 'number' && value > 0
      return `${shown(value)}${isRatio ? ` (${short(own / value)}x)` : ''}`
    }
    const goal = bound === undefined ? 'ahead' : bound === 0 ? '0' : `<= ${bound}, ahead`
    return [title, unit, shown(own), ...peers.map((name) => cell(by[name])), goal, verdictWords(own, verdict)]
  })
  return table(['figure', 'unit', 'ours', ...peers, 'goal', 'met'], lines)
}

function verdictWords(own: Value | undefined, { bound, behind }: Verdict): string {
  if (own === undefined) return '-'
  const wrong = [...(bound === false ? ['the bound'] : []), ...behind]
  return wrong.length === 0 ? 'yes' : `NO: ${wrong.join(', ')}`
}

const shown = (value: Value | undefined) =>
  typeof value === 'number' || value === undefined ? short(value) : value

/** What each does with a forwarder that is killed as soon as it serves, none of its limits lifted. */
export function shippedTable(findings: ReadonlyMap<string, Findings>): string {
  const lines = [...findings].flatMap(([name, { shipped }]) => {
    if (shipped === undefined) return []
    const { backMs, gaveUpSeconds } = shipped
    const end =
      gaveUpSeconds === undefined
        ? 'keeps on'
        : `not back ${gaveUpSeconds.toFixed(0)} s after kill ${backMs.length + 1}`
    return [[name, backMs.map((ms) => (ms / 1000).toFixed(2)).join(' ') || '-', end]]
  })
  return table(['as shipped', 'seconds to served after each kill', 'then'], lines)
}

/** Connections over all kills of a forwarder whose port is held by somebody else. */
export function heldTable(findings: ReadonlyMap<string, Findings>): string {
  const lines = [...findings].flatMap(([name, { held }]) => {
    if (held === undefined) return []
    const { kills, served, refused, broken } = held
    return [[name, `${kills}`, `${served}`, `${refused}`, `${broken}`]]
  })
  return table(['held sockets', 'kills', 'served', 'refused', 'broken'], lines)
}
