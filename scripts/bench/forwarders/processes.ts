// Starting, watching and ending what the bench runs. Each program leads a process group of its own, so that what it
// forks is counted with it and ends with it.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A program with whatever it forked. */
export interface Group {
  readonly pid: number
  alive(): boolean
  stop(): Promise<void>
}

const running = new Map<number, ChildProcess>()

function start(command: readonly string[], out: 'pipe' | number): { child: ChildProcess; group: Group } {
  const [program, ...args] = command
  if (program === undefined) throw new Error('an empty command')
  const child = spawn(program, args, { detached: true, stdio: ['ignore', out, out] })
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve())
    child.once('exit', () => resolve())
  })
  const { pid } = child
  if (pid === undefined) throw new Error(`cannot start ${program}`)
  running.set(pid, child)
  const alive = () => child.exitCode === null && child.signalCode === null
  return {
    child,
    group: {
      pid,
      alive,
      async stop() {
        killGroup(pid)
        await ended
        running.delete(pid)
      },
    },
  }
}

function killGroup(pid: number): void {
  for (const target of [...membersOf(pid), -pid]) {
    try {
      process.kill(target, 'SIGKILL')
    } catch {
      // Already gone, which is what was wanted.
    }
  }
}

/** For the way out, also by a signal: nothing that was started may stay. */
export function killEverything(): void {
  for (const pid of running.keys()) killGroup(pid)
}

/** A program that stays; what it prints goes to `logFile`. */
export function startServer(command: readonly string[], logFile: string): Group {
  const log = openSync(logFile, 'a')
  try {
    return start(command, log).group
  } finally {
    closeSync(log)
  }
}

/** A program that stays and says when it is ready, by printing `sign`. */
export async function startUntil(command: readonly string[], sign: string): Promise<Group> {
  const { child, group } = start(command, 'pipe')
  let seen = ''
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      if (seen.includes(sign)) return
      seen += chunk.toString()
      if (seen.includes(sign)) resolve()
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.once('exit', () => reject(new Error(`${command[0]} ended before it was ready: ${seen.trim()}`)))
  }).catch(async (error: unknown) => {
    await group.stop()
    throw error
  })
  return group
}

/** Runs a program to its end and returns what it printed. */
export async function runTool(command: readonly string[], seconds: number): Promise<string> {
  const { child, group } = start(command, 'pipe')
  let printed = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    printed += chunk.toString()
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    printed += chunk.toString()
  })
  const inTime = await new Promise<boolean>((resolve) => {
    const limit = setTimeout(() => resolve(false), seconds * 1000)
    child.once('close', () => {
      clearTimeout(limit)
      resolve(true)
    })
  })
  const { exitCode } = child
  await group.stop()
  if (!inTime) throw new Error(`${command[0]} did not end within ${seconds} s`)
  if (exitCode !== 0) throw new Error(`${command[0]} exit ${exitCode}: ${printed.trim().slice(-300)}`)
  return printed
}

/** Resolves once something accepts on the port. */
export async function waitForPort(port: number, group: Group, logFile: string): Promise<void> {
  const until = performance.now() + 10_000
  while (performance.now() < until) {
    if (!group.alive()) break
    if (await accepts(port)) return
    await sleep(10)
  }
  throw new Error(`nothing listens on ${port}: ${readFileSync(logFile, 'utf8').trim().slice(-300)}`)
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(port, '127.0.0.1')
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}

let nextPort = 20_000 + (process.pid % 10_000)

/** Ports below the range the kernel hands out for outgoing connections, so that none of those can take one first. */
export async function freePort(): Promise<number> {
  for (;;) {
    // Another one that asks meanwhile gets another one.
    const port = nextPort >= 32_000 ? 20_000 : nextPort + 1
    nextPort = port
    if (await canListen(port)) return port
  }
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) ports.push(await freePort())
  return ports
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1' }, () => probe.close(() => resolve(true)))
  })
}

/** What the kernel says of one process; undefined when it is gone. */
interface Stat {
  readonly parent: number
  readonly group: number
  readonly cpuSeconds: number
}

function statOf(pid: number): Stat | undefined {
  const stat = readProc(`/proc/${pid}/stat`)
  if (stat === '') return undefined
  // The program's name, in brackets, may itself hold spaces and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // utime, stime, and cutime and cstime for the children that ended and were waited for.
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  // Linux shows it in hundredths, whatever the kernel's own tick is.
  return { parent: Number(fields[1]), group: Number(fields[2]), cpuSeconds: ticks / 100 }
}

/** The PIDs of all processes that can be seen. */
export function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** The processes of a group, and those that they have started with sessions of their own. */
function membersOf(group: number): number[] {
  const stats = new Map(allPids().map((pid) => [pid, statOf(pid)]))
  const isMember = (pid: number): boolean => {
    const stat = stats.get(pid)
    return stat !== undefined && (stat.group === group || isMember(stat.parent))
  }
  return [...stats.keys()].filter(isMember)
}

/** A file below /proc, empty when its process is gone. */
export function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** User and system time in seconds of a process and of the children it has waited for. */
export function processCpuSeconds(pid: number): number {
  return statOf(pid)?.cpuSeconds ?? 0
}

/** The proportional set size of a process in bytes: a page that several share is counted once among them. */
export function processPssBytes(pid: number): number {
  return kibibytes('Pss', readProc(`/proc/${pid}/smaps_rollup`)) * 1024
}

/** The resident set size of a process in bytes, what it shares with others included. */
export function processRssBytes(pid: number): number {
  return kibibytes('VmRSS', readProc(`/proc/${pid}/status`)) * 1024
}

function kibibytes(field: string, text: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
}

/** User and system time of the group in seconds. */
export function cpuSeconds(group: Group): number {
  return membersOf(group.pid).reduce((sum, pid) => sum + processCpuSeconds(pid), 0)
}

/**
 * The group's own memory in bytes, pages shared between its processes counted once. Program text and other pages of
 * files are left out: the kernel drops and reloads those as it likes, tens of MiB of them for Node.
 */
export function memoryBytes(group: Group): number {
  return membersOf(group.pid).reduce((sum, pid) => {
    const memory = readProc(`/proc/${pid}/smaps_rollup`)
    return sum + (kibibytes('Pss_Anon', memory) + kibibytes('Pss_Shmem', memory)) * 1024
  }, 0)
}

export interface MemoryRange {
  readonly least: number
  readonly most: number
}

/** The range of the group's memory in bytes until `work` is done, read five times a second. */
export async function withMemory<T>(group: Group | undefined, work: Promise<T>): Promise<[T, MemoryRange]> {
  const seen = group ? [memoryBytes(group)] : []
  const watch = setInterval(() => {
    if (group) seen.push(memoryBytes(group))
  }, 200)
  try {
    const result = await work
    return [result, { least: Math.min(...seen), most: Math.max(...seen) }]
  } finally {
    clearInterval(watch)
  }
}
