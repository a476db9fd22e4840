import type { Log } from '../../log/index.ts'
import { errorText } from '../../os/failure.ts'
import type { Connection } from './connection.ts'
import { allListKinds, emptyOffering, type Item, type ListKind, listOf, type Offering } from './offering.ts'

export interface KeptOfferingOptions {
  readonly connector: string
  readonly log: Log
  /** Whether arguments can be repeated in headers on the way to its server. */
  readonly hasHeaders: () => boolean
  /** What it offered when it ran last; undefined = that is not known. */
  readonly remembered: Offering | undefined
  /** Aborted when there is no time left to read a list. */
  readonly inTime: () => AbortSignal
  readonly changed: (kinds: readonly ListKind[]) => void
}

/** What a server offers, read when it has started and when it says that a list has changed, and kept while it sleeps. */
export class KeptOffering {
  readonly #options: KeptOfferingOptions
  #offering: Offering | undefined
  #reading: Promise<void> | undefined
  /** Lists that have changed while others were read. */
  readonly #outdated = new Set<ListKind>()
  /** What was said of tools that are left out, so that it is said once. */
  readonly #said = new Set<string>()

  constructor(options: KeptOfferingOptions) {
    this.#options = options
    this.#offering = options.remembered
  }

  /** What it offered last; undefined = that is not known. */
  get now(): Offering | undefined {
    return this.#offering
  }

  /** Reads every list. @throws RpcError, ConnectionLost */
  async readAll(connection: Connection): Promise<void> {
    const before = this.#offering
    const offering = (await this.#read(connection, allListKinds)) as Offering
    this.#offering = offering
    const changed = allListKinds.filter((kind) => !isSameList(before?.[kind] ?? [], offering[kind]))
    this.#options.changed(changed)
  }

  /** The server says that these have changed. @param connection on which it can be asked; undefined = it has gone. */
  outdated(kinds: readonly ListKind[], connection: () => Connection | undefined): void {
    for (const kind of kinds) this.#outdated.add(kind)
    this.#reading ??= this.#readOutdated(connection).finally(() => {
      this.#reading = undefined
    })
  }

  /** Reads the tools once more, where the server behaves as if others were known. */
  async readTools(connection: Connection): Promise<void> {
    const before = this.#offering?.tools ?? []
    try {
      const { tools = [] } = await this.#read(connection, ['tools'])
      if (isSameList(before, tools)) return
      this.#offering = { ...(this.#offering ?? emptyOffering), tools }
      this.#options.changed(['tools'])
    } catch (error) {
      this.#unread(error)
    }
  }

  async #readOutdated(connectionNow: () => Connection | undefined): Promise<void> {
    try {
      while (this.#outdated.size > 0) {
        const kinds = [...this.#outdated]
        this.#outdated.clear()
        const connection = connectionNow()
        if (connection === undefined) return
        const lists = await this.#read(connection, kinds)
        this.#offering = { ...(this.#offering ?? emptyOffering), ...lists }
        this.#options.changed(kinds)
      }
    } catch (error) {
      this.#unread(error)
    }
  }

  #unread(error: unknown): void {
    const { connector, log } = this.#options
    log.warn(
      { unit: connector },
      `A list of connector '${connector}' has changed, but the gateway could not read the new list: ${errorText(error)}`,
    )
  }

  async #read(connection: Connection, kinds: readonly ListKind[]): Promise<Partial<Offering>> {
    const signal = this.#options.inTime()
    const lists = await Promise.all(kinds.map(async (kind) => [kind, await listOf(connection, kind, signal)]))
    const offering = Object.fromEntries(lists) as Partial<Offering>
    const mirrors = connection.facts.era === 'modern' && this.#options.hasHeaders()
    if (!mirrors || offering.tools === undefined) return offering
    return { ...offering, tools: offering.tools.filter((tool) => this.#isCallable(tool)) }
  }

  /** A tool whose marks for headers break the rules cannot be called as they demand: the specification has it left out. */
  #isCallable({ key, mirroring }: Item): boolean {
    if (mirroring?.ok !== false) return true
    const { connector, log } = this.#options
    const words = `Connector '${connector}': the tool ${key} is left out, because its inputSchema is invalid: ${mirroring.problem}`
    if (!this.#said.has(words)) log.warn({ unit: connector }, words)
    this.#said.add(words)
    return false
  }
}

function isSameList(one: Offering[ListKind], other: Offering[ListKind]): boolean {
  return one.length === other.length && one.every(({ text }, index) => text === other[index]?.text)
}

/** The lists that a notification says have changed. */
export function listsOf(method: string | undefined): readonly ListKind[] {
  switch (method) {
    case 'notifications/tools/list_changed':
      return ['tools']
    case 'notifications/prompts/list_changed':
      return ['prompts']
    case 'notifications/resources/list_changed':
      return ['resources', 'resourceTemplates']
    default:
      return []
  }
}
