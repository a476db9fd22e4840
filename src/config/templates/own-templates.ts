import { readdirSync } from 'node:fs'
import path from 'node:path'
import { parseDocument } from 'yaml'
import { errorCode, errorText } from '../../os/failure.ts'
import { readTrustedFile } from '../../os/regular-file.ts'
import { type Problem, problemsOf } from '../problems.ts'
import { port } from '../schema-parts.ts'
import { forwardName } from '../values.ts'
import * as z from '../zod.ts'
import { builtIn } from './built-in.ts'
import { isRecord, type ProgramTemplate } from './index.ts'

/** The folder of a person's own templates, beside the configuration file. */
const folderName = 'templates'

/** What stands in such a file besides the keys of an entry of `programs`. */
const about = z.strictObject({
  summary: z.string().optional(),
  port: port.optional(),
  furtherPorts: z.record(z.string(), port).optional(),
  traits: z
    .array(
      z.union([
        z.strictObject({ dependency: z.string() }),
        z.strictObject({ requirement: z.string() }),
        z.strictObject({ file: z.string() }),
      ]),
    )
    .optional(),
  note: z.string().optional(),
})

/** The templates that a configuration can name, and what is wrong with others. */
export interface FoundTemplates {
  readonly templates: readonly ProgramTemplate[]
  /** The names of those that cannot be used. */
  readonly broken: ReadonlySet<string>
  /** What is wrong with them; each text begins with the file. */
  readonly problems: readonly Problem[]
}

/**
 * All templates of a configuration: ours, and those of the folder `templates` beside the file. Only files that no other user can change are
 * read, because a template says what is run.
 */
export function templatesBeside(configurationFile: string): FoundTemplates {
  const folder = path.join(path.dirname(path.resolve(configurationFile)), folderName)
  const own: ProgramTemplate[] = []
  const broken = new Set<string>()
  const problems: Problem[] = []
  const say = (file: string, texts: readonly string[]) =>
    problems.push(...texts.map((text) => ({ place: [], text: `${file}: ${text}` })))
  for (const file of filesIn(folder, (why) => say(folder, [`the templates cannot be read: ${why}`]))) {
    const name = file.replace(/\.ya?ml$/, '')
    const read = readTemplate(path.join(folder, file), name)
    if ('template' in read) own.push(read.template)
    else {
      broken.add(name)
      say(path.join(folder, file), read.problems)
    }
  }
  const isOurs = ({ name }: ProgramTemplate) => !broken.has(name) && !own.some((one) => one.name === name)
  return { templates: [...builtIn.filter(isOurs), ...own], broken, problems }
}

function filesIn(folder: string, unreadable: (why: string) => void): string[] {
  try {
    return readdirSync(folder)
      .filter((file) => /\.ya?ml$/.test(file))
      .sort()
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') unreadable(errorText(error))
    return []
  }
}

type Read = { readonly template: ProgramTemplate } | { readonly problems: readonly string[] }

function readTemplate(file: string, name: string): Read {
  const content = contentOf(file)
  if (!('keys' in content)) return content
  const known = Object.keys(about.shape)
  const split = (isAbout: boolean) =>
    Object.fromEntries(Object.entries(content.keys).filter(([key]) => known.includes(key) === isAbout))
  const said = about.safeParse(split(true))
  const entry = split(false)
  const problems = [
    ...(forwardName.test(name) ? [] : ['a template is named by its file: letters, digits, ".", "_" or "-"']),
    ...(said.success ? [] : problemsOf(said.error.issues, content.keys, () => known).map(({ text }) => text)),
    ...(Array.isArray(entry.command) ? [] : ['it has no command; write a list such as [npm, run, dev]']),
  ]
  if (!said.success || problems.length > 0) return { problems }
  const {
    summary = `${name}, a template of ${folderName}/`,
    port: usual = null,
    furtherPorts = {},
    traits = [],
    note = null,
  } = said.data
  return { template: { name, summary, port: usual, furtherPorts, traits, note, entry } }
}

function contentOf(
  file: string,
): { readonly keys: Readonly<Record<string, unknown>> } | { readonly problems: readonly string[] } {
  let text: string
  try {
    text = readTrustedFile(file)
  } catch (error) {
    return { problems: [errorText(error)] }
  }
  const document = parseDocument(text)
  if (document.errors.length > 0)
    return {
      problems: document.errors.map(({ message }) => (message.split('\n')[0] ?? '').replace(/:$/, '')),
    }
  const content: unknown = document.toJS()
  return isRecord(content) ? { keys: content } : { problems: ['it must be keys with values'] }
}
