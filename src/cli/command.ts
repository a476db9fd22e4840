import { Command, CommanderError, InvalidArgumentError } from 'commander'
import type { Parsed } from '../config/values.ts'
import { exitCode } from '../os/failure.ts'
import { version } from '../os/version.ts'
import { runToEnd } from './run.ts'

/** A command with what all of ours share: version, help, and usage errors on one line with exit code 64. */
export function newCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .option('--verbose', 'print a stack trace when something goes wrong')
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError()
}

/** Turns a parser of `config/values` into one for the command line. */
export function argument<T>(parse: (text: string) => Parsed<T>): (text: string) => T {
  return (text) => {
    const parsed = parse(text)
    if (!parsed.ok) throw new InvalidArgumentError(parsed.problem)
    return parsed.value
  }
}

/** The same for an option that may be given several times, each with one or more values. */
export function repeatable<T>(parse: (text: string) => Parsed<T>): (text: string, before?: T[]) => T[] {
  const one = argument(parse)
  return (text, before = []) => [...before, one(text)]
}

/** Reads the words, runs the command, ends the process with its exit code. Every error becomes one line on stderr. */
export async function runCommand(
  command: Command,
  run: (...words: never[]) => Promise<number> | number,
): Promise<void> {
  let code: number = exitCode.ok
  command.action(async (...words: unknown[]) => {
    code = await run(...(words as never[]))
  })
  const parseAndRun = async () => {
    try {
      await command.parseAsync()
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
  process.stderr.write(`${name}: ${what} (${name} --help tells how to use it)\n`)
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
