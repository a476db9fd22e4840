import path from 'node:path'
import type { Command } from 'commander'
import { forwardName, type Parsed } from '../config/values.ts'
import { exitCode } from '../os/failure.ts'
import { readRuntimeState } from '../record/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { shellWord } from '../report/own-programs.ts'
import { argument, newCommand, program, type Word } from './command.ts'
import { type Shell, shellScript, shells } from './completion-scripts.ts'

/*
 * Completion in bash, zsh and fish. At every Tab the shell's script asks this program, so that the names of forwards are those of now.
 * Options and arguments are commander's own tables; what may follow an option is known by its placeholder. No library: of those that
 * are kept up, @bomb.sh/tab evaluates what was typed in bash, cannot be loaded there for a second command and completes no files.
 */

/** `port-watchdog completion`. @param programs every name that is to be completed. */
export const completionOf = (programs: readonly string[]) =>
  program(
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
      process.stdout.write(shellScript(shell, ask, programs))
      return exitCode.ok
    },
  )

/**
 * What may stand where the cursor is: a line for each, `VALUE TAB DESCRIPTION`, or `:files` or `:folders` for the shell to complete those
 * itself.
 * @param line the words of the command line up to the cursor, the command first; the last one may be empty.
 * @param words the table of `port-watchdog`.
 */
export function completionsOf(line: readonly string[], words: readonly Word[]): Promise<string[]> {
  return candidates(path.basename(line[0] ?? ''), line.slice(1), words)
}

async function candidates(name: string, given: readonly string[], words: readonly Word[]): Promise<string[]> {
  const own = words.find(({ program }) => program === name)
  if (own !== undefined) return await ofWord(own, given)
  const [first = '', ...rest] = given
  const word = words.find((one) => one.word === first)
  if (rest.length > 0) return word === undefined ? [] : await ofWord(word, rest)
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

async function ofWord(word: Word, given: readonly string[]): Promise<string[]> {
  const command = await word.command?.()
  // A script of this package reads its words itself.
  if (command === undefined) return [':files']
  const [first = '', ...rest] = given
  if (command.commands.length === 0 || (first.startsWith('-') && rest.length === 0))
    return ofCommand(command, given, word.word === 'log' ? ['monitor'] : [])
  if (rest.length === 0)
    return starting(
      first,
      command.commands.map((one): Candidate => [one.name(), one.description()]),
    )
  const chosen = command.commands.find((one) => one.name() === first)
  return chosen === undefined ? [] : ofCommand(chosen, rest)
}

/** @param more what an argument may be besides. */
function ofCommand(command: Command, given: readonly string[], more: readonly string[] = []): string[] {
  const { flag, last, prefix } = cursor(given)
  const options = command.createHelp().visibleOptions(command)
  const option = options.find(({ long, short }) => flag !== undefined && (long === flag || short === flag))
  if (option?.argChoices !== undefined)
    return starting(
      last,
      option.argChoices.map((choice): Candidate => [choice, '']),
    ).map((text) => prefix + text)
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
  if (place === undefined) return []
  // What comes after an action, such as a unit or a file, is known by the second argument.
  const isAction = place.argChoices !== undefined
  if (!isAction) return values(place.name(), last, given, '', more)
  const words = given.slice(0, -1).filter((word) => !word.startsWith('-'))
  const known = (place.argChoices ?? []).map((choice): Candidate => [choice, ''])
  return words.length === 0 ? starting(last, known) : afterAction(command, words[0] ?? '', last, given)
}

/** What may follow the actions of a command, by its name and the action. */
const followers: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  config: { show: 'UNIT', check: 'FILE', change: 'UNIT' },
}

function afterAction(command: Command, action: string, last: string, given: readonly string[]): string[] {
  const placeholder = followers[command.name()]?.[action]
  return placeholder === undefined ? [] : values(placeholder, last, given, '')
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
  const names = /UNIT/.test(placeholder) ? [...namesOfUnits(given), ...more] : []
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
function namesOfUnits(given: readonly string[]): string[] {
  try {
    const reading = readRuntimeState(
      path.join(readersDirectory(stateDirectoryIn(given)), fileNames.runtimeState),
    )
    const { forwards = [], programs = [] } = reading.kind === 'read' ? reading.state : {}
    const groups = programs.flatMap(({ group }) => group ?? [])
    const names = [...new Set([...[...forwards, ...programs].map(({ name }) => name), ...groups])]
    return names.filter((name) => forwardName.test(name))
  } catch {
    return []
  }
}

/** `--state-dir DIR`, or `--state-dir=DIR`, which bash gives as three words. */
function stateDirectoryIn(given: readonly string[]): string | undefined {
  const glued = given.find((word) => word.startsWith('--state-dir='))
  if (glued !== undefined) return glued.slice('--state-dir='.length)
  const at = given.indexOf('--state-dir')
  if (at < 0) return undefined
  return given[at + 1] === '=' ? given[at + 2] : given[at + 1]
}

function parseShell(text: string): Parsed<Shell> {
  const shell = shells.find((known) => known === text)
  if (shell !== undefined) return { ok: true, value: shell }
  return { ok: false, problem: `"${text}" cannot be completed; write bash, zsh or fish` }
}
