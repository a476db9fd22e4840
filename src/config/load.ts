import { hostname } from 'node:os'
import path from 'node:path'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { machineAddresses } from '../os/interfaces.ts'
import { readTrustedFile } from '../os/regular-file.ts'
import type { Configuration } from './configuration.ts'
import { inOneLine, type Place, type Problem, withLine } from './problems.ts'

/** Everything that is wrong with a configuration file; the message itself names the first mistake and the places of some others. */
export class InvalidConfiguration extends Failure {
  /** One sentence each, with its line. */
  readonly problems: readonly string[]

  constructor(file: string, problems: readonly Problem[], lineOf: LineOf) {
    super(`${file}: ${inOneLine(problems, lineOf)}`, exitCode.configuration)
    this.problems = problems.map((problem) => withLine(problem, lineOf))
  }
}

/**
 * Reads and checks a configuration file, `.yaml`, `.yml` or `.json`. The schema is loaded only now: it costs 50 ms that a
 * monitor without a file does not spend.
 * @throws InvalidConfiguration, or Failure when it cannot be read: they name the file, the line or key, and what is expected; exit code 78.
 */
export async function loadConfiguration(file: string): Promise<Configuration> {
  const { parseConfiguration } = await import('./schema.ts')
  const { content, lineOf } = await parseFile(file)
  const machine = { addresses: machineAddresses().map(({ address }) => address), hostname: hostname() }
  const parsed = parseConfiguration(content, machine)
  if (!parsed.ok) throw new InvalidConfiguration(file, parsed.problems, lineOf)
  return parsed.value
}

/** The line, from 1, at which a place stands, or what holds it. */
type LineOf = (place: Place) => number | undefined

interface ParsedFile {
  readonly content: unknown
  readonly lineOf: LineOf
}

async function parseFile(file: string): Promise<ParsedFile> {
  const text = readText(file)
  if (text.trim() === '') return { content: null, lineOf: () => undefined }
  const { isNode, LineCounter, parseDocument } = await import('yaml')
  const lines = new LineCounter()
  // JSON is YAML: its lines, and keys that are there twice, are found in the same way.
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true, lineCounter: lines })
  const refused = (what: string) => new Failure(`${file}: ${what}`, exitCode.configuration)
  const isJson = path.extname(file) === '.json'
  for (const { code, pos } of document.errors) {
    const { line } = lines.linePos(pos[0])
    if (code === 'DUPLICATE_KEY') {
      const key = /^\s*["']?([^"':\n]*)/.exec(text.slice(pos[0]))?.[1]?.trim()
      throw refused(`line ${line}: the key ${key} appears twice`)
    }
    if (code === 'MULTIPLE_DOCS' && !isJson) {
      throw refused(
        `line ${line}: a second YAML document begins here; a configuration is one, without a line of ---`,
      )
    }
  }
  try {
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
    throw refused(what)
  }
}

function readText(file: string): string {
  try {
    return withoutMark(file, readTrustedFile(file))
  } catch (error) {
    throw new Failure(`the configuration cannot be read: ${whyUnread(file, error)}`, exitCode.configuration)
  }
}

/** Editors of other systems write a byte order mark, which means nothing in UTF-8, and sometimes UTF-16. */
function withoutMark(file: string, text: string): string {
  if (text.includes('\u0000') || text.startsWith('\ufffd\ufffd')) {
    throw new Error(`${file} is not in UTF-8; save it as UTF-8`)
  }
  return text.replace(/^\ufeff/, '')
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
