import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'
import type { ProcessStat, TableEntry } from '../backend.ts'

export function processTable(): TableEntry[] {
  return entries().flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    const pid = Number(entry)
    const stat = readProcStat(pid)
    // One that has ended since it was listed.
    return stat === undefined || stat === 'unreadable' ? [] : [{ pid, ...stat }]
  })
}

function entries(): string[] {
  try {
    return readdirSync('/proc')
  } catch {
    return []
  }
}

/** A line of /proc/PID/stat has some 350 bytes. */
const statBytes = Buffer.alloc(4096)

/** In one read: the whole table is read so. */
function readStatLine(pid: number): string {
  const descriptor = openSync(`/proc/${pid}/stat`, 'r')
  try {
    return statBytes.toString('latin1', 0, readSync(descriptor, statBytes, 0, statBytes.length, 0))
  } finally {
    closeSync(descriptor)
  }
}

export function readProcStat(pid: number): ProcessStat | 'unreadable' | undefined {
  let text: string
  try {
    text = readStatLine(pid)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return code === 'ENOENT' || code === 'ESRCH' ? undefined : 'unreadable'
  }
  return parseProcStat(text) ?? 'unreadable'
}

/** PF_EXITING of linux/sched.h. */
const exitingFlag = 0x4

/** The last field that is read: the start time. */
const lastField = 22

/** Reads one line of /proc/PID/stat. The name in brackets may itself hold brackets and spaces: the last `)` ends it. */
export function parseProcStat(text: string): ProcessStat | undefined {
  const nameEnd = text.lastIndexOf(')')
  if (nameEnd < 0) return undefined
  const fields = text.slice(nameEnd + 2).split(' ', lastField - 2)
  // Fields of proc(5) count from 1; the state, field 3, is the first one here.
  const field = (number: number) => fields[number - 3]
  const state = field(3)
  const startTime = field(lastField)
  if (!state || !startTime || !/^\d+$/.test(startTime)) return undefined
  return {
    state,
    startTime,
    isExiting: (Number(field(9)) & exitingFlag) !== 0,
    parent: Number(field(4)),
    processGroup: Number(field(5)),
    session: Number(field(6)),
    // USER_HZ is 100 on every architecture that Node runs on.
    cpuTicks: Number(field(14)) + Number(field(15)),
  }
}

export function commandLine(pid: number): string[] | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    words.pop()
    return words.length > 0 ? words : undefined
  } catch {
    return undefined
  }
}

export function userOf(pid: number): number | undefined {
  try {
    const ids = /^Uid:((?:\s+\d+){4})$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    const [first, ...others] = (ids ?? '').trim().split(/\s+/)
    return first !== undefined && first !== '' && others.every((id) => id === first)
      ? Number(first)
      : undefined
  } catch {
    return undefined
  }
}

/** From /proc/PID/environ, which shows what the process was started with. */
export function environmentOf(pid: number, name: string): string | undefined {
  try {
    const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    return variables.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1)
  } catch {
    return undefined
  }
}

export function memoryOf(pid: number): number | undefined {
  return proportional(pid) ?? resident(pid)
}

function proportional(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    const pss = kibibytes(text, 'Pss')
    return pss === undefined ? undefined : pss + (kibibytes(text, 'SwapPss') ?? 0)
  } catch {
    return undefined
  }
}

function resident(pid: number): number | undefined {
  try {
    return kibibytes(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS')
  } catch {
    return undefined
  }
}

function kibibytes(text: string, key: string): number | undefined {
  const found = new RegExp(`^${key}:\\s*(\\d+) kB$`, 'm').exec(text)?.[1]
  return found === undefined ? undefined : Number(found) * 1024
}
