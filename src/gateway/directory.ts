import type { ToolRules } from '../config/connector-configuration.ts'
import { lazyTools } from './lazy.ts'
import { hashedName, isAllowed, longName, matches, nameSeparator, ownName } from './names.ts'
import type { MirroredParameter } from './protocol/parameter-headers.ts'
import type { Era } from './protocol/revisions.ts'
import { type TaskSupport, taskSupportOf, toolFor } from './task-shapes.ts'
import type { Upstream } from './upstream/index.ts'
import { type Item, type ListKind, offeredAs } from './upstream/offering.ts'

/** Which server a name stands for, and as what the server knows it. */
export interface Route {
  readonly upstream: Upstream
  readonly name: string
  /** A tool that has changed since somebody trusted it, and is not to be called; missing = it may be. */
  readonly isHeld?: boolean
  /** Of a tool: the arguments that a call repeats in headers; undefined = none. */
  readonly mirrored?: readonly MirroredParameter[] | undefined
  /** Of a tool: whether its server has it that calls are tasks, in the older generation. */
  readonly taskSupport?: TaskSupport | undefined
}

/** One list as clients get it. */
interface Table {
  /** The elements as JSON text, joined by commas, as each generation has them. */
  readonly texts: Readonly<Record<Era, string>>
  /** The same, by name. */
  readonly items: ReadonlyMap<string, string>
  readonly count: number
  readonly connectors: number
  readonly routes: ReadonlyMap<string, Route>
}

/** A connector whose part of a list is missing, and why. */
export interface Missing {
  readonly connector: string
  readonly state: string
  readonly reason: string | null
}

const namedKinds: readonly ListKind[] = ['tools', 'prompts']

/** What a client sees of everything that the gateway serves: by its key, its profile and the address that it uses. */
export interface OfferedPart {
  /** Whether a connector of this id belongs to it, as the configuration is now. */
  readonly sees: (connector: string) => boolean
  /** Names are `connectorId__name`; false = as the one server has them, and the long form is understood as well. */
  readonly isPrefixed: boolean
  /** Which tools and prompts, by their long names; undefined = all. */
  readonly rules?: ToolRules | undefined
  /** Its tools are found and called by three others, and not listed. */
  readonly isLazy?: boolean
}

/**
 * What some connectors offer together, in one order: that of the configuration, then each server's own. What is listed and what can be called
 * come from the same table.
 */
export class Directory {
  readonly #all: () => readonly Upstream[]
  readonly #part: OfferedPart
  readonly #isHeld: (connector: string, tool: string) => boolean
  #upstreams: readonly Upstream[] | undefined
  readonly #tables = new Map<ListKind, Table>()

  /**
   * @param all the connectors that are served, as they are now.
   * @param isHeld whether a tool is neither offered nor called, because its description has changed.
   */
  constructor(
    all: () => readonly Upstream[],
    part: OfferedPart,
    isHeld: (connector: string, tool: string) => boolean = () => false,
  ) {
    this.#all = all
    this.#part = part
    this.#isHeld = isHeld
  }

  get isPrefixed(): boolean {
    return this.#part.isPrefixed
  }

  get upstreams(): readonly Upstream[] {
    this.#upstreams ??= this.#all().filter(({ id }) => this.#part.sees(id))
    return this.#upstreams
  }

  /** Whether a connector is, was or would be offered here. */
  sees(connector: string): boolean {
    return this.#part.sees(connector)
  }

  get isLazy(): boolean {
    return this.#part.isLazy === true
  }

  /** Something that is offered has changed. */
  forget(): void {
    this.#upstreams = undefined
    this.#tables.clear()
  }

  table(kind: ListKind): Table {
    const known = this.#tables.get(kind)
    if (known !== undefined) return known
    const table = this.#build(kind)
    this.#tables.set(kind, table)
    return table
  }

  /** Connectors that have never told what they offer, or are down. */
  missing(): readonly Missing[] {
    return this.upstreams
      .filter((one) => !one.isKnown)
      .map(({ id, state, problem }) => ({ connector: id, state, reason: problem ?? null }))
  }

  #build(kind: ListKind): Table {
    const items = new Map<string, string>()
    const older: string[] = []
    const newer: string[] = []
    const routes = new Map<string, Route>()
    const connectors = new Set<Upstream>()
    const isNamed = namedKinds.includes(kind)
    for (const upstream of this.upstreams) {
      for (const item of upstream.offering[kind]) {
        if (isNamed && !this.#isOffered(upstream, item.key)) continue
        const name = this.#nameFor(upstream, item, routes, isNamed)
        if (name === undefined) continue
        // It keeps its name: no other tool comes to stand under it meanwhile.
        const isHeld = kind === 'tools' && this.#isHeld(upstream.id, item.key)
        const mirrored = item.mirroring?.ok === true ? item.mirroring.parameters : undefined
        const taskSupport = kind === 'tools' ? taskSupportOf(item.text) : undefined
        routes.set(name, { upstream, name: item.key, isHeld, mirrored, taskSupport })
        if (isHeld) continue
        const { describe, hide } = upstream.connector.tools
        if (isNamed && hide.some((glob) => matches(glob, item.key))) continue
        const description = isNamed && Object.hasOwn(describe, item.key) ? describe[item.key] : undefined
        const text = offeredAs(item, name, description)
        const { facts } = upstream
        const forEra = (era: Era) => (kind === 'tools' && facts ? toolFor(era, text, facts) : text)
        older.push(forEra('legacy'))
        newer.push(forEra('modern'))
        items.set(name, text)
        connectors.add(upstream)
      }
    }
    const isLazy = kind === 'tools' && this.isLazy
    const legacy = (isLazy ? lazyTools : older).join(',')
    const modern = (isLazy ? lazyTools : newer).join(',')
    // Most lists are the same for both: one text is kept.
    const texts = { legacy, modern: modern === legacy ? legacy : modern }
    const count = isLazy ? lazyTools.length : items.size
    return { texts, items, count, connectors: connectors.size, routes }
  }

  #isOffered({ id, connector }: Upstream, name: string): boolean {
    const { rules } = this.#part
    if (!isAllowed(name, connector.tools)) return false
    return rules === undefined || isAllowed(`${id}${nameSeparator}${name}`, rules)
  }

  /** The name that an item is listed under; the first one of a name wins, the next is listed with a hash; undefined = it is there already. */
  #nameFor(
    upstream: Upstream,
    item: Item,
    taken: ReadonlyMap<string, Route>,
    isNamed: boolean,
  ): string | undefined {
    if (!isNamed) {
      // A URI is the server's own and may stand in its texts, too; of the same one twice, the first connector's is listed.
      return taken.has(item.key) ? undefined : item.key
    }
    const { id, connector } = upstream
    const own = ownName(connector.tools, item.key)
    const name = this.isPrefixed ? longName(connector, item.key) : own
    if (!taken.has(name)) return name
    const hashed = hashedName(id, own, connector.tools.prefix)
    return taken.has(hashed) ? undefined : hashed
  }

  /** Where a tool or prompt of this name leads; undefined when none is known. */
  routeOf(kind: 'tools' | 'prompts', name: string): Route | undefined {
    const { routes } = this.table(kind)
    const found = routes.get(name)
    if (found !== undefined || this.isPrefixed) return found
    for (const route of routes.values()) {
      if (longName(route.upstream.connector, route.name) === name) return route
    }
    return undefined
  }

  /** Connectors that a name may belong to whose lists are not known yet. */
  unknownOwnersOf(name: string): readonly Upstream[] {
    const pending = this.upstreams.filter((one) => !one.isKnown)
    if (!this.isPrefixed) return pending
    return pending.filter(({ id, connector }) => {
      const { prefix = id } = connector.tools
      return prefix === '' || name.startsWith(`${prefix}${nameSeparator}`)
    })
  }

  /** The connector whose resource this is: listed, or of one of its templates. Undefined when none says so. */
  ownerOf(uri: string): Upstream | undefined {
    const listed = this.table('resources').routes.get(uri)
    if (listed !== undefined) return listed.upstream
    for (const [template, { upstream }] of this.table('resourceTemplates').routes) {
      if (isOfTemplate(template, uri)) return upstream
    }
    const able = this.upstreams.filter(({ facts }) => facts?.capabilities.resources !== undefined)
    return able.length === 1 ? able[0] : undefined
  }

  count(kind: ListKind): number {
    return this.table(kind).count
  }
}

/** Whether a URI can come of a template (RFC 6570): what stands between its expressions is there, in this order. */
function isOfTemplate(template: string, uri: string): boolean {
  const fixed = template.split(/\{[^}]*\}/)
  const [head = '', ...rest] = fixed
  if (!uri.startsWith(head)) return false
  let at = head.length
  for (const [index, part] of rest.entries()) {
    if (index === rest.length - 1)
      return part === '' || (uri.endsWith(part) && uri.length - part.length >= at)
    const found = uri.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return uri.length === at
}

/** For each notification to a client, the kinds of lists whose change it tells. */
export const changeNotifications: readonly (readonly [method: string, kinds: readonly ListKind[]])[] = [
  ['notifications/tools/list_changed', ['tools']],
  ['notifications/prompts/list_changed', ['prompts']],
  ['notifications/resources/list_changed', ['resources', 'resourceTemplates']],
]
