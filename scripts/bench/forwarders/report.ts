// From samples to medians, verdicts and the printed tables. No measuring here.
import { type Contender, type Kind, OURS } from './contenders.ts'
import type { Goal, Series } from './series.ts'

export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly values: readonly number[]
}

/** One series: each contender's summary, in the order they run; who failed or does not take part is missing. */
export interface Row {
  readonly series: Series
  readonly by: ReadonlyMap<string, Summary>
}

export interface Rival {
  readonly name: string
  readonly median: number
  /** Ours divided by theirs. */
  readonly ratio: number | undefined
}

export interface Verdict {
  readonly title: string
  readonly unit: string
  readonly ours: number | undefined
  readonly defaults: Rival | undefined
  readonly tuned: Rival | undefined
  /** The best of those that are no single process in this series, whatever their class; undefined = there are none. */
  readonly manyProcesses: Rival | undefined
  readonly goal: string
  readonly met: boolean | undefined
}

export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? Number.NaN
  const middle = sorted.length / 2
  const median = sorted.length % 2 === 1 ? at(Math.floor(middle)) : (at(middle - 1) + at(middle)) / 2
  return { median, min: at(0), max: at(sorted.length - 1), values }
}

export function judge({ series, by }: Row, field: readonly Contender[]): Verdict {
  const ours = by.get(OURS)?.median
  // What has a plain bound may well be nought for a peer, and then a ratio says nothing.
  const ratioTo = (theirs: number) =>
    ours === undefined || series.goal.kind === 'bound' ? undefined : ours / theirs

  function rival(name: string): Rival | undefined {
    const median = by.get(name)?.median
    return median === undefined ? undefined : { name, median, ratio: ratioTo(median) }
  }

  function best(contenders: readonly Contender[]): Rival | undefined {
    const rivals = contenders.flatMap(({ name }) => rival(name) ?? [])
    const sign = series.better === 'more' ? -1 : 1
    return rivals.sort((a, b) => sign * (a.median - b.median))[0]
  }

  const isPeer = ({ kind }: Contender) => kind === 'defaults' || kind === 'tuned'
  const isMany = ({ heavy = false }: Contender) => heavy && (series.several ?? false)
  const bestOf = (kind: Kind) => best(field.filter((one) => one.kind === kind && !isMany(one)))

  const reaches = (value: number, bar: number) => (series.better === 'more' ? value >= bar : value <= bar)

  function meets(goal: Goal, defaults: Rival | undefined, tuned: Rival | undefined): boolean | undefined {
    if (ours === undefined) return undefined
    switch (goal.kind) {
      case 'bound':
        return reaches(ours, goal.value)
      case 'peer': {
        const ratio = rival(goal.name)?.ratio
        return ratio === undefined ? undefined : reaches(ratio, goal.ratio)
      }
      case 'best':
        if (defaults?.ratio === undefined || tuned?.ratio === undefined) return undefined
        return reaches(defaults.ratio, goal.defaults) && reaches(tuned.ratio, goal.tuned)
    }
  }

  function words(goal: Goal): string {
    const sign = series.better === 'more' ? '>=' : '<='
    switch (goal.kind) {
      case 'bound':
        return `${sign} ${goal.value} ${series.unit}`
      case 'peer': {
        const ratio = rival(goal.name)?.ratio
        const now = ratio === undefined ? '' : ` (is ${ratio.toFixed(2)}x)`
        return `${sign} ${goal.ratio}x ${goal.name}${now}`
      }
      case 'best':
        return `${sign} ${goal.defaults}x, ${sign} ${goal.tuned}x tuned`
    }
  }

  const defaults = bestOf('defaults')
  const tuned = bestOf('tuned')
  const manyProcesses = best(field.filter((one) => isPeer(one) && isMany(one)))
  const { title, unit, goal } = series
  const met = meets(goal, defaults, tuned)
  return { title, unit, ours, defaults, tuned, manyProcesses, goal: words(goal), met }
}

/** What the table leaves out, as lines: peers with a process for each connection. Empty = nothing. */
export function manyProcessesLines(verdicts: readonly Verdict[]): readonly string[] {
  const lines = verdicts.flatMap(({ title, unit, manyProcesses }) => {
    if (manyProcesses === undefined) return []
    const { name, median, ratio } = manyProcesses
    return `  ${title}: ${name} ${short(median)} ${unit}, ours ${times(ratio)}`
  })
  return lines.length === 0 ? [] : ['', 'not in the table, with a process for each stream:', ...lines]
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  const rival = (one: Rival | undefined) =>
    one === undefined ? ['-', '-'] : [`${short(one.median)} ${one.name}`, times(one.ratio)]
  return table(
    ['figure', 'unit', 'ours', 'best at defaults', 'ratio', 'best tuned', 'ratio', 'goal', 'met'],
    verdicts.map(({ title, unit, ours, defaults, tuned, goal, met }) => [
      ...[title, unit, short(ours), ...rival(defaults), ...rival(tuned), goal],
      met === undefined ? '-' : met ? 'yes' : 'NO',
    ]),
  )
}

/** Every contender's median with the least and the most of the rounds. */
export function matrixTable(rows: readonly Row[], field: readonly Contender[]): string {
  const spread = (one: Summary | undefined) => {
    if (one === undefined) return '-'
    const { median, min, max, values } = one
    return values.length === 1 ? short(median) : `${short(median)} (${short(min)}..${short(max)})`
  }
  return table(
    ['contender', ...rows.map(({ series }) => `${series.id} ${series.unit}`)],
    field
      .filter(({ name }) => rows.some(({ by }) => by.has(name)))
      .map(({ name, kind }) => [
        kind === 'floor' || kind === 'direct' ? `${name} [${kind}]` : name,
        ...rows.map(({ by }) => spread(by.get(name))),
      ]),
  )
}

function times(ratio: number | undefined): string {
  return ratio === undefined ? '-' : `${ratio.toFixed(2)}x`
}

/** Three digits that matter. */
export function short(value: number | undefined): string {
  if (value === undefined) return '-'
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.995 ? 2 : 3)
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '-'.repeat(width)).join('  ')
  return [line(head), rule, ...rows.map(line)].join('\n')
}
