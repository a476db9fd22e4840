import { readdirSync } from 'node:fs'
import path from 'node:path'
import { parseDocument } from 'yaml'
import { errorCode, errorText, exitCode, Failure } from '../../os/failure.ts'
import { readTrustedFile } from '../../os/regular-file.ts'
import { problemsOf } from '../problems.ts'
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

/**
 * All templates of a configuration: ours, and those of the folder `templates` beside the file. Only files that no other user can change are
 * read, because a template says what is run.
 * @throws Failure with exit code 78 for one that cannot be read or understood.
 */
export function templatesBeside(configurationFile: string): readonly ProgramTemplate[] {
  const folder = path.join(path.dirname(path.resolve(configurationFile)), folderName)
  const own = filesIn(folder).map((file) => readTemplate(path.join(folder, file)))
  return [...builtIn.filter(({ name }) => !own.some((one) => one.name === name)), ...own]
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((file) => /\.ya?ml$/.test(file))
      .sort()
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
    throw new Failure(
      `the templates in ${folder} cannot be read: ${errorText(error)}`,
      exitCode.configuration,
    )
  }
}

function readTemplate(file: string): ProgramTemplate {
  const refused = (what: string) => new Failure(`${file}: ${what}`, exitCode.configuration)
  const name = path.basename(file).replace(/\.ya?ml$/, '')
  if (!forwardName.test(name))
    throw refused('a template is named by its file: letters, digits, ".", "_" or "-"')
  const content = contentOf(file, refused)
  const keys = Object.keys(about.shape)
  const split = (isAbout: boolean) =>
    Object.fromEntries(Object.entries(content).filter(([key]) => keys.includes(key) === isAbout))
  const said = about.safeParse(split(true))
  if (!said.success)
    throw refused(problemsOf(said.error.issues, content, () => keys)[0]?.text ?? 'it is not valid')
  const entry = split(false)
  if (!Array.isArray(entry.command)) throw refused('it has no command; write a list such as [npm, run, dev]')
  const {
    summary = `${name}, a template of ${folderName}/`,
    port: usual = null,
    furtherPorts = {},
    traits = [],
    note = null,
  } = said.data
  return { name, summary, port: usual, furtherPorts, traits, note, entry }
}

function contentOf(file: string, refused: (what: string) => Failure): Readonly<Record<string, unknown>> {
  let text: string
  try {
    text = readTrustedFile(file)
  } catch (error) {
    throw refused(errorText(error))
  }
  const document = parseDocument(text)
  const [problem] = document.errors
  if (problem !== undefined) throw refused(problem.message.split('\n')[0] ?? 'it is no YAML')
  const content: unknown = document.toJS()
  if (!isRecord(content)) throw refused('it must be keys with values')
  return content
}
