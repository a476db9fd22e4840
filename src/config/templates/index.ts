/**
 * templates/: how usual programs are run, as data.
 *
 *   entry with `template: vite` -> `withTemplates` -> the template's keys, `{port}` replaced, the entry's own keys over them -> schema.ts
 *
 * A new template is a row of `builtIn`. A person's own are files `templates/NAME.yaml` beside the configuration (`own-templates.ts`), in the
 * shape of `OwnTemplate`; one of the same name replaces ours.
 */
import type { Problem } from '../problems.ts'
import { parsePort } from '../values.ts'

/** By what a folder is recognised: a package that its package.json names, one that its list of Python packages names, or a file in it. */
export type Trait =
  | { readonly dependency: string }
  | { readonly requirement: string }
  | { readonly file: string }

export interface ProgramTemplate {
  readonly name: string
  /** One line for lists. */
  readonly summary: string
  /** The port when the entry names none; null = it has none. */
  readonly port: number | null
  /** Ports besides it that visitors need, by what each is for; they cannot be chosen. */
  readonly furtherPorts: Readonly<Record<string, number>>
  /** All must be there. Empty = never recognised. */
  readonly traits: readonly Trait[]
  /** A folder that fits another template, too, is of that one; missing = no. */
  readonly isFallback?: true
  /** What a person has to know; null = nothing. */
  readonly note: string | null
  /** Keys of an entry of `programs`. `{port}` in a text stands for the port. */
  readonly entry: Readonly<Record<string, unknown>>
}

/** The keys of an entry that only a template needs. */
export const templateKeys = ['template', 'port', 'args'] as const

/** A configuration whose entries name no templates any more, or what is wrong with those that do. */
export interface Expanded {
  readonly content: unknown
  readonly problems: readonly Problem[]
}

/**
 * Puts the templates' keys into the entries of `programs` that name one. What is no list of entries is left as it is.
 * @param broken names of templates that cannot be used; the caller has reported them.
 */
export function withTemplates(
  content: unknown,
  templates: readonly ProgramTemplate[],
  broken: ReadonlySet<string> = new Set(),
): Expanded {
  if (!isRecord(content) || !Array.isArray(content.programs)) return { content, problems: [] }
  const problems: Problem[] = []
  const programs = content.programs.map((entry: unknown, index) => {
    if (!isRecord(entry)) return entry
    const wrong = (key: string, text: string) => {
      problems.push({ place: ['programs', index, key], text: `programs[${index}].${key}: ${text}` })
      return entry
    }
    const { template: named, port, args = [], ...own } = entry
    if (named === undefined) {
      const key = templateKeys.find((one) => one in entry)
      return key === undefined ? entry : wrong(key, 'means something only beside template')
    }
    const template = templates.find(({ name }) => name === named)
    // What it would have been is not known: only what the entry says itself is read.
    if (typeof named === 'string' && broken.has(named))
      return { command: [named], ...(port === undefined ? {} : { ready: { port } }), ...own }
    if (template === undefined) {
      const known = templates.map(({ name }) => name).join(', ')
      return wrong('template', `there is no template "${named}"; there are ${known}`)
    }
    if (port !== undefined && template.port === null)
      return wrong('port', `the template ${template.name} has no port`)
    const parsed = port === undefined ? undefined : parsePort(String(port))
    if (parsed?.ok === false) return wrong('port', parsed.problem)
    if (!Array.isArray(args) || args.some((word) => typeof word !== 'string' && typeof word !== 'number'))
      return wrong('args', 'must be a list of words')
    const filledIn = filled(template, parsed?.ok === true ? parsed.value : template.port, 'instances' in own)
    return merged(filledIn, own, args)
  })
  return { content: { ...content, programs }, problems }
}

/** The template's keys, `{port}` replaced. @param hasInstances each copy has a port of its own, which `instances.ts` puts in. */
function filled(
  { entry }: ProgramTemplate,
  port: number | null,
  hasInstances: boolean,
): Readonly<Record<string, unknown>> {
  if (port === null) return entry
  const fill = (value: unknown, key = ''): unknown => {
    if (value === '{port}' && key === 'port') return port
    if (typeof value === 'string') return hasInstances ? value : value.replaceAll('{port}', String(port))
    if (Array.isArray(value)) return value.map((one) => fill(one))
    if (!isRecord(value)) return value
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, fill(one, name)]))
  }
  return fill(entry) as Readonly<Record<string, unknown>>
}

/** Keys whose own keys are merged one by one. */
const mergedKeys = ['env', 'restart', 'limits', 'stop', 'output']

/** What the entry says itself counts; `args` follow the command, and patterns of both hold. */
function merged(
  template: Readonly<Record<string, unknown>>,
  own: Readonly<Record<string, unknown>>,
  args: readonly unknown[],
): Readonly<Record<string, unknown>> {
  const entry: Record<string, unknown> = { ...template, ...own }
  for (const key of mergedKeys) {
    const [usual, said] = [template[key], own[key]]
    if (isRecord(usual) && isRecord(said)) entry[key] = { ...usual, ...said, ...patternsOf(usual, said) }
  }
  if (Array.isArray(entry.command) && args.length > 0) entry.command = [...entry.command, ...args]
  return entry
}

function patternsOf(
  template: Readonly<Record<string, unknown>>,
  own: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  if (template.patterns === undefined || own.patterns === undefined) return {}
  return { patterns: [template.patterns, own.patterns].flat() }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
