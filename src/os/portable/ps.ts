import { execFileSync } from 'node:child_process'
import type { ProcessStat, TableEntry } from '../backend.ts'
import { errorCode } from '../failure.ts'

/** More than any process table takes. */
const maxBuffer = 64 * 1024 * 1024

/** What `ps` prints; undefined when there is no such process, `unreadable` when `ps` cannot be run. */
function ps(words: readonly string[]): string | 'unreadable' | undefined {
  try {
    // Start times are compared: they must depend on neither locale nor time zone.
    const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' }
    const said = execFileSync('ps', words, { encoding: 'utf8', env, maxBuffer, stdio: 'pipe' })
    return said.trim() || undefined
  } catch (error) {
    // It ends with 1 and without a word when there is no such process; anything else is a failure of its own.
    const { status, stderr } = error as { status?: number; stderr?: string }
    return status === 1 && stderr === '' ? undefined : 'unreadable'
  }
}

/** Columns of one process. */
function columnsOf(pid: number, columns: string): string | 'unreadable' | undefined {
  // Most questions are about a process that is gone, and this answers them without a program.
  if (!isThere(pid)) return undefined
  return ps(['-ww', '-o', columns, '-p', String(pid)])
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) !== 'ESRCH'
  }
}

const statColumns = 'pid=,ppid=,pgid=,stat=,time=,lstart='

export function processStat(pid: number): ProcessStat | 'unreadable' | undefined {
  const line = columnsOf(pid, statColumns)
  if (line === undefined || line === 'unreadable') return line
  return parseStatLine(line) ?? 'unreadable'
}

export function processTable(): readonly TableEntry[] {
  const text = ps(['axwwo', statColumns])
  if (text === undefined || text === 'unreadable') return []
  return text.split('\n').flatMap((line) => parseStatLine(line) ?? [])
}

/** Reads `pid ppid pgid stat time lstart`. */
export function parseStatLine(line: string): TableEntry | undefined {
  const [pid, parent, group, stat, time, ...start] = line.trim().split(/\s+/)
  if (stat === undefined || time === undefined || start.length !== 5) return undefined
  return {
    pid: Number(pid),
    parent: Number(parent),
    processGroup: Number(group),
    session: Number(group),
    state: stat.charAt(0),
    isExiting: false,
    cpuTicks: ticksOf(time),
    startTime: start.join(' '),
  }
}

/** `[[days-]hours:]minutes:seconds[.hundredths]` in hundredths of a second. */
function ticksOf(time: string): number {
  const [clock = '', days = '0'] = time.split('-').reverse()
  const seconds = clock.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
  return Math.round((Number(days) * 86_400 + seconds) * 100)
}

export function startOrder(startTime: string): number {
  return Date.parse(`${startTime} UTC`)
}

export function commandLine(pid: number): string[] | undefined {
  const line = columnsOf(pid, 'args=')
  return line === undefined || line === 'unreadable' ? undefined : line.split(' ')
}

export function userOf(pid: number): number | undefined {
  const line = columnsOf(pid, 'uid=,ruid=,svuid=')
  if (line === undefined || line === 'unreadable') return undefined
  const [first, ...others] = line.split(/\s+/).map(Number)
  return others.length === 2 && others.every((id) => id === first) ? first : undefined
}

/** `ps -E` of macOS and `ps e` of Linux put the variables behind the arguments. A value ends at the next blank. */
export function environmentOf(pid: number, name: string): string | undefined {
  const text = isThere(pid) ? ps(['eww', '-o', 'args=', '-p', String(pid)]) : undefined
  return text?.match(new RegExp(`(?:^| )${name}=([^ ]*)`))?.[1]
}

export function memoryOf(pid: number): number | undefined {
  const kibibytes = Number(columnsOf(pid, 'rss='))
  return kibibytes > 0 ? kibibytes * 1024 : undefined
}
