/**
 * What orders have changed of programs, beside the file that a person writes:
 *
 *   order config-change -> `changed` -> record/configuration-changes.ts (a file of the state directory)
 *   file of the person + these changes -> `withChanges` -> templates -> schema.ts -> `Configuration`
 *
 * The file of the person decides: what its `configChange` does not allow (any more), or what does not fit it, is set aside and told, and
 * never makes the file invalid. There is no key here for a command, a shell, arguments, input, actions or another user.
 */
import type { ChangePermission } from './change-permission.ts'
import type { PatternRule } from './log-patterns.ts'
import { isRecord } from './templates/index.ts'

type Scalar = string | number

/** What orders have changed of one program. */
export interface OrderedProgram {
  readonly name: string
  /** An order has added it; missing = it stands in the file. */
  readonly added?: {
    readonly template: string
    readonly port?: number | undefined
    /** Absolute, without links. */
    readonly cwd: string
  }
  readonly env?: Readonly<Record<string, string>>
  readonly patterns?: Readonly<Record<string, readonly PatternRule[]>>
  /** As a file has them. */
  readonly restart?: Readonly<Record<string, Scalar>>
  readonly limits?: Readonly<Record<string, Scalar>>
  readonly autostart?: boolean
}

/** What one order changes; null takes a value back. */
export interface ProgramChange {
  readonly env?: Readonly<Record<string, string | null>> | undefined
  readonly patterns?: Readonly<Record<string, readonly PatternRule[] | null>> | undefined
  readonly restart?: Readonly<Record<string, Scalar | null | undefined>> | undefined
  readonly limits?: Readonly<Record<string, Scalar | null | undefined>> | undefined
  readonly autostart?: boolean | null | undefined
}

/** A change that does not hold, and why. */
export interface SetAside {
  readonly program: string
  /** `denied`: `configChange` does not allow it; `unfit`: it does not go with what the file says. */
  readonly kind: 'denied' | 'unfit'
  readonly why: string
}

/** The changes of a program with those of one more order. */
export function changed(before: OrderedProgram, change: ProgramChange): OrderedProgram {
  const { name, added } = before
  const autostart = change.autostart === undefined ? before.autostart : (change.autostart ?? undefined)
  return {
    name,
    ...(added === undefined ? {} : { added }),
    ...part('env', before.env, change.env),
    ...part('patterns', before.patterns, change.patterns),
    ...part('restart', before.restart, change.restart),
    ...part('limits', before.limits, change.limits),
    ...(autostart === undefined ? {} : { autostart }),
  }
}

function part<Value>(
  key: string,
  before: Readonly<Record<string, Value>> = {},
  change: Readonly<Record<string, Value | null | undefined>> = {},
): Readonly<Record<string, Readonly<Record<string, Value>>>> {
  const said = Object.entries(change).filter(([, value]) => value !== undefined)
  const all = new Map<string, Value | null | undefined>([...Object.entries(before), ...said])
  const left = [...all].filter((entry): entry is [string, Value] => entry[1] !== null)
  return left.length === 0 ? {} : { [key]: Object.fromEntries(left) }
}

/** Whether nothing of a program is changed any more. */
export function isUnchanged(program: OrderedProgram): boolean {
  return Object.keys(program).length === 1
}

/** The keys of a program that orders have set, as a file names them: `env.LOG_LEVEL`, `restart.backoff`, `template`. */
export function orderedKeys({
  added,
  env,
  patterns,
  restart,
  limits,
  autostart,
}: OrderedProgram): readonly string[] {
  const within = (key: string, values: object = {}) => Object.keys(values).map((name) => `${key}.${name}`)
  return [
    ...(added === undefined ? [] : ['template', 'cwd', ...(added.port === undefined ? [] : ['port'])]),
    ...within('env', env),
    ...within('output.patterns', patterns),
    ...within('restart', restart),
    ...within('limits', limits),
    ...(autostart === undefined ? [] : ['autostart']),
  ]
}

/** A configuration with changes in it. */
export interface Overlaid {
  readonly content: unknown
  /** Those that are in it. */
  readonly changes: readonly OrderedProgram[]
  readonly setAside: readonly SetAside[]
}

/**
 * Puts changes into what a person wrote.
 * @param permission undefined = the file allows none.
 * @param isWithin tells whether a folder is an allowed one or below one, with links resolved as they are now.
 */
export function withChanges(
  content: unknown,
  changes: readonly OrderedProgram[],
  permission: ChangePermission | undefined,
  isWithin: (folder: string) => boolean,
): Overlaid {
  if (changes.length === 0 || !isRecord(content)) return { content, changes: [], setAside: [] }
  const programs: unknown[] = Array.isArray(content.programs) ? [...content.programs] : []
  const setAside: SetAside[] = []
  const kept: OrderedProgram[] = []
  for (const change of changes) {
    const index = programs.findIndex((entry) => isRecord(entry) && entry.name === change.name)
    const aside = (kind: SetAside['kind'], why: string) => {
      setAside.push({ program: change.name, kind, why })
    }
    const reason = whyNot(change, index >= 0, permission, isWithin)
    if (reason !== undefined) {
      aside(...reason)
      continue
    }
    const denied = Object.keys(change.env ?? {}).filter((name) => permission?.env.includes(name) !== true)
    for (const name of denied)
      aside('denied', `the variable ${name} is not on the list${listed(permission?.env)}`)
    const allowed = changed(change, { env: Object.fromEntries(denied.map((name) => [name, null])) })
    kept.push(allowed)
    if (index >= 0) programs[index] = entryWith(programs[index] as Entry, allowed)
    else programs.push(entryWith({ name: change.name, ...allowed.added }, allowed))
  }
  return { content: { ...content, programs }, changes: kept, setAside }
}

type Entry = Readonly<Record<string, unknown>>

function whyNot(
  { name, added }: OrderedProgram,
  isThere: boolean,
  permission: ChangePermission | undefined,
  isWithin: (folder: string) => boolean,
): [SetAside['kind'], string] | undefined {
  if (permission === undefined)
    return ['denied', 'the configuration file has no configChange, which would allow changes by order']
  if (added === undefined)
    return isThere ? undefined : ['unfit', `the configuration file has no program ${name} any more`]
  if (isThere) return ['unfit', `the configuration file has a program ${name} of its own`]
  if (!permission.templates.includes(added.template))
    return ['denied', `the template ${added.template} is not on the list${listed(permission.templates)}`]
  if (!isWithin(added.cwd))
    return ['denied', `the folder ${added.cwd} is not within an allowed one${listed(permission.folders)}`]
  return undefined
}

function listed(allowed: readonly string[] = []): string {
  return allowed.length === 0 ? ', which is empty' : `: ${allowed.join(', ')}`
}

/** An entry of the file with the changes of a program in it. */
function entryWith(entry: Entry, { env, patterns, restart, limits, autostart }: OrderedProgram): Entry {
  const merged = (key: string, own: object | undefined) => {
    const before = entry[key]
    return own === undefined ? {} : { [key]: { ...(isRecord(before) ? before : {}), ...own } }
  }
  const output = isRecord(entry.output) ? entry.output : {}
  const earlier = Array.isArray(output.patterns) ? output.patterns : [output.patterns ?? []].flat()
  return {
    ...entry,
    ...merged('env', env),
    ...merged('restart', restart),
    ...merged('limits', limits),
    ...(patterns === undefined ? {} : { output: { ...output, patterns: [...earlier, patterns] } }),
    ...(autostart === undefined ? {} : { autostart }),
  }
}
