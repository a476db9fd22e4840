import { createHash } from 'node:crypto'
import type { ConnectorConfiguration, PinMode } from '../config/connector-configuration.ts'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { monotonicMs, wallTime } from '../os/clock.ts'
import { errorCode, errorText } from '../os/failure.ts'
import { readRegularFile } from '../os/regular-file.ts'
import type { ChangedTool, PinnedConnector } from '../record/shapes/gateway-pins.ts'
import { membersOf, textOf } from './protocol/json-text.ts'
import { serverOf } from './remembered-offerings.ts'
import type { Item } from './upstream/offering.ts'

/** The members of a tool that a model and its user judge it by. A change of one is reported. */
const members = ['title', 'description', 'inputSchema', 'outputSchema', 'annotations'] as const

/** How a tool was when somebody, or the first sight, trusted it. */
interface Pin {
  /** SHA-256 of each form that is trusted, the newest last. */
  readonly trusted: readonly string[]
  /** The newest of them, as JSON with sorted keys. */
  readonly form: string
  /** Another form that is offered now, and since when (wall time, ISO 8601); null = there is none. */
  readonly changed: { readonly form: string; readonly at: string } | null
}

interface Kept {
  /** Of the server that it is: another command is another server, whose tools are seen for the first time. */
  readonly server: string
  readonly tools: Readonly<Record<string, Pin>>
}

/** What is looked at of a connector. */
interface Offered {
  readonly id: string
  readonly connector: ConnectorConfiguration
  readonly offering: { readonly tools: readonly Item[] }
}

/** ms in which changes are gathered into one write. */
const writeAfterMs = 200

/** Connectors and tools of each that are kept, or half as many beside those that are offered: a server that makes up names fills no disk. */
const mostConnectors = 500
const mostTools = 5000

/** At most so many changes of one connector are logged in `toldMs`, so that a connector which changes its tools every second does not fill the log. `changedOf` has all of them. */
const mostTold = 20
const toldMs = 3_600_000

/** Forms of one tool that are trusted. */
const mostForms = 16

/**
 * The descriptions of tools, on disk, so that a server cannot change one unseen once it is trusted. The first form that is seen is trusted;
 * any other only when a person accepts it.
 */
export class Pins {
  readonly #file: string
  readonly #isWritten: boolean
  readonly #kept: Map<string, Kept>
  #writing: NodeJS.Timeout | undefined
  /** By connector: when its first change of this hour was logged, in monotonic ms, and how many were. */
  readonly #told = new Map<string, { readonly since: number; readonly count: number }>()
  /** Why what was kept could not be read, so that all is seen for the first time; undefined = it could. */
  readonly problem: string | undefined

  /** @param isWritten false = another process keeps the file, and what is seen here is not written. */
  constructor(file: string, isWritten = true) {
    this.#file = file
    this.#isWritten = isWritten
    const { kept, problem } = read(file)
    this.#kept = kept
    this.problem = problem
  }

  /** Looks at what a connector offers. @returns the tools that have changed since the last look, as long as that is to be told. */
  look({ id, connector, offering }: Offered): readonly string[] {
    if (offering.tools.length === 0) return []
    const server = serverOf(connector)
    const known = this.#kept.get(id)
    const before = known?.server === server ? known.tools : {}
    const news: string[] = []
    const tools: Record<string, Pin> = Object.create(null)
    // One that is not offered now may come back as something else.
    for (const [name, pin] of Object.entries(before)) tools[name] = { ...pin, changed: null }
    for (const item of offering.tools) {
      const name = item.key
      const form = formOf(item.text)
      const pin = Object.hasOwn(before, name) ? before[name] : undefined
      if (pin === undefined) tools[name] = { trusted: [hashOf(form)], form, changed: null }
      else if (pin.trusted.includes(hashOf(form))) tools[name] = { ...pin, changed: null }
      else if (pin.changed?.form === form) tools[name] = pin
      else {
        tools[name] = { ...pin, changed: { form, at: wallTime() } }
        news.push(name)
      }
    }
    const next = { server, tools: bounded(tools, offering.tools) }
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(next)) return []
    this.#kept.delete(id)
    this.#kept.set(id, next)
    for (const oldest of [...this.#kept.keys()].slice(0, -mostConnectors)) this.#kept.delete(oldest)
    if (this.#isWritten) this.#writing ??= setTimeout(() => this.flush(), writeAfterMs)
    return news.length > 0 && this.#isToBeTold(id) ? news : []
  }

  #isToBeTold(id: string): boolean {
    const now = monotonicMs()
    const known = this.#told.get(id)
    const { since, count } =
      known === undefined || now - known.since > toldMs ? { since: now, count: 0 } : known
    this.#told.set(id, { since, count: count + 1 })
    return count < mostTold
  }

  /** The tools of a connector that are another form than the trusted one. */
  changedOf(id: string): readonly ChangedTool[] {
    return Object.entries(this.#kept.get(id)?.tools ?? {}).flatMap(([tool, { form, changed }]) =>
      changed === null ? [] : [{ tool, at: changed.at, differences: differencesOf(form, changed.form) }],
    )
  }

  /** The names of these tools: how they differ takes a look at their whole forms. */
  changedNames(id: string): readonly string[] {
    const tools = Object.entries(this.#kept.get(id)?.tools ?? {})
    return tools.flatMap(([tool, { changed }]) => (changed === null ? [] : [tool]))
  }

  hasChanged(id: string, tool: string): boolean {
    const tools = this.#kept.get(id)?.tools ?? {}
    return Object.hasOwn(tools, tool) && tools[tool]?.changed != null
  }

  /**
   * A person trusts what a connector offers now. @param tool undefined = all of its tools that have changed.
   * @returns their names. @throws the system's error when that cannot be written.
   */
  accept(id: string, tool: string | undefined): readonly string[] {
    const known = this.#kept.get(id)
    if (known === undefined) return []
    const accepted: string[] = []
    const tools = Object.entries(known.tools).map(([name, pin]): [string, Pin] => {
      const { changed, trusted } = pin
      if (changed === null || (tool !== undefined && tool !== name)) return [name, pin]
      accepted.push(name)
      const all = [...trusted, hashOf(changed.form)].slice(-mostForms)
      return [name, { trusted: all, form: changed.form, changed: null }]
    })
    if (accepted.length === 0) return []
    const kept = new Map(this.#kept).set(id, { ...known, tools: Object.fromEntries(tools) })
    this.#write(kept)
    this.#kept.set(id, { ...known, tools: Object.fromEntries(tools) })
    return accepted
  }

  /** @param modeOf how the tools of a connector are pinned; undefined = it is not served. */
  list(modeOf: (id: string) => PinMode | undefined): readonly PinnedConnector[] {
    return [...this.#kept].map(([connector, { tools }]) => ({
      connector,
      mode: modeOf(connector) ?? null,
      tools: Object.keys(tools).length,
      changed: this.changedOf(connector),
    }))
  }

  /** Writes what is yet to be written. A disk that is full for a while is no reason to stop. */
  flush(): void {
    if (this.#writing === undefined) return
    clearTimeout(this.#writing)
    this.#writing = undefined
    try {
      this.#write(this.#kept)
    } catch {
      // The next change tries again.
    }
  }

  #write(kept: ReadonlyMap<string, Kept>): void {
    writeFileAtomically(
      this.#file,
      `${JSON.stringify({ version: 1, connectors: Object.fromEntries(kept) })}\n`,
    )
  }
}

/** How the tools of a connector are pinned. Where each client has a server of its own, descriptions may differ without harm. */
export function pinModeOf({ pin, isolation }: ConnectorConfiguration, usual: PinMode): PinMode {
  return pin ?? (isolation === 'session' ? 'off' : usual)
}

function read(file: string): { readonly kept: Map<string, Kept>; readonly problem?: string } {
  try {
    const { version, connectors } = JSON.parse(readRegularFile(file)) as {
      readonly version?: unknown
      readonly connectors?: Readonly<Record<string, Kept>>
    }
    if (version !== 1) return { kept: new Map(), problem: 'it is of another version' }
    return { kept: new Map(Object.entries(connectors ?? {}).filter(([, one]) => isKept(one))) }
  } catch (error) {
    return errorCode(error) === 'ENOENT'
      ? { kept: new Map() }
      : { kept: new Map(), problem: errorText(error) }
  }
}

function isKept({ server, tools }: Kept): boolean {
  return (
    typeof server === 'string' &&
    typeof tools === 'object' &&
    Object.values(tools).every(
      ({ trusted, form, changed }) =>
        Array.isArray(trusted) &&
        typeof form === 'string' &&
        (changed === null || (typeof changed.form === 'string' && typeof changed.at === 'string')),
    )
  )
}

/** Those that are offered, and of the others those that were seen first: a server that makes up names must not push out what is trusted. */
function bounded(tools: Record<string, Pin>, offered: readonly Item[]): Record<string, Pin> {
  const all = Object.entries(tools)
  if (all.length <= mostTools) return tools
  const names = new Set(offered.map(({ key }) => key))
  const others = all.map(([name]) => name).filter((name) => !names.has(name))
  // Names that are numbers come first in an object, whenever they were added.
  const isNumber = (name: string) => /^\d+$/.test(name)
  const bySight = [...others.filter((name) => !isNumber(name)), ...others.filter(isNumber)]
  const room = Math.max(mostTools / 2, mostTools - (all.length - others.length))
  const gone = new Set(bySight.slice(room))
  return Object.fromEntries(all.filter(([name]) => !gone.has(name)))
}

/**
 * The same text for the same description, in whatever order its server writes it. What is too deep to be sorted counts as it is written: a
 * schema that exhausts the stack must not keep its tool, and those beside it, from being looked at.
 */
function formOf(text: string): string {
  const tool = JSON.parse(text) as Readonly<Record<string, unknown>>
  const written = membersOf(text)
  const entries = members.map((member) => {
    const value = sorted(tool[member], 0)
    const span = written.get(member)
    return [member, value === tooDeep && span !== undefined ? textOf(text, span) : value]
  })
  return JSON.stringify(sorted(Object.fromEntries(entries), -1))
}

/** Levels of a description that are sorted. */
const deepest = 200

const tooDeep = Symbol('deeper than what is sorted')

function sorted(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth > deepest) return tooDeep
  if (Array.isArray(value)) {
    const parts = value.map((one) => sorted(one, depth + 1))
    return parts.includes(tooDeep) ? tooDeep : parts
  }
  const entries = Object.entries(value)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, inner]) => [key, sorted(inner, depth + 1)] as const)
  return entries.some(([, inner]) => inner === tooDeep) ? tooDeep : Object.fromEntries(entries)
}

function hashOf(form: string): string {
  return createHash('sha256').update(form).digest('hex')
}

function differencesOf(before: string, after: string): ChangedTool['differences'] {
  const [one, other] = [before, after].map((form) => JSON.parse(form) as Readonly<Record<string, unknown>>)
  return members.flatMap((member) => {
    const texts = [one?.[member], other?.[member]].map((value) =>
      value === undefined ? null : typeof value === 'string' ? value : JSON.stringify(value),
    )
    const [was = null, is = null] = texts
    return was === is ? [] : [{ member, was, is }]
  })
}
