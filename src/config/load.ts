import path from 'node:path'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { readTrustedFile } from '../os/regular-file.ts'
import type { Configuration } from './configuration.ts'
import type { Place } from './problems.ts'

/**
 * Reads and checks a configuration file, `.yaml`, `.yml` or `.json`. The schema is loaded only now: it costs 50 ms that a
 * monitor without a file does not spend.
 * @throws Failure that names the file, the line or key, and what is expected; exit code 78.
 */
export async function loadConfiguration(file: string): Promise<Configuration> {
  const { parseConfiguration } = await import('./schema.ts')
  const { content, lineOf } = await parseFile(file)
  const parsed = parseConfiguration(content, lineOf)
  if (!parsed.ok) throw new Failure(`${file}: ${parsed.problem}`, exitCode.configuration)
  return parsed.value
}

interface ParsedFile {
  readonly content: unknown
  /** The line, from 1, at which a place stands, or what holds it. */
  readonly lineOf: (place: Place) => number | undefined
}

async function parseFile(file: string): Promise<ParsedFile> {
  const text = readText(file)
  if (text.trim() === '') return { content: null, lineOf: () => undefined }
  const { isNode, LineCounter, parseDocument } = await import('yaml')
  const lines = new LineCounter()
  // JSON is YAML: its lines are found in the same way.
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true, lineCounter: lines })
  try {
    const isJson = path.extname(file) === '.json'
    const [problem] = document.errors
    if (!isJson && problem !== undefined) throw problem
    const content: unknown = isJson ? JSON.parse(text) : document.toJS()
    const lineOf = (place: Place) => {
      for (let length = place.length; length > 0; length--) {
        const node = document.getIn(place.slice(0, length), true)
        const at = isNode(node) ? node.range?.[0] : undefined
        if (at !== undefined) return lines.linePos(at).line
      }
      return undefined
    }
    return { content, lineOf }
  } catch (error) {
    const what = errorText(error)
      .trim()
      .replace(/:?\s*\n[\s\S]*$/, '')
      .replace(/:$/, '')
    throw new Failure(`${file}: ${what}`, exitCode.configuration)
  }
}

function readText(file: string): string {
  try {
    return readTrustedFile(file)
  } catch (error) {
    throw new Failure(`the configuration cannot be read: ${whyUnread(file, error)}`, exitCode.configuration)
  }
}

function whyUnread(file: string, error: unknown): string {
  switch (errorCode(error)) {
    case 'ENOENT':
      return `${file} does not exist`
    case 'EISDIR':
      return `${file} is a folder, not a file`
    case 'EACCES':
      return `${file}: permission denied`
    default:
      return errorText(error)
  }
}
