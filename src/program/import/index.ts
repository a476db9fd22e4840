/**
 * import/: configurations of other process managers, as entries of ours.
 *
 *   file -> `formatOf` -> `read` of its row -> entries and remarks -> `yamlOf` (what the schema knows, with the remarks as comments)
 *
 * Nothing here runs a command, asks a monitor, or reads a file; only `run-ecosystem.ts` runs a configuration that is a program itself.
 * A new format is a file with a reader and a row of `formats`. A remark has a code; `remarks.ts` puts it into words.
 */
import { parseDocument } from 'yaml'
import { readCircus } from './circus.ts'
import type { ImportContext, Imported } from './imported.ts'
import { readPm2 } from './pm2.ts'
import { readProcessCompose } from './process-compose.ts'
import { readProcfile } from './procfile.ts'
import { isRecord } from './records.ts'
import { readSupervisord } from './supervisord.ts'

export interface ImportFormat {
  /** As a person names it: `--format pm2`. */
  readonly name: string
  /** Whether a file is of this format, by its name or by what it holds. */
  readonly recognises: (fileName: string, text: string) => boolean
  /** @throws when the text is not even YAML or JSON. */
  readonly read: (text: string, context: ImportContext) => Imported
}

export const formats: readonly ImportFormat[] = [
  {
    name: 'procfile',
    recognises: (fileName) => /^Procfile(\.|$)/.test(fileName),
    read: readProcfile,
  },
  {
    name: 'circus',
    recognises: (fileName, text) => /\.(ini|conf)$/.test(fileName) && /^\[watcher:/m.test(text),
    read: readCircus,
  },
  {
    name: 'supervisord',
    recognises: (fileName, text) =>
      /\.(ini|conf)$/.test(fileName) && /^\[(program:|supervisord\])/m.test(text),
    read: readSupervisord,
  },
  {
    name: 'process-compose',
    recognises: (fileName, text) => isStructured(fileName) && /(?:^|[{,])["\s{]*processes"?\s*:/m.test(text),
    read: (text) => readProcessCompose(parsed(text)),
  },
  {
    name: 'pm2',
    recognises: (fileName, text) =>
      isEcosystemProgram(fileName) || (isStructured(fileName) && /["\s{]*(apps|script)"?\s*:/.test(text)),
    read: (text, context) => readPm2(parsed(text), context),
  },
]

/** Whether a file is JavaScript: it has to be run to learn what it says. */
export function isEcosystemProgram(fileName: string): boolean {
  return /\.[cm]?js$/.test(fileName)
}

function isStructured(fileName: string): boolean {
  return /\.(ya?ml|json)$/.test(fileName)
}

/** The format of a file; undefined when none of them recognises it. */
export function formatOf(fileName: string, text: string): ImportFormat | undefined {
  return formats.find((format) => format.recognises(fileName, text))
}

/** YAML, of which JSON is a part. */
function parsed(text: string): unknown {
  const document = parseDocument(text, { merge: true })
  const [problem] = document.errors
  if (problem !== undefined) throw problem
  const content: unknown = document.toJS()
  if (!isRecord(content) && !Array.isArray(content)) throw new Error('it holds neither keys nor a list')
  return content
}
