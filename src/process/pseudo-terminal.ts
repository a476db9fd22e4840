import { constants } from 'node:os'
import { PassThrough } from 'node:stream'
import { exitCode, Failure } from '../os/failure.ts'
import { packageFile } from '../os/package-file.ts'
import { identityOf, unprovenIdentity } from './identity.ts'
import {
  followStart,
  type ProcessEnd,
  type ProcessPlan,
  type ProcessStart,
  probed,
  type ReadyProbe,
  type StartedProcess,
} from './start.ts'

/** Characters in a line, and lines. */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** A process whose stdin, stdout and stderr are a terminal of its own. */
export interface TerminalProcess extends StartedProcess {
  write(keys: string | Buffer): void
  resize(size: TerminalSize): void
}

/** What is used of @lydell/node-pty, which is not there where its prebuilt binary is not. */
interface Pty {
  spawn(program: string, words: readonly string[], options: object): PtyProcess
}

interface PtyProcess {
  readonly pid: number
  onData(seen: (chunk: Buffer) => void): void
  onExit(seen: (end: { readonly exitCode: number; readonly signal?: number }) => void): void
  write(data: string | Buffer): void
  resize(columns: number, rows: number): void
  kill(signal?: string): void
}

export type TerminalPlan = Pick<ProcessPlan, 'program' | 'words' | 'environment' | 'cwd'> & {
  readonly size: TerminalSize
  readonly ready: ReadyProbe<StartedProcess>
}

/** How a process is started on a terminal. Throws the error of the system. */
export type StartOnTerminal = (plan: TerminalPlan) => ProcessStart<TerminalProcess>

const packageName = '@lydell/node-pty'

/**
 * Loads what makes terminals.
 * @throws Failure that names the command that installs it.
 */
export async function loadTerminals(): Promise<StartOnTerminal> {
  try {
    const pty = (await import(packageName)) as Pty
    return (plan) => startOnTerminal(pty, plan)
  } catch {
    const folder = packageFile('').replace(/\/$/, '')
    const install = `npm install --prefix ${folder} ${packageName}`
    throw new Failure(
      `a terminal (pty) needs ${packageName}; to install it: ${install}`,
      exitCode.unavailable,
    )
  }
}

/** What a program may use of a terminal that it knows nothing of. */
const defaultTerm = 'xterm-256color'

function startOnTerminal(
  pty: Pty,
  { program, words, environment, cwd, size, ready }: TerminalPlan,
): ProcessStart<TerminalProcess> {
  const { TERM = 'dumb' } = environment
  const name = TERM === 'dumb' ? defaultTerm : TERM
  // Each process on a terminal that is made for it leads a session of its own.
  const made = pty.spawn(program, words, {
    name,
    cols: size.columns,
    rows: size.rows,
    cwd,
    env: environment,
    encoding: null,
  })
  const { pid } = made
  const stdout = new PassThrough()
  made.onData((chunk) => void stdout.write(chunk))
  let isThere = true
  let identity = identityOf(pid)
  const ended = new Promise<ProcessEnd>((resolve) => {
    made.onExit(({ exitCode: code, signal = 0 }) => {
      isThere = false
      stdout.end()
      resolve(signal === 0 ? { kind: 'exited', code } : { kind: 'killed', signal: nameOf(signal) })
    })
  })
  const running: TerminalProcess = {
    pid,
    stdout,
    stderr: null,
    ended,
    get identity() {
      if (isThere) identity ??= identityOf(pid)
      return identity ?? unprovenIdentity(pid)
    },
    write: (keys) => {
      if (isThere) made.write(keys)
    },
    resize: ({ columns, rows }) => {
      if (isThere) made.resize(columns, rows)
    },
  }
  return followStart(
    running,
    (signal) => probed(running, ready, signal),
    undefined,
    () => made.kill('SIGKILL'),
  )
}

function nameOf(signal: number): NodeJS.Signals {
  const found = Object.entries(constants.signals).find(([, number]) => number === signal)
  return (found?.[0] ?? 'SIGKILL') as NodeJS.Signals
}
