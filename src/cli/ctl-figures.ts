/** What `proxy-ctl processes` and `proxy-ctl system-stats` print. */

import type { ProcessesOutput, SystemStats } from '../orders/process-orders.ts'
import { duration, shortDuration } from '../os/duration.ts'
import { oneLine } from '../os/printable.ts'
import { limitInWords } from '../record/limit-words.ts'
import { toText } from '../report/render.ts'
import { stateWord } from '../report/render-table.ts'
import { looksOf } from '../report/terminal.ts'
import { cutLine, type Line, pad } from '../report/text.ts'
import { tableLayout } from './ctl-table.ts'

export function processesText({ units }: ProcessesOutput): string {
  const rows = units.flatMap(({ name, processes }) =>
    processes.map((process) => [
      name,
      String(process.pid),
      String(process.parent),
      process.state,
      percent(process.cpuPercent),
      bytes(process.memoryBytes),
      oneLine(process.command ?? '–'),
    ]),
  )
  if (rows.length === 0) return 'There are no processes.\n'
  return table(['NAME', 'PID', 'PARENT', 'STATE', 'CPU', 'MEMORY', 'COMMAND'], rows)
}

export function systemStatsText({ units, monitor, host }: SystemStats): string {
  const rows = units.map((unit) => [
    unit.name,
    stateWord(unit.state),
    String(unit.pid ?? '–'),
    percent(unit.cpuPercent),
    bytes(unit.memoryBytes),
    String(unit.descriptors ?? '–'),
    String(unit.threads ?? '–'),
    String(unit.children),
    unit.uptimeMs === null ? '–' : shortDuration(unit.uptimeMs),
    String(unit.restarts),
  ])
  const columns = [
    'NAME',
    'STATE',
    'PID',
    'CPU',
    'MEMORY',
    'FILES',
    'THREADS',
    'CHILDREN',
    'UPTIME',
    'RESTARTS',
  ]
  const { load, cores, memory, disk } = host
  const free = disk === null ? '' : `; disk: ${bytes(disk.availableBytes)} of ${bytes(disk.totalBytes)} free`
  return [
    table(columns, rows),
    `monitor: PID ${monitor.pid}, ${bytes(monitor.memoryBytes)}, for ${duration(monitor.uptimeMs)}\n`,
    `host: load ${load.map((one) => one.toFixed(2)).join(' ')} on ${cores} cores; memory: `,
    `${bytes(memory.availableBytes)} of ${bytes(memory.totalBytes)} available${free}\n`,
  ].join('')
}

function percent(value: number | null): string {
  return value === null ? '–' : `${value} %`
}

function bytes(value: number | null): string {
  return value === null ? '–' : limitInWords('memory', value)
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const looks = looksOf(process.stdout, process.env)
  const { widths, gap } = tableLayout(columns, rows, looks.width)
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => pad(cell, widths[i] ?? 0))
      .join(' '.repeat(gap))
      .trimEnd()
  const head: Line = [{ text: line(columns), colour: 'bold' }]
  return toText(
    [head, ...rows.map((cells): Line => [...cutLine([{ text: line(cells) }], looks.width)])],
    looks,
  )
}
