import { readFileSync } from 'node:fs'
import path from 'node:path'
import { wallTime } from '../os/clock.ts'
import { oneLine } from '../os/printable.ts'
import { ownUid } from '../os/trusted-path.ts'
import { judgeProcess, sameProcess } from '../process/identity.ts'
import { type OwnKind, type OwnProcess, ownProcesses } from '../process/own-processes.ts'
import { readRuntimeState } from '../record/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { writersDirectory } from '../record/usual-directories.ts'
import { type Colour, columnsOf, cutLine, type Line, pad, wrapLine } from './text.ts'

/** The version of the shape of `proxy-status --processes --json`. */
const processesSchemaVersion = 1

/** One forwarder or monitor of this machine. */
export interface ListedProcess {
  readonly kind: OwnKind
  readonly pid: number
  readonly port: number | null
  /** What the monitor calls the forward; null when no monitor knows it. */
  readonly name: string | null
  /** The number of the user where the system has no name for it; null when it is unknown. */
  readonly user: string | null
  /** null when it is its user's default and that is another user. */
  readonly stateDirectory: string | null
  /**
   * What brings it back when it dies: a monitor, systemd, or for a worker its forwarder. null = nothing, or, where `isKnown` is false,
   * unknown, because this user may not read the records.
   */
  readonly monitoredBy: {
    readonly what: 'monitor' | 'systemd' | 'forwarder'
    readonly pid: number | null
  } | null
  readonly isKnown: boolean
  /** Its command line. */
  readonly command: string
}

export interface ProcessList {
  readonly schemaVersion: typeof processesSchemaVersion
  /** ISO 8601. */
  readonly takenAt: string
  /** Forwarders by port, each with its workers, then monitors, then the old scripts. */
  readonly processes: readonly ListedProcess[]
}

/** Lists every forwarder and monitor of this PID namespace, of whatever user and state directory. Reads only. */
export async function listProcesses(): Promise<ProcessList> {
  const own = await ownProcesses()
  const users = userNames()
  const processes = own.map((process) => ({
    kind: process.kind,
    pid: process.pid,
    port: process.port ?? null,
    user: process.uid === undefined ? null : (users.get(process.uid) ?? String(process.uid)),
    command: process.words.join(' '),
    ...recordsOf(process, own),
  }))
  const order: readonly OwnKind[] = [
    'forwarder',
    'worker',
    'monitor',
    'old-monitor',
    'old-forwarder',
    'old-status',
  ]
  const isForwarders = (kind: OwnKind) => kind === 'forwarder' || kind === 'worker'
  processes.sort((a, b) => {
    if (isForwarders(a.kind) && isForwarders(b.kind) && a.port !== b.port)
      return (a.port ?? 0) - (b.port ?? 0)
    return order.indexOf(a.kind) - order.indexOf(b.kind) || a.pid - b.pid
  })
  return { schemaVersion: processesSchemaVersion, takenAt: wallTime(), processes }
}

type Recorded = Pick<ListedProcess, 'name' | 'stateDirectory' | 'monitoredBy' | 'isKnown'>

/** What the records of its state directory say of a process. */
function recordsOf(process: OwnProcess, all: readonly OwnProcess[]): Recorded {
  if (process.kind.startsWith('old-')) {
    return { name: null, stateDirectory: null, monitoredBy: null, isKnown: true }
  }
  const isOwn = process.uid === undefined || process.uid === ownUid()
  const stateDirectory = process.stateDirectory ?? (isOwn ? writersDirectory(undefined).directory : null)
  const unknown = { name: null, stateDirectory, monitoredBy: null, isKnown: false }
  if (stateDirectory === null) return unknown
  const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
  if (process.kind === 'monitor') return { name: null, stateDirectory, monitoredBy: null, isKnown: true }
  if (reading.kind === 'unreadable') return unknown
  const record =
    reading.kind === 'read' ? reading.state.forwards.find(({ port }) => port === process.port) : undefined
  const name = record?.name ?? null
  if (process.kind === 'worker') {
    const forwarder = all.find(({ kind, port }) => kind === 'forwarder' && port === process.port)
    const monitoredBy = { what: 'forwarder' as const, pid: forwarder?.pid ?? null }
    return { name, stateDirectory, monitoredBy, isKnown: true }
  }
  if (reading.kind !== 'read' || record === undefined) {
    return { name, stateDirectory, monitoredBy: null, isKnown: true }
  }
  const { identity } = reading.state.writer
  const isAlive = ['alive', 'stopped'].includes(judgeProcess(identity))
  // The one that a successor has replaced finishes its connections, and nothing brings it back.
  const current = record.identity ?? record.health?.identity ?? null
  const isCurrent =
    current === null || process.identity === undefined || sameProcess(current, process.identity)
  const isSystemds = record.memory.supervisor === 'systemd'
  const monitoredBy = isSystemds
    ? { what: 'systemd' as const, pid: null }
    : isAlive && isCurrent
      ? { what: 'monitor' as const, pid: identity.pid }
      : null
  return { name, stateDirectory, monitoredBy, isKnown: true }
}

/** The names of users, from the file that every system has; those of a directory service stay numbers. */
function userNames(): ReadonlyMap<number, string> {
  try {
    const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
    return new Map(
      lines.flatMap((line) => {
        const [name, , uid] = line.split(':')
        return name && uid ? [[Number(uid), name] as const] : []
      }),
    )
  } catch {
    return new Map()
  }
}

const kindWords: Readonly<Record<OwnKind, string>> = {
  forwarder: 'forwarder',
  worker: 'worker',
  monitor: 'monitor',
  'old-forwarder': 'tcp_proxy.py',
  'old-monitor': 'monitor_proxy.sh',
  'old-status': 'proxy_status.sh',
}

/** The list for people. No line is wider than the terminal. */
export function processLines({ processes }: ProcessList, width: number): Line[] {
  if (processes.length === 0)
    return wrapLine([{ text: 'No forwarder and no monitor is running here.' }], width)
  const titles = ['WHAT', 'PID', 'PORT', 'NAME', 'USER', 'MONITORED BY', 'STATE DIRECTORY']
  const rows = processes.map((process) => ({ cells: cellsOf(process), colour: colourOf(process) }))
  const widths = titles.map((title, i) =>
    Math.max(columnsOf(title), ...rows.map(({ cells }) => columnsOf(cells[i] ?? ''))),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => pad(cell, widths[i] ?? 0))
      .join('  ')
      .trimEnd()
  const table = [
    [{ text: line(titles), colour: 'dim' as const }],
    ...rows.map(({ cells, colour }) => [{ text: line(cells), colour }]),
  ]
  // Where the table is too wide, each process is a paragraph.
  const isNarrow = widths.slice(0, -1).reduce((sum, one) => sum + one + 2, 0) + 8 > width
  if (!isNarrow) return table.map((row) => [...cutLine(row, width)])
  return rows.flatMap(({ cells, colour }) => wrapLine([{ text: cells.join(' '), colour }], width, '  '))
}

function cellsOf(process: ListedProcess): string[] {
  const { kind, pid, port, name, user, stateDirectory } = process
  const shown = [name ?? '–', user ?? '–', monitoredText(process), stateDirectory ?? '–'].map(oneLine)
  return [kindWords[kind], String(pid), port === null ? '–' : String(port), ...shown]
}

function monitoredText({ kind, monitoredBy, isKnown }: ListedProcess): string {
  if (kind === 'monitor') return '–'
  if (kind.startsWith('old-')) return 'old script'
  if (monitoredBy === null) return isKnown ? 'not monitored' : 'unknown'
  const { what, pid } = monitoredBy
  return pid === null ? what : `${what} ${pid}`
}

function colourOf(process: ListedProcess): Colour | undefined {
  if (process.kind.startsWith('old-')) return 'yellow'
  return process.monitoredBy === null && process.isKnown && process.kind !== 'monitor' ? 'yellow' : undefined
}
