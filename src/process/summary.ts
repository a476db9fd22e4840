import { oneLine } from '../os/printable.ts'
import { system } from '../os/system.ts'

/** A process as reports, records and messages name it: one that holds a port, was left behind, or does not end. */
export interface ProcessSummary {
  /** Undefined when the system does not tell: the socket it is known by belongs to another user. */
  readonly pid: number | undefined
  /** Its command line on one line, shortened; undefined when it cannot be read. */
  readonly command: string | undefined
  /** UID, where it is known. */
  readonly uid?: number | undefined
  /** The address on which it holds the port in question. */
  readonly address?: string
}

const longestCommand = 80

/** Summarizes a process that is there. */
export function summarize(pid: number): ProcessSummary {
  return { pid, command: commandOf(pid) }
}

/** What a process runs, shortened, on one line; undefined when that cannot be read. */
export function commandOf(pid: number): string | undefined {
  const words = system.commandLine(pid)
  return words && shortCommand(words.join(' '))
}

/** A command line, shortened, on one line. Holds no round brackets, which it stands between. */
export function shortCommand(command: string): string {
  const line = oneLine(command).replaceAll('(', '[').replaceAll(')', ']')
  return line.length > longestCommand ? `${line.slice(0, longestCommand - 1)}…` : line
}

/** A process in words, as it was found or as it was written down: `PID 4242 (node server.js)`. */
export function describeProcess({ pid, command }: ProcessSummary | RecordedProcess): string {
  return pid == null ? 'a process of another user' : `PID ${pid} (${command ?? 'unknown'})`
}

/** A process in a record, in JSON. */
export interface RecordedProcess {
  /** Null = its socket belongs to another user. */
  readonly pid: number | null
  /** Its command line on one line, shortened; null = it cannot be read. */
  readonly command: string | null
}

/** For a record. */
export function recorded({ pid, command }: ProcessSummary): RecordedProcess {
  return { pid: pid ?? null, command: command ?? null }
}

/** Several in words: `PID 4242 (node a.js) and PID 4243 (node b.js)`. */
export function describeProcesses(processes: readonly ProcessSummary[]): string {
  return processes.map(describeProcess).join(' and ')
}

/** A process for outside of this machine: of its command line only the program's name is left, because the rest may hold passwords. */
export function withProgramOnly({ command, ...process }: ProcessSummary): ProcessSummary {
  const [program = ''] = command?.split(' ') ?? []
  return { ...process, command: command === undefined ? undefined : program.split('/').at(-1) }
}
