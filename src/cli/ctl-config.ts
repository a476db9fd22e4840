/** The command `proxy-ctl config`: what holds, whether a file is valid, what differs, what was in force before. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Argument } from 'commander'
import type { Parsed } from '../config/values.ts'
import type { EntryState, ShownValue } from '../orders/config-orders.ts'
import { defaultWaitMs, type OrderAnswer } from '../orders/order.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { looksOf } from '../report/terminal.ts'
import { argument, type Program } from './command.ts'
import { type OrderOptions, order, print, subcommand } from './ctl-command.ts'

interface Options extends OrderOptions {
  readonly all?: boolean
}

const actions = ['show', 'check', 'diff', 'history', 'restore', 'change', 'undo'] as const

type Action = (typeof actions)[number]

export const configProgram: Program = {
  command: subcommand(
    'config',
    'Show, check, compare and change the configuration, or restore an earlier one.',
  )
    .addArgument(
      new Argument('<ACTION>', `${actions.slice(0, -1).join(', ')} or ${actions.at(-1)}`)
        .choices(actions)
        .argParser(argument(parseAction)),
    )
    .argument(
      '[WORD...]',
      'with show: units; with check: a file; with diff and restore: numbers of the history; with change: see below',
    )
    .option('-a, --all', 'with show: also print defaults, and the patterns of templates')
    .addHelpText(
      'after',
      `
Actions:
  show [UNIT...]     the values in force, each with its line in the file; secrets are masked
  check [FILE]       every mistake in FILE, as if it were the configuration file (default: that file)
  diff [FROM [TO]]   what a reload would change; with numbers of the history: FROM compared with what runs, or with TO
  history            the last five valid configurations: since when each was in force, and why
  restore NUMBER     write that configuration to the file again, and apply it
  change PROGRAM KEY=VALUE...
                     set values of a program without changing the file, as far as configChange in the file allows;
                     KEY= takes one back. Keys: autostart, env.NAME, restart.KEY, limits.KEY, patterns.CLASS (JSON)
  change PROGRAM template=NAME [cwd=FOLDER] [port=PORT]
                     add a program
  change PROGRAM remove
                     remove a program that an order has added
  undo               take the last change back

Examples:
  proxy-ctl config show web
  proxy-ctl config check new.yaml && cp new.yaml port-watchdog.yaml
  proxy-ctl config diff                  what a reload would change
  proxy-ctl config restore 3
  proxy-ctl config change web restart.backoff=5s env.LOG_LEVEL=debug
  proxy-ctl config change docs template=static cwd=./docs port=8090`,
    ),
  run: async (action: Action, words: string[], options: Options) => {
    switch (action) {
      case 'show':
        return await show(words, options)
      case 'check':
        return await check(words, options)
      case 'diff':
        return await diff(words, options)
      case 'history':
        demandNone(action, words)
        return print(await order(options, 'config-history', {}), options, historyText)
      case 'restore':
        return await restore(words, options)
      case 'change': {
        const { changeOf } = await import('./config-words.ts')
        const answer = await order(options, 'config-change', changeOf(words), defaultWaitMs)
        return print(answer, options, changedText)
      }
      case 'undo':
        demandNone(action, words)
        return print(await order(options, 'config-undo', {}, defaultWaitMs), options, changedText)
    }
  },
}

async function show(units: readonly string[], options: Options): Promise<number> {
  const answer = await order(options, 'config-show', { units, all: options.all === true })
  return print(answer, options, showText)
}

async function check([file, ...more]: readonly string[], options: Options): Promise<number> {
  demandNone('check', more)
  const answer = await order(options, 'config-check', file === undefined ? {} : candidate(file))
  const named = file === undefined ? undefined : path.resolve(file)
  const code = await print(answer, options, (output: Checked) => checkText(output, named))
  return isInvalid(answer) ? exitCode.configuration : code
}

function candidate(file: string): { readonly text: string; readonly format: 'yaml' | 'json' } {
  try {
    return { text: readFileSync(file, 'utf8'), format: path.extname(file) === '.json' ? 'json' : 'yaml' }
  } catch (error) {
    throw new Failure(`${file} cannot be read: ${errorText(error)}`, exitCode.noInput)
  }
}

function isInvalid(answer: OrderAnswer): boolean {
  return 'output' in answer && !(answer.output as Checked).valid
}

async function diff([from, to, ...more]: readonly string[], options: Options): Promise<number> {
  demandNone('diff', more)
  const input = {
    ...(from === undefined ? {} : { from: numberOf(from) }),
    ...(to === undefined ? {} : { to: numberOf(to) }),
  }
  return print(await order(options, 'config-diff', input), options, diffText)
}

async function restore([id, ...more]: readonly string[], options: Options): Promise<number> {
  if (id === undefined)
    throw new Failure('config restore needs a number; proxy-ctl config history lists them', exitCode.usage)
  demandNone('restore', more)
  const answer = await order(options, 'config-restore', { id: numberOf(id) }, defaultWaitMs)
  return print(answer, options, restoredText)
}

function numberOf(word: string): number {
  if (/^\d{1,9}$/.test(word)) return Number(word)
  throw new Failure(
    `"${word}" is not a number of the history; proxy-ctl config history lists them`,
    exitCode.usage,
  )
}

function demandNone(action: Action, [word]: readonly string[]): void {
  if (word === undefined) return
  throw new Failure(`config ${action} does not take "${word}" (see proxy-ctl config --help)`, exitCode.usage)
}

function parseAction(text: string): Parsed<Action> {
  const value = actions.find((action) => action === text)
  return value === undefined
    ? { ok: false, problem: `"${text}" is not an action; write ${actions.join(', ')}` }
    : { ok: true, value }
}

/** A value as YAML on one line; JSON is YAML. */
function valueText(value: unknown): string {
  return typeof value === 'string' && /^[\w./:-][\w ./:%@=,+-]*$/.test(value) ? value : JSON.stringify(value)
}

interface Shown {
  readonly file: string | null
  readonly values: readonly ShownValue[]
  readonly setAside: readonly { readonly program: string; readonly why: string }[]
}

function showText({ file, values, setAside }: Shown): string {
  const lines = values.map(({ path: at, value, origin }) => {
    return [`${at}: ${oneLine(valueText(value))}`, originText(origin)] as const
  })
  const width = Math.min(60, Math.max(0, ...lines.map(([text]) => text.length)))
  const head =
    file === null
      ? 'There is no configuration file: the defaults are in force.'
      : `Read from ${oneLine(file)}`
  const aside = setAside.map(({ program, why }) => {
    return `! A change that an order made to ${oneLine(program)} is not in force: ${oneLine(why)}`
  })
  return [head, ...lines.map(([text, from]) => `${text.padEnd(width)}  ${from}`), ...aside, ''].join('\n')
}

function originText({ kind, line, template }: ShownValue['origin']): string {
  if (kind === 'template') return `template ${template}`
  if (kind !== 'file') return kind
  return line === null ? 'file' : `line ${line}`
}

interface Checked {
  readonly file: string
  readonly valid: boolean
  readonly problems: readonly { readonly line: number | null; readonly message: string }[]
  readonly change: string | null
}

function checkText({ file, valid, problems, change }: Checked, asked = file): string {
  if (valid) {
    const against =
      change === null ? 'it is the same as what is in force' : `it would change: ${oneLine(change)}`
    return `${oneLine(asked)} is valid; ${against}\n`
  }
  return problems
    .map(({ line, message }) => {
      return `${oneLine(asked)}: ${line === null ? '' : `line ${line}: `}${oneLine(message)}\n`
    })
    .join('')
}

interface Compared {
  readonly change: string | null
  readonly values: readonly { readonly path: string; readonly before: unknown; readonly after: unknown }[]
}

function diffText({ change, values }: Compared): string {
  if (values.length === 0) return change === null ? 'Nothing differs.\n' : `${oneLine(change)}\n`
  const hasColour = looksOf(process.stdout, process.env).colour
  const paint = (text: string, code: number) => (hasColour ? `\u001b[${code}m${text}\u001b[0m` : text)
  const lines = values.flatMap(({ path: at, before, after }) => [
    ...(before === null ? [] : [paint(`- ${at}: ${oneLine(valueText(before))}`, 31)]),
    ...(after === null ? [] : [paint(`+ ${at}: ${oneLine(valueText(after))}`, 32)]),
  ])
  return `${lines.join('\n')}\n`
}

function historyText({ configurations }: { readonly configurations: readonly EntryState[] }): string {
  if (configurations.length === 0) return 'No configuration is kept: the monitor runs without a file.\n'
  return configurations
    .map(({ id, at, why, order: given, by, change, current }) => {
      const cause = why === 'order' ? `${given} by ${by}` : why === 'start' ? 'start' : 'the file was changed'
      const facts = [cause, ...(change === null ? [] : [change]), ...(current ? ['in force'] : [])]
      return `${String(id).padStart(4)}  ${at}  ${oneLine(facts.join('; '))}\n`
    })
    .join('')
}

interface Restored {
  readonly file: string
  readonly restored: number
  readonly change: string | null
  readonly undo: number | null
  readonly displaced: string | null
}

function restoredText({ file, restored, change, undo, displaced }: Restored): string {
  const what = change === null ? 'nothing has changed' : oneLine(change)
  return [
    `${oneLine(file)} is configuration ${restored} again: ${what}`,
    ...(displaced === null
      ? []
      : [`The text that was there, and was never in force, is now in ${oneLine(displaced)}`]),
    ...(undo === null || undo === restored ? [] : [`To undo: proxy-ctl config restore ${undo}`]),
    '',
  ].join('\n')
}

interface Changed {
  readonly program: string
  readonly change: string | null
  readonly undone?: { readonly at: string; readonly by: string }
}

function changedText({ change, undone }: Changed): string {
  const what = change === null ? 'Nothing has changed' : `In force: ${oneLine(change)}`
  if (undone !== undefined) return `${what}; this undid the order of ${oneLine(undone.by)} at ${undone.at}\n`
  return change === null ? `${what}\n` : `${what}\nTo undo: proxy-ctl config undo\n`
}
