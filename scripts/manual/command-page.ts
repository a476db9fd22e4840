import type { Command } from 'commander'
import { escaped, heading, item, paragraph, subheading, title, verbatim } from './roff.ts'

export interface PageOfCommand {
  readonly command: Command
  /** What the page is called; the command's own name when it does not say. */
  readonly name: string
  readonly version: string
  readonly seeAlso: readonly string[]
}

/** The manual page of a command, from what its help is made of. */
export function commandPage({ command, name, version, seeAlso }: PageOfCommand): string {
  const help = command.createHelp()
  const parts = [
    title(name, 1, version),
    heading('Name'),
    `${escaped(name)} \\- ${escaped(sentenceBegin(command.description()))}\n`,
    heading('Synopsis'),
    `\\fB${escaped(name)}\\fR ${escaped(command.usage())}\n`,
  ]
  if (command.registeredArguments.length > 0) {
    parts.push(
      heading('Arguments'),
      ...command.registeredArguments.map((one) => item(one.name(), one.description)),
    )
  }
  const subcommands = help.visibleCommands(command)
  if (subcommands.length > 0) {
    parts.push(heading('Commands'), ...subcommands.map((one) => item(one.name(), one.description())))
  }
  parts.push(heading('Options'))
  const visible = help.visibleOptions(command)
  for (const group of new Set(visible.map((option) => option.helpGroupHeading))) {
    if (group !== undefined) parts.push(subheading(group.replace(/:$/, '')))
    const own = visible.filter((option) => option.helpGroupHeading === group)
    parts.push(...own.map((option) => item(help.optionTerm(option), option.description)))
  }
  for (const one of subcommands.filter(({ options }) => options.length > 0)) parts.push(...ofSubcommand(one))
  parts.push(...sections(textAfterHelp(command)))
  parts.push(heading('See also'), `${seeAlso.map((page) => escaped(page)).join(',\n')}\n`)
  return parts.join('')
}

/** Options that every command has stand with the command above it. */
const ofAll: ReadonlySet<string | undefined> = new Set(['--help', '--version', '--verbose'])

function ofSubcommand(command: Command): string[] {
  const help = command.createHelp()
  const own = help.visibleOptions(command).filter(({ long }) => !ofAll.has(long ?? undefined))
  return [
    subheading(`${command.name()} ${command.usage()}`),
    ...own.map((option) => item(help.optionTerm(option), option.description)),
  ]
}

const sentenceBegin = (text: string): string =>
  `${text.charAt(0).toLowerCase()}${text.slice(1)}`.replace(/\.$/, '')

/** What a help says below its options: signals, exit codes, examples. */
function textAfterHelp(command: Command): string {
  let shown = ''
  command.configureOutput({
    writeOut: (text) => {
      shown += text
    },
  })
  command.outputHelp()
  return shown.slice(command.helpInformation().length)
}

/** Each `Heading:` with the indented lines below it is a section; other lines are notes. */
function sections(text: string): string[] {
  const parts: string[] = []
  const notes: string[] = []
  const lines = text.split('\n')
  while (lines.length > 0) {
    const line = lines.shift() ?? ''
    const [, name, rest = ''] = /^([A-Z][a-z ]+):(?: (.*))?$/.exec(line) ?? []
    if (name === undefined) {
      if (line.trim() !== '') notes.push(line.trim())
      continue
    }
    const below: string[] = []
    while (/^\s+\S/.test(lines[0] ?? '')) below.push(lines.shift() ?? '')
    if (name === 'Manual') continue
    parts.push(heading(name))
    if (rest !== '') parts.push(verbatim([rest, ...below.map((one) => one.trim())]))
    else if (name === 'Examples') parts.push(verbatim(below))
    else parts.push(...items(below))
  }
  return notes.length === 0 ? parts : [heading('Notes'), ...notes.map(paragraph), ...parts]
}

/** `  term   meaning`, with further lines of the meaning indented more. */
function items(lines: readonly string[]): string[] {
  const found: { term: string; meaning: string }[] = []
  for (const line of lines) {
    const [, term, meaning] = /^ {1,4}(\S.*?) {2,}(.*)$/.exec(line) ?? []
    const last = found.at(-1)
    if (term !== undefined && meaning !== undefined) found.push({ term, meaning })
    else if (last !== undefined) last.meaning += ` ${line.trim()}`
    else return [verbatim(lines)]
  }
  return found.map(({ term, meaning }) => item(term, meaning))
}
