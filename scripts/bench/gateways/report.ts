// The tables of RESULTS.md, ready to be put there.
import type { Machine } from '../forwarders/machine.ts'
import { short, summarize } from '../forwarders/report.ts'
import type { Rest } from '../supervisors/stages/rest.ts'
import { type Contender, OURS } from './contenders.ts'
import type { Loaded } from './load.ts'
import type { Field } from './rounds.ts'
import type { Calls } from './stages/calls.ts'
import type { Held } from './stages/held.ts'
import { type Profile, parts } from './stages/profile.ts'
import type { Size } from './stages/size.ts'
import type { StoreReads } from './stages/store.ts'

export interface Findings {
  calls?: ReadonlyMap<string, Calls>
  modern?: ReadonlyMap<string, Calls>
  held?: ReadonlyMap<string, Held>
  heldApart?: Held
  rest?: Rest
  store?: StoreReads
  profile?: Profile
  sizes?: readonly Size[]
}

const MB = 1e6

export function report(machine: Machine, { contenders, failures }: Field, found: Findings): string {
  const versions = Object.entries(machine.versions).map(([tool, version]) => `${tool} ${version}`)
  const place = `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`
  const blocks = [
    `${place}, ${versions.join(', ')}, commit ${machine.commit}, load before ${machine.loadBefore.toFixed(1)}`,
    found.calls && callTable(contenders, found.calls),
    found.modern && `Revision 2026-07-28:\n\n${callTable(contenders, found.modern)}`,
    goals(contenders, found),
    found.held && heldTable(found.held, found.heldApart),
    found.profile && profileTable(found.profile),
    found.sizes && sizeTable(found.sizes),
    found.store && `Files while ${found.store.calls} calls came: ${JSON.stringify(found.store.others)}`,
    ...failures.map((why) => `failed: ${why}`),
  ]
  return blocks.filter((block) => block !== undefined && block !== '').join('\n\n')
}

/** Medians of the rounds. */
function middle(loads: readonly Loaded[] | undefined, of: (load: Loaded) => number): number | undefined {
  return loads === undefined || loads.length === 0 ? undefined : summarize(loads.map(of)).median
}

function callTable(contenders: readonly Contender[], calls: ReadonlyMap<string, Calls>): string {
  const field = contenders.filter(({ name }) => calls.has(name))
  const counts = [...(calls.get(OURS)?.by.keys() ?? [])]
  const of = (name: string, count: number, what: (load: Loaded) => number) =>
    middle(calls.get(name)?.by.get(count), what)
  const each = (title: string, cell: (name: string, count: number) => string) =>
    counts.map((count) => [`${title}, c = ${count}`, ...field.map(({ name }) => cell(name, count))])
  const rows = [
    ...each('calls a second', (name, count) => short(of(name, count, (load) => load.callsPerSecond))),
    ...each('p50 / p99, ms', (name, count) => {
      const [p50, p99] = [of(name, count, (load) => load.p50), of(name, count, (load) => load.p99)]
      return p50 === undefined ? '-' : `${short(p50)} / ${short(p99)}`
    }),
    ...each('CPU of the gateway for a call, µs', (name, count) =>
      short(of(name, count, (load) => load.cpuMicros)),
    ),
  ]
  const isPeer = (name: string) => field.some((one) => one.name === name && one.kind === 'peer')
  const ratios = counts.map((count) => {
    const rate = (name: string) => of(name, count, (load) => load.callsPerSecond) ?? 0
    const best = Math.max(0, ...[...calls.keys()].filter(isPeer).map(rate))
    return best > 0 ? short(rate(OURS) / best) : '-'
  })
  const first = counts[0] ?? 1
  const direct = of('direct', first, (load) => load.p50)
  const added = field.map(({ name }) => {
    const own = of(name, first, (load) => load.p50)
    return short(own === undefined || direct === undefined || name === 'direct' ? undefined : own - direct)
  })
  const memory = field.map(({ name }) => {
    const bytes = calls.get(name)?.pssBytes
    return short(bytes === undefined ? undefined : bytes / MB)
  })
  return markdown(
    ['figure', ...field.map(({ name }) => name), 'ours / best peer'],
    [
      ...rows.map((row, index) => [...row, ratios[index] ?? '']),
      ...(direct === undefined ? [] : [[`added to the p50 of direct, ms, c = ${first}`, ...added]]),
      ['memory after the load, MB of PSS', ...memory],
      ['children', ...field.map(({ name }) => String(calls.get(name)?.children ?? '-'))],
    ],
  )
}

function goals(contenders: readonly Contender[], found: Findings): string {
  const rows: string[][] = []
  const goal = (title: string, is: number | undefined, words: string, met: (is: number) => boolean) => {
    if (is !== undefined) rows.push([title, short(is), words, met(is) ? 'yes' : '**no**'])
  }
  const loads = found.calls?.get(OURS)?.by.get(64)
  const rate = middle(loads, (load) => load.callsPerSecond)
  const best = Math.max(
    0,
    ...contenders
      .filter(({ kind }) => kind === 'peer')
      .map(({ name }) => middle(found.calls?.get(name)?.by.get(64), (load) => load.callsPerSecond) ?? 0),
  )
  goal('calls a second, c = 64, with a key', rate, '>= 10,000', (is) => is >= 10_000)
  goal(
    'p99, c = 64, ms',
    middle(loads, (load) => load.p99),
    '< 10',
    (is) => is < 10,
  )
  const ratio = rate === undefined || best === 0 ? undefined : rate / best
  goal('ratio to the best peer, c = 64', ratio, '>= 4', (is) => is >= 4)
  const { profile, rest, store } = found
  goal('access and routing of a call, µs', profile?.micros['access and routing'], '<= 50', (is) => is <= 50)
  const streams = found.held?.get(OURS)
  if (streams !== undefined)
    goal(`${streams.sessions} idle streams, MB (RSS)`, streams.rssBytes / MB, '< 150', (is) => is < 150)
  goal('at rest, 10 connectors, MB (RSS)', rest?.rssMB, '<= 80', (is) => is <= 80)
  goal('at rest, 10 connectors, MB (PSS)', rest?.pssMB, '<= 80', (is) => is <= 80)
  goal('at rest, 10 connectors, CPU, % of a core', rest?.cpuPercent, '-', () => true)
  if (streams !== undefined) {
    const more = streams.children.after - streams.children.before
    goal(`children more after ${streams.sessions} vanished sessions`, more, '0', (is) => is === 0)
  }
  goal('reads of the store by warm calls', store?.opened, '0', (is) => is === 0)
  if (store !== undefined)
    goal(
      'looks at whether keys have changed, a second',
      store.looked / store.seconds,
      '<= 10',
      (is) => is < 11,
    )
  return rows.length === 0 ? '' : markdown(['figure', 'ours', 'goal', 'met'], rows)
}

function heldTable(held: ReadonlyMap<string, Held>, apart: Held | undefined): string {
  const all = [...held, ...(apart === undefined ? [] : [['ours, isolation: session', apart] as const])]
  const head = [
    'sessions with a stream',
    'sessions',
    'grown by, MB',
    'KB each',
    'children before',
    'most',
    'after',
  ]
  return markdown(
    head,
    all.map(([name, { sessions, grownBytes, children }]) => [
      name,
      String(sessions),
      short(grownBytes / MB),
      short(grownBytes / 1000 / sessions),
      ...[children.before, children.most, children.after].map(String),
    ]),
  )
}

function profileTable({ calls, micros }: Profile): string {
  const rows = parts.map((part) => [part, short(micros[part])])
  return markdown([`profile of ${calls} calls, c = 64`, 'µs a call'], rows)
}

function sizeTable(sizes: readonly Size[]): string {
  const row = (title: string, of: (size: Size) => number) => [title, ...sizes.map((one) => short(of(one)))]
  return markdown(
    ['size', ...sizes.map(({ connectors, tools, clients }) => `${connectors} / ${tools} / ${clients}`)],
    [
      row('start until the last connector is ready, s', ({ startMs }) => startMs / 1000),
      row('all clients list all tools, ms', ({ listMs }) => listMs),
      row('a list, KB', ({ listBytes }) => listBytes / 1000),
      row('calls checked, all right', ({ checked }) => checked),
      row('calls a second', ({ load }) => load.callsPerSecond),
      row('p50, ms', ({ load }) => load.p50),
      row('p99, ms', ({ load }) => load.p99),
      row('CPU for a call, µs', ({ load }) => load.cpuMicros),
      row('memory, MB of PSS', ({ pssBytes }) => pssBytes / MB),
      row('children', ({ children }) => children),
    ],
  )
}

/** A table as RESULTS.md has them: figures stand to the right. */
function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(3, ...all.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) => {
    const cells = widths.map((width, column) =>
      column === 0 ? (row[column] ?? '').padEnd(width) : (row[column] ?? '').padStart(width),
    )
    return `| ${cells.join(' | ')} |`
  }
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n')
}
