import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { type Parsed, parseGate } from '../config/values.ts'
import { exitCode } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { version } from '../os/version.ts'
import { runToEnd } from './run.ts'

/** A command with what all of ours share: version, help, and usage errors on one line with exit code 64. */
export function newCommand(name: string, description: string): Command {
  return (
    new Command(name)
      .description(description)
      .version(version, '-V, --version', 'print the version')
      .helpOption('-h, --help', 'print this help')
      .option('-v, --verbose', 'print a stack trace when something goes wrong')
      // A placeholder in small letters is the value itself: `--gate token`, not `--gate <token>`.
      .configureHelp({ optionTerm: ({ flags }) => flags.replace(/<([a-z]+)>$/, '$1') })
      .exitOverride()
      .configureOutput({ outputError: () => {} })
      .showSuggestionAfterError()
  )
}

/** Turns a parser of `config/values` into one for the command line. */
export function argument<T>(parse: (text: string) => Parsed<T>): (text: string) => T {
  return (text) => {
    const parsed = parse(text)
    if (!parsed.ok) throw new InvalidArgumentError(parsed.problem)
    return parsed.value
  }
}

/** A parser for a path or a name: an unset variable in a script gives an empty one, which means nothing. */
export const filled = argument((text: string) =>
  text === '' ? { ok: false, problem: 'it must not be empty' } : { ok: true, value: text },
)

/** A parser for the kind of a login. */
export const gateKind = argument(parseGate)

/** The same for an option that may be given several times, each with one or more values. */
export function repeatable<T>(parse: (text: string) => Parsed<T>): (text: string, before?: T[]) => T[] {
  const one = argument(parse)
  return (text, before = []) => [...before, one(text)]
}

/** A command and what it does. `port-watchdog`, the completion and the manual pages are made from the same object as the program itself. */
export interface Program {
  readonly command: Command
  /** Gets what commander hands to an action: arguments, then options. Resolves with the exit code. */
  readonly run: (...words: never[]) => Promise<number> | number
}

export function program(command: Command, run: Program['run']): Program {
  return { command, run }
}

/**
 * Runs a program when its file is the one that Node was started with. When another command imports it, nothing happens.
 * @param url `import.meta.url` of that file.
 */
export async function runIfStarted(url: string, program: Program): Promise<void> {
  const started = process.argv[1]
  if (started !== undefined && realpathSync(started) === realpathSync(fileURLToPath(url)))
    await runProgram(program)
}

/**
 * Reads the words, runs the program, ends the process with its exit code. Every error becomes one line on stderr.
 * @param words without Node and the program's file.
 * A program without `run` has help, a version, and mistakes.
 */
export async function runProgram(
  { command, run }: Pick<Program, 'command'> & Partial<Program>,
  words: readonly string[] = process.argv.slice(2),
): Promise<void> {
  let code: number = exitCode.ok
  if (run !== undefined) {
    command.action(async (...given: unknown[]) => {
      code = await run(...(given as never[]))
    })
  }
  const parseAndRun = async () => {
    try {
      await command.parseAsync(words, { from: 'user' })
      return code
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error
      return explain(command.name(), error)
    }
  }
  await runToEnd(command.name(), parseAndRun, () => command.opts().verbose === true)
}

function explain(name: string, error: CommanderError): number {
  if (error.exitCode === 0) return exitCode.ok
  const what = plainWords(error.message)
  process.stderr.write(`${name}: ${oneLine(what)} (see ${name} --help)\n`)
  return exitCode.usage
}

/** Commander's sentence without its preamble: what is wrong with which argument. */
function plainWords(message: string): string {
  const text = message.replace(/^error: /, '')
  const ofArgument = /value '.*' is invalid for argument '([^']*)'\. (.*)$/s.exec(text)
  const ofOption = /^option '([^ ]*).*' argument '.*' is invalid\. (.*)$/s.exec(text)
  const [, name, problem] = ofArgument ?? ofOption ?? []
  return (name === undefined ? text : `${name}: ${problem}`).replaceAll('\n', ' ')
}
