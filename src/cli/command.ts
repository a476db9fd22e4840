import { type Argument, Command, CommanderError, InvalidArgumentError, type Option } from 'commander'
import { type Parsed, parseGate } from '../config/values.ts'
import { exitCode } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { version } from '../os/version.ts'
import { runToEnd } from './run.ts'

/** What was given for an option or an argument is invalid. commander would make one sentence of name, value and problem. */
class InvalidValue extends Error {
  constructor(name: string, problem: string) {
    super(`${name}: ${problem}`)
  }
}

/** A command whose options and arguments name themselves when a parser refuses what was given for them. */
class OwnCommand extends Command {
  override addOption(option: Option): this {
    return super.addOption(namingItself(option, option.long ?? option.flags))
  }

  override addArgument(argument: Argument): this {
    return super.addArgument(namingItself(argument, argument.name()))
  }
}

function namingItself<Given extends Option | Argument>(given: Given, name: string): Given {
  const { parseArg } = given
  if (parseArg === undefined) return given
  given.parseArg = (value, previous) => {
    try {
      return parseArg(value, previous)
    } catch (error) {
      throw error instanceof InvalidArgumentError ? new InvalidValue(name, error.message) : error
    }
  }
  return given
}

const stackTrace = 'print a stack trace when something goes wrong'

/**
 * A command with what all of ours share: version, help, and usage errors on one line with exit code 64.
 * @param verbose what --verbose does besides.
 */
export function newCommand(name: string, description: string, verbose = stackTrace): Command {
  return (
    new OwnCommand(name)
      .description(description)
      .version(version, '-V, --version', 'print the version')
      .helpOption('-h, --help', 'print this help')
      .option('-v, --verbose', verbose)
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
  /** Gets what commander hands to an action: arguments, then options. Resolves with the exit code. Undefined = it needs one of `commands`. */
  readonly run?: (...words: never[]) => Promise<number> | number
  /** Commands below it, which its own object lists, too. */
  readonly commands?: readonly Program[]
}

/** A program with a file of its own. */
export interface WholeProgram extends Program {
  /** `runProgram` of the bundle that the program is in: it knows the classes of the errors that the program throws. */
  readonly runWith: (words?: readonly string[]) => Promise<void>
}

/** A word of `port-watchdog`; the table is in words.ts. */
export interface Word {
  readonly word: string
  readonly summary: string
  /** The program that the word stands for, where it is installed under a name of its own, too. */
  readonly program?: string
  /** Its options and arguments, for completion. Undefined when another program reads them. */
  readonly command?: () => Promise<Command>
  readonly run: (words: readonly string[]) => Promise<void>
}

export function program(command: Command, run: NonNullable<Program['run']>): WholeProgram {
  return whole({ command, run })
}

export function whole(program: Program): WholeProgram {
  return { ...program, runWith: (words) => runProgram(program, words) }
}

/**
 * Reads the words, runs the program, ends the process with its exit code. Every error becomes one line on stderr.
 * @param words without Node and the program's file.
 * A program without `run` has help, a version, and mistakes.
 */
export async function runProgram(
  program: Program,
  words: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const { command, commands = [] } = program
  const isVerbose = () => [program, ...commands].some((one) => one.command.opts().verbose === true)
  await runToEnd(command.name(), () => readAndRun(program, words), isVerbose)
}

/**
 * Reads the words and runs the program.
 * @returns its exit code, or that of help or a mistake, which is printed.
 */
export async function readAndRun(program: Program, words: readonly string[]): Promise<number> {
  const { command, commands = [] } = program
  if (commands.length > 0 && words.length === 0) {
    command.outputHelp({ error: true })
    return exitCode.usage
  }
  let code: number = exitCode.ok
  for (const { command, run } of [program, ...commands]) {
    if (run === undefined) continue
    command.action(async (...given: unknown[]) => {
      code = await run(...(given as never[]))
    })
  }
  try {
    await command.parseAsync(words, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof InvalidValue) return usageError(command.name(), error.message)
    if (!(error instanceof CommanderError)) throw error
    // Help or version were asked for, and printed.
    if (error.exitCode === 0) return exitCode.ok
    return usageError(command.name(), error.message.slice(preambleOf(error).length))
  }
}

/** What commander begins each sentence of its own with. A sentence of ours, which an action throws, has none. */
function preambleOf({ code }: CommanderError): string {
  return code === 'commander.invalidArgument' ? '' : 'error: '
}

function usageError(name: string, what: string): number {
  process.stderr.write(`${name}: ${oneLine(what.replaceAll('\n', ' '))} (see ${name} --help)\n`)
  return exitCode.usage
}
