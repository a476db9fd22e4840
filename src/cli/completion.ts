import path from 'node:path'
import type { Parsed } from '../config/values.ts'
import { exitCode } from '../os/failure.ts'
import { readRuntimeState } from '../record/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { shellWord } from '../report/own-programs.ts'
import { argument, newCommand, program } from './command.ts'
import { type Shell, shellScript, shells } from './completion-scripts.ts'
import { type Word, words } from './words.ts'

/*
 * Completion in bash, zsh and fish. At every Tab the shell's script asks this program, so that the names of forwards are those of now.
 * Options and arguments are commander's own tables; what may follow an option is known by its placeholder. No library: of those that
 * are kept up, @bomb.sh/tab evaluates what was typed in bash, cannot be loaded there for a second command and completes no files.
 */

export const completion = program(
  newCommand(
    'port-watchdog completion',
    'Print a script that completes commands, options and names of forwards.',
  )
    .argument('<SHELL>', 'bash, zsh or fish', argument(parseShell))
    .addHelpText(
      'after',
      `
Exit codes:
  0   printed
  64  invalid arguments

Examples:
  source <(port-watchdog completion bash)      in ~/.bashrc
  source <(port-watchdog completion zsh)       in ~/.zshrc, after compinit
  port-watchdog completion fish | source       in ~/.config/fish/config.fish

Manual: man port-watchdog`,
    ),
  (shell: Shell) => {
    const ask = [process.execPath, process.argv[1] ?? '', '--complete'].map(shellWord).join(' ')
    process.stdout.write(
      shellScript(shell, ask, ['port-watchdog', ...words.flatMap((word) => word.program ?? [])]),
    )
    return exitCode.ok
  },
)

/**
 * Prints what may stand where the cursor is: a line for each, `VALUE TAB DESCRIPTION`, or `:files` or `:folders` for the shell to
 * complete those itself.
 * @param line the words of the command line up to the cursor, the command first; the last one may be empty.
 */
export async function complete(line: readonly string[]): Promise<void> {
  const lines = await candidates(path.basename(line[0] ?? ''), line.slice(1))
  process.stdout.write(lines.map((text) => `${text}\n`).join(''))
}

async function candidates(name: string, given: readonly string[]): Promise<string[]> {
  const own = words.find(({ program }) => program === name)
  if (own !== undefined) return await ofCommand(own, given)
  const [first = '', ...rest] = given
  const word = words.find((one) => one.word === first)
  if (rest.length > 0) return word === undefined ? [] : await ofCommand(word, rest)
  return starting(first, [
    ...words.map((one): Candidate => [one.word, one.summary]),
    ['help', 'show the options of a command'],
    ...(first.startsWith('-')
      ? ([
          ['--help', ''],
          ['--version', ''],
        ] as const)
      : []),
  ])
}

type Candidate = readonly [value: string, description: string]

async function ofCommand(word: Word, given: readonly string[]): Promise<string[]> {
  const command = await word.command?.()
  // A script of this package reads its words itself.
  if (command === undefined) return [':files']
  const { flag, last, prefix } = cursor(given)
  const options = command.createHelp().visibleOptions(command)
  const option = options.find(({ long, short }) => flag !== undefined && (long === flag || short === flag))
  if (option?.required) return values(placeholderOf(option.flags), last, given, prefix)
  // Where the value may be left out, what follows may be an argument, too.
  const optional = option?.optional ? values(placeholderOf(option.flags), last, given, prefix) : []
  if (optional.length > 0 && !last.startsWith('-')) return optional
  if (last.startsWith('-')) {
    return starting(
      last,
      options.flatMap((one): Candidate[] => (one.long ? [[one.long, one.description]] : [])),
    )
  }
  const place = command.registeredArguments.at(0)
  const more = word.word === 'log' ? ['monitor'] : []
  return place === undefined ? [] : values(place.name(), last, given, '', more)
}

/**
 * The option whose value the cursor is at, if it is at one, and what is typed of that value. `--level=w` is one word in zsh and fish,
 * which want it whole, and three in bash.
 */
function cursor(given: readonly string[]): { flag: string | undefined; last: string; prefix: string } {
  const last = given.at(-1) ?? ''
  const glued = /^(--[\w-]+)=(.*)$/s.exec(last)
  if (glued !== null) return { flag: glued[1], last: glued[2] ?? '', prefix: `${glued[1]}=` }
  if (last === '=') return { flag: given.at(-2), last: '', prefix: '' }
  const flag = given.at(-2) === '=' ? given.at(-3) : given.at(-2)
  return { flag, last, prefix: '' }
}

/** `--bind <ADDRESS...>` has ADDRESS. */
const placeholderOf = (flags: string): string => /[<[]([^>\].]+)/.exec(flags)?.[1] ?? ''

const knownValues: Readonly<Record<string, readonly string[]>> = {
  SHELL: shells,
  LEVEL: ['info', 'warn', 'error'],
  GOAL: ['running', 'healthy'],
  NETWORK: ['private', 'any'],
  VERSION: ['v1', 'v2'],
  token: ['token'],
}

function values(
  placeholder: string,
  last: string,
  given: readonly string[],
  prefix: string,
  more: readonly string[] = [],
): string[] {
  if (placeholder === 'FILE' || placeholder === 'PATH') return [':files']
  if (placeholder === 'DIR') return [':folders']
  const names = placeholder.includes('FORWARD') ? [...namesOfForwards(given), ...more] : []
  const known = [...(knownValues[placeholder] ?? []), ...names]
  return starting(
    last,
    known.map((value) => [value, '']),
  ).map((text) => `${prefix}${text}`)
}

function starting(typed: string, from: readonly Candidate[]): string[] {
  const fitting = from.filter(([value]) => value.startsWith(typed))
  return fitting.map(([value, description]) => (description === '' ? value : `${value}\t${description}`))
}

/** From the monitor's records. Nothing when there are none: a shell that completes shows no errors. */
function namesOfForwards(given: readonly string[]): string[] {
  try {
    const at = given.indexOf('--state-dir')
    const directory = readersDirectory(at < 0 ? undefined : given[at + 1])
    const reading = readRuntimeState(path.join(directory, fileNames.runtimeState))
    return reading.kind === 'read' ? reading.state.forwards.map(({ name }) => name) : []
  } catch {
    return []
  }
}

function parseShell(text: string): Parsed<Shell> {
  const shell = shells.find((known) => known === text)
  if (shell !== undefined) return { ok: true, value: shell }
  return { ok: false, problem: `"${text}" cannot be completed; write bash, zsh or fish` }
}
