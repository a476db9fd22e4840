/** `proxy-ctl add`: an entry for a program, from a template, in the configuration file. A running monitor takes it up by itself. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Additions } from '../config/edit.ts'
import { configurationFileName, findConfigurationFile } from '../config/find-file.ts'
import { builtIn } from '../config/templates/built-in.ts'
import type { ProgramTemplate } from '../config/templates/index.ts'
import type { FoundTemplates } from '../config/templates/own-templates.ts'
import { parsePort } from '../config/values.ts'
import { createFileAtomically, replaceFile } from '../os/atomic-file.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { readTrustedFile } from '../os/regular-file.ts'
import { ownPrograms, shellWord } from '../report/own-programs.ts'
import { argument, filled, newCommand, type Program } from './command.ts'

interface Options {
  readonly name?: string
  readonly cwd?: string
  readonly port?: number
  readonly forward?: true
  readonly gate: boolean
  readonly config?: string
}

export const addProgram: Program = {
  command: newCommand('add', 'Add a program to the configuration file, from a template.')
    .argument('[TEMPLATE]', 'how it is run (default: found out from the folder)')
    .argument('[ARGUMENT...]', 'more words for its command, after "--"')
    .option('--name <NAME>', 'its name (default: that of the folder)', filled)
    .option('--cwd <FOLDER>', 'the folder to run it in (default: the current one)', filled)
    .option('--port <PORT>', 'the port it listens on (default: that of the template)', argument(parsePort))
    .option('--forward', 'add forwards, too, so that other machines reach it, behind a login')
    .option('--no-gate', 'with --forward: without the login')
    .option(
      '--config <FILE>',
      `the configuration file (default: the one that is used, or ${configurationFileName})`,
      filled,
    )
    .addHelpText(
      'after',
      () =>
        `\nTemplates:\n${builtIn.map(({ name, summary }) => `  ${name.padEnd(17)}${summary}`).join('\n')}`,
    ),
  run: add,
}

async function add(named: string | undefined, args: readonly string[], options: Options): Promise<number> {
  const { templatesBeside } = await import('../config/templates/own-templates.ts')
  const file = configurationFile(options.config)
  const folder = path.resolve(options.cwd ?? '.')
  const template = await chosen(named, folder, templatesBeside(file))
  const name = options.name ?? (path.basename(folder).replaceAll(/[^A-Za-z0-9._-]/g, '-') || template.name)
  const port = options.port ?? template.port
  const additions: Additions = {
    programs: [await entryOf(template, { name, folder, file, args, port: options.port })],
    forwards: options.forward === true && port !== null ? forwardsOf(template, name, port, options.gate) : [],
  }
  await addTo(file, additions)
  const at = port === null ? '' : `, port ${port}`
  const also = additions.forwards.map((one) => `forward ${one.name} (port ${one.listen})`)
  process.stdout.write(
    `Added program ${name} (${template.name}${at})${also.length === 0 ? '' : ` and ${also.join(' and ')}`} to ${file}.\n`,
  )
  if (template.note !== null) process.stdout.write(`${template.note}\n`)
  process.stdout.write(
    `A running monitor takes it up by itself; to start one: ${ownPrograms().monitor}${isFound(file) ? '' : ` --config ${shellWord(file)}`}\n`,
  )
  return exitCode.ok
}

const byHand = 'for any other program write an entry under programs: man port-watchdog.yaml'

/** The file that a monitor here would use; where there is none, one in the current folder. */
function configurationFile(asked: string | undefined): string {
  return asked ?? findConfigurationFile().file ?? path.resolve(configurationFileName)
}

function isFound(file: string): boolean {
  return findConfigurationFile().file === path.resolve(file)
}

async function chosen(
  named: string | undefined,
  folder: string,
  { templates, broken, problems }: FoundTemplates,
): Promise<ProgramTemplate> {
  if (!existsSync(folder))
    throw new Failure(`the folder ${folder} does not exist; name another one: --cwd FOLDER`, exitCode.noInput)
  const known = templates.map(({ name }) => name).join(', ')
  if (named !== undefined) {
    const template = templates.find(({ name }) => name === named)
    if (template !== undefined) return template
    if (broken.has(named))
      throw new Failure(problems.map(({ text }) => text).join('; '), exitCode.configuration)
    throw new Failure(`there is no template "${named}"; there are ${known}; ${byHand}`, exitCode.usage)
  }
  const { templatesFor } = await import('../config/templates/recognise.ts')
  const [first, second] = templatesFor(folder, templates)
  if (first === undefined)
    throw new Failure(`${folder} fits no template; name one: ${known}; ${byHand}`, exitCode.usage)
  if (second === undefined) return first
  throw new Failure(
    `${folder} fits more than one template; name ${first.name} or ${second.name}`,
    exitCode.usage,
  )
}

interface Wanted {
  readonly name: string
  readonly folder: string
  readonly file: string
  readonly args: readonly string[]
  readonly port: number | undefined
}

async function entryOf(
  template: ProgramTemplate,
  { name, folder, file, args, port }: Wanted,
): Promise<Readonly<Record<string, unknown>>> {
  const cwd = path.relative(path.dirname(path.resolve(file)), folder)
  const { virtualPython } = await import('../config/templates/recognise.ts')
  const { command } = template.entry
  const python = Array.isArray(command) && command[0] === 'python3' ? virtualPython(folder) : undefined
  return {
    name,
    template: template.name,
    ...(port === undefined ? {} : { port }),
    ...(python === undefined || !Array.isArray(command)
      ? {}
      : { command: [python, ...withPort(command, port ?? template.port)] }),
    ...(args.length === 0 ? {} : { args }),
    ...(cwd === '' ? {} : { cwd: cwd.startsWith('..') ? cwd : `./${cwd}` }),
  }
}

/** The words of a template's command after the first. */
function withPort(command: readonly unknown[], port: number | null): string[] {
  return command.slice(1).map((word) => String(word).replaceAll('{port}', String(port)))
}

function forwardsOf(
  template: ProgramTemplate,
  name: string,
  port: number,
  isGated: boolean,
): Readonly<Record<string, unknown>>[] {
  return Object.entries({ port, ...template.furtherPorts }).map(([what, listen]) => ({
    name: `${name}-${what}`,
    listen,
    target: `localhost:${listen}`,
    ...(isGated ? { gate: 'token' } : {}),
  }))
}

/** Writes the entries when the configuration is valid with them, and nothing otherwise. */
async function addTo(file: string, additions: Additions): Promise<void> {
  const { withEntries } = await import('../config/edit.ts')
  const { configurationFrom, loadConfiguration } = await import('../config/load.ts')
  if (!existsSync(file)) {
    const text = withEntries('', file, additions)
    await configurationFrom(file, text)
    if (create(file, text)) return
  }
  const { forwards, programs } = await loadConfiguration(file)
  for (const { name } of [...additions.programs, ...additions.forwards]) {
    if ([...forwards, ...programs].every((one) => one.name !== name)) continue
    throw new Failure(
      `${file} has a forward or program named ${name} already; take another name: --name NAME`,
      exitCode.usage,
    )
  }
  const before = readTrustedFile(file)
  const after = withEntries(before, file, additions)
  await configurationFrom(file, after)
  replace(file, before, after)
}

function create(file: string, text: string): boolean {
  try {
    return createFileAtomically(path.resolve(file), text)
  } catch (error) {
    throw new Failure(`${file} cannot be written: ${errorText(error)}`, exitCode.cannotCreate)
  }
}

/** Keeps the mode of the file; a link stays a link. */
function replace(file: string, before: string, after: string): void {
  try {
    if (readFileSync(file, 'utf8') !== before) throw new Error('it was changed meanwhile; try again')
    replaceFile(file, after)
  } catch (error) {
    throw new Failure(`${file} cannot be written: ${errorText(error)}`, exitCode.cannotCreate)
  }
}
