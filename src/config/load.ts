import { hostname } from 'node:os'
import path from 'node:path'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { machineAddresses } from '../os/interfaces.ts'
import { readTrustedFile } from '../os/regular-file.ts'
import type { Configuration } from './configuration.ts'
import { type OrderedProgram, type Overlaid, orderedKeys, type SetAside } from './ordered-changes.ts'
import { inOneLine, type Place, type Problem, placeText, withLine } from './problems.ts'
import type { Expanded } from './templates/index.ts'

/** A mistake in a configuration file. */
export interface FoundProblem {
  /** From 1; null = it has none, or is about the whole file. */
  readonly line: number | null
  /** `forwards[0].listen`; empty for the whole file. */
  readonly place: string
  readonly message: string
}

/** Everything that is wrong with a configuration file; the message itself names the first mistake and the places of some others. */
export class InvalidConfiguration extends Failure {
  /** One sentence each, with its line. */
  readonly problems: readonly string[]
  readonly found: readonly FoundProblem[]

  constructor(file: string, problems: readonly Problem[], lineOf: LineOf) {
    super(`${file}: ${inOneLine(problems, lineOf)}`, exitCode.configuration)
    this.problems = problems.map((problem) => withLine(problem, lineOf))
    this.found = problems.map(({ place, text }) => ({
      line: lineOf(place) ?? null,
      place: placeText(place),
      message: text,
    }))
  }
}

/** What a configuration is made of. */
export interface ConfigurationSource {
  /** The absolute path of the file. */
  readonly file: string
  /** What stood in it. */
  readonly text: string
  /** What orders have changed of it; missing = nothing. */
  readonly changes?: readonly OrderedProgram[]
}

/** A configuration with what it was made of. */
export interface ReadConfiguration {
  readonly configuration: Configuration
  /** As a person wrote it. */
  readonly content: unknown
  /** The same with the changes of orders in it. */
  readonly overlaid: unknown
  /** The same with the keys of the templates that it names. */
  readonly expanded: unknown
  readonly lineOf: LineOf
  /** The changes that hold. */
  readonly changes: readonly OrderedProgram[]
  /** The changes that do not. */
  readonly setAside: readonly SetAside[]
}

/** How a configuration is read. */
export interface ReadingRules {
  /** Which files that it names, such as patterns, may be read; the others count as empty. Missing = all. */
  readonly mayRead?: (file: string) => boolean
}

/**
 * Reads and checks a configuration file, `.yaml`, `.yml` or `.json`. The schema is loaded only now: it costs 50 ms that a
 * monitor without a file does not spend.
 * @throws InvalidConfiguration, or Failure when it cannot be read: they name the file, the line or key, and what is expected; exit code 78.
 */
export async function loadConfiguration(file: string): Promise<Configuration> {
  return await configurationFrom(file, readConfigurationText(file))
}

/**
 * The same for a text that is to become the file's content.
 * @param file where it stands or will stand: its folder is that of relative paths and of templates.
 */
export async function configurationFrom(file: string, text: string): Promise<Configuration> {
  const { configuration } = await readConfiguration({ file, text })
  return configuration
}

/**
 * The same with what it was made of. Changes of orders that do not fit are set aside: they never make a file invalid.
 * @throws InvalidConfiguration when the file itself is not valid.
 */
export async function readConfiguration(
  source: ConfigurationSource,
  rules: ReadingRules = {},
): Promise<ReadConfiguration> {
  const { file, text, changes = [] } = source
  const parsed = await parseText(file, text)
  const read = (wanted: readonly OrderedProgram[]) => readWith(file, parsed, wanted, rules)
  const whole = await read(changes)
  if (whole.ok) return whole.read
  if (changes.length === 0) throw whole.invalid
  let best = await read([])
  if (!best.ok) throw best.invalid
  const kept: OrderedProgram[] = []
  const unfit: SetAside[] = []
  for (const change of changes) {
    const more = await read([...kept, change])
    if (more.ok) {
      best = more
      kept.push(change)
    } else unfit.push({ program: change.name, kind: 'unfit', why: more.invalid.found[0]?.message ?? '' })
  }
  return { ...best.read, setAside: [...best.read.setAside, ...unfit] }
}

type Reading =
  | { readonly ok: true; readonly read: ReadConfiguration }
  | { readonly ok: false; readonly invalid: InvalidConfiguration }

async function readWith(
  file: string,
  { content, lineOf }: ParsedText,
  wanted: readonly OrderedProgram[],
  { mayRead }: ReadingRules,
): Promise<Reading> {
  const { parseConfiguration } = await import('./schema.ts')
  const folder = path.dirname(path.resolve(file))
  const invalid = (problems: readonly Problem[]): Reading => {
    return { ok: false, invalid: new InvalidConfiguration(file, problems, lineOf) }
  }
  const { content: overlaid, changes, setAside } = await overlay(content, wanted, folder)
  const expanded = await expandTemplates(file, overlaid)
  const machine = { addresses: machineAddresses().map(({ address }) => address), hostname: hostname() }
  const parsed = parseConfiguration(expanded.content, machine, folder, mayRead)
  const problems = allProblems(expanded.problems, parsed.ok ? [] : parsed.problems)
  if (!parsed.ok || problems.length > 0) return invalid(problems)
  const configuration = withOrderedKeys(parsed.value, changes)
  const read = { configuration, content, overlaid, expanded: expanded.content, lineOf, changes, setAside }
  return { ok: true, read }
}

async function overlay(
  content: unknown,
  changes: readonly OrderedProgram[],
  folder: string,
): Promise<Overlaid> {
  if (changes.length === 0) return { content, changes, setAside: [] }
  const { withChanges } = await import('./ordered-changes.ts')
  const { permissionIn } = await import('./change-permission.ts')
  const { isFolderWithin } = await import('./allowed-folders.ts')
  const permission = permissionIn(content, folder)
  return withChanges(content, changes, permission, (asked) => {
    return permission?.folders.some((one) => isFolderWithin(asked, one)) === true
  })
}

/** Each program knows which of its values come from orders. */
function withOrderedKeys(configuration: Configuration, changes: readonly OrderedProgram[]): Configuration {
  const keys = new Map(changes.map((change) => [change.name, orderedKeys(change)]))
  const programs = configuration.programs.map((program) => {
    const ordered = keys.get(program.name)
    return ordered === undefined ? program : { ...program, ordered }
  })
  return changes.length === 0 ? configuration : { ...configuration, programs }
}

/** What a template would have given, and what only a template reads: the mistake with the template tells of both. */
const ofTemplates: readonly (PropertyKey | undefined)[] = ['template', 'port', 'args', 'command', undefined]

/** The mistakes with templates, and those of the rest that do not follow from them. */
function allProblems(ofTemplate: readonly Problem[], others: readonly Problem[]): readonly Problem[] {
  const told = new Set(ofTemplate.map(({ place }) => place[1]))
  const follows = ({ place: [list, index, key] }: Problem) =>
    list === 'programs' && index !== undefined && told.has(index) && ofTemplates.includes(key)
  return [...ofTemplate, ...others.filter((problem) => !follows(problem))]
}

/** Templates are loaded for a configuration with programs alone. */
async function expandTemplates(file: string, content: unknown): Promise<Expanded> {
  const hasPrograms = typeof content === 'object' && content !== null && 'programs' in content
  if (!hasPrograms) return { content, problems: [] }
  const { templatesBeside } = await import('./templates/own-templates.ts')
  const { withTemplates } = await import('./templates/index.ts')
  const { templates, broken, problems } = templatesBeside(file)
  const expanded = withTemplates(content, templates, broken)
  return { ...expanded, problems: [...problems, ...expanded.problems] }
}

/** The line, from 1, at which a place stands, or what holds it. */
export type LineOf = (place: Place) => number | undefined

interface ParsedText {
  readonly content: unknown
  readonly lineOf: LineOf
}

async function parseText(file: string, text: string): Promise<ParsedText> {
  if (text.trim() === '') return { content: null, lineOf: () => undefined }
  const { isNode, keyThereTwice, LineCounter, parseDocument } = await import('./yaml.ts')
  const lines = new LineCounter()
  // JSON is YAML: its lines, and keys that are there twice, are found in the same way. The library would word each of ten thousand mistakes.
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: false, lineCounter: lines })
  const refused = (what: string, line?: number) =>
    new InvalidConfiguration(file, [{ place: [], text: what }], () => line)
  const isJson = path.extname(file) === '.json'
  const twice = keyThereTwice(document.contents)
  if (twice !== undefined) {
    const key = /^\s*["']?([^"':\n]*)/.exec(text.slice(twice))?.[1]?.trim()
    throw refused(`the key ${key} appears twice`, lines.linePos(twice).line)
  }
  const second = isJson ? undefined : document.errors.find(({ code }) => code === 'MULTIPLE_DOCS')
  if (second !== undefined) {
    const what = 'a second YAML document begins here; a configuration is one, without a line of ---'
    throw refused(what, lines.linePos(second.pos[0]).line)
  }
  const [problem] = document.errors
  if (!isJson && problem !== undefined) throw refused(problem.message, lines.linePos(problem.pos[0]).line)
  try {
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

/**
 * The text of a configuration file, which only root and this user may be able to change.
 * @throws Failure (78) when it cannot be read.
 */
export function readConfigurationText(file: string): string {
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
