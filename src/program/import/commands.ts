import type { Collected, ProgramEntry } from './imported.ts'
import { withoutShell } from './shell-words.ts'

/** Variables that every program gets from the monitor. */
const always = new Set(['HOME', 'LANG', 'LOGNAME', 'PATH', 'PWD', 'SHELL', 'TERM', 'TMPDIR', 'TZ', 'USER'])

interface ShellText {
  readonly program: string
  readonly where: string
  readonly text: string
  /** What the program's environment is to hold besides. */
  readonly env: Readonly<Record<string, string>>
  /** The shell that the other tool uses, where its language is more than that of `sh`. */
  readonly shell?: string
}

/** A command that was written for a shell: a list of words where that is enough, else what the shell is given, with a remark. */
export function shellCommand(
  into: Collected,
  { program, where, text, env, shell = 'sh' }: ShellText,
): Pick<ProgramEntry, 'command' | 'env'> {
  const line = text.trim()
  const plain = withoutShell(line)
  if (plain !== undefined) {
    const all = { ...env, ...plain.env }
    return { command: plain.words, ...(Object.keys(all).length === 0 ? {} : { env: all }) }
  }
  into.remark({ program, where, what: line, why: 'shell', instead: null })
  for (const name of variablesIn(line)) {
    if (name in env || always.has(name)) continue
    into.remark({ program, where, what: `$${name}`, why: 'unset', instead: `env.${name}` })
  }
  return { command: [shell, '-c', line], ...(Object.keys(env).length === 0 ? {} : { env }) }
}

/** The variables that a shell text reads and does not set itself. */
function variablesIn(text: string): string[] {
  const plain = text.replaceAll(/'[^']*'/g, '')
  const read = [...plain.matchAll(/\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))/g)].map(
    ([, braced, bare]) => braced ?? bare ?? '',
  )
  const set = new Set(
    [...plain.matchAll(/(?:^|[\s;&|(])(?:for\s+)?([A-Za-z_]\w*)(?==|\s+in\s)/g)].map(([, name]) => name),
  )
  return [...new Set(read)].filter((name) => !set.has(name) && !shellsOwn.has(name))
}

const shellsOwn = new Set([
  'RANDOM',
  'SECONDS',
  'PPID',
  'LINENO',
  'IFS',
  'BASHPID',
  'OLDPWD',
  'UID',
  'EUID',
  'HOSTNAME',
])
