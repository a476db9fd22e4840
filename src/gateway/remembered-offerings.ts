import { createHash } from 'node:crypto'
import type { ConnectorConfiguration } from '../config/connector-configuration.ts'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { readRegularFile } from '../os/regular-file.ts'
import type { ServerFacts } from './upstream/handshake.ts'
import type { Upstream } from './upstream/index.ts'
import { allListKinds, type ListKind, type Offering, offeringOf } from './upstream/offering.ts'

/** What a server offered and said of itself when it ran last. */
export interface Remembered {
  readonly facts: ServerFacts
  readonly offering: Offering
}

/** The same as it is kept. */
interface Kept {
  /** Of the server that it is: another command offers something else. */
  readonly server: string
  readonly facts: ServerFacts
  /** Each element as its server wrote it. */
  readonly lists: Readonly<Record<ListKind, readonly string[]>>
}

/** ms in which changes are gathered into one write. */
const writeAfterMs = 200

/** Connectors that are remembered; names that somebody has tried once do not stay for ever. */
const mostConnectors = 500

/** What connectors offered last, on disk: after a restart of the gateway the tools of one that sleeps are listed without starting it. */
export class RememberedOfferings {
  readonly #file: string
  readonly #kept: Map<string, Kept>
  #writing: NodeJS.Timeout | undefined

  constructor(file: string) {
    this.#file = file
    this.#kept = read(file)
  }

  /** Undefined = nothing is known of this server. */
  of(connector: ConnectorConfiguration): Remembered | undefined {
    const kept = this.#kept.get(connector.id)
    if (kept === undefined || kept.server !== serverOf(connector)) return undefined
    try {
      return { facts: kept.facts, offering: offeringOf(kept.lists) }
    } catch {
      // Somebody has written into the file; the server tells it again.
      return undefined
    }
  }

  /** Remembers what it offers now. */
  keep({ id, connector, facts, offering }: Upstream): void {
    if (facts === undefined) return
    const lists = Object.fromEntries(
      allListKinds.map((kind) => [kind, offering[kind].map(({ text }) => text)]),
    ) as unknown as Kept['lists']
    this.#kept.delete(id)
    this.#kept.set(id, { server: serverOf(connector), facts, lists })
    for (const oldest of [...this.#kept.keys()].slice(0, -mostConnectors)) this.#kept.delete(oldest)
    this.#writing ??= setTimeout(() => this.flush(), writeAfterMs)
  }

  /** Writes what is yet to be written. A disk that is full for a while is no reason to stop. */
  flush(): void {
    if (this.#writing === undefined) return
    clearTimeout(this.#writing)
    this.#writing = undefined
    try {
      const text = JSON.stringify({ version: 1, connectors: Object.fromEntries(this.#kept) })
      writeFileAtomically(this.#file, `${text}\n`, false)
    } catch {
      // The next change tries again.
    }
  }
}

function read(file: string): Map<string, Kept> {
  try {
    const { version, connectors } = JSON.parse(readRegularFile(file)) as {
      readonly version?: unknown
      readonly connectors?: Readonly<Record<string, Kept>>
    }
    return version === 1 ? new Map(Object.entries(connectors ?? {})) : new Map()
  } catch {
    return new Map()
  }
}

/** What makes a server that server. A digest, because headers and variables may be secrets. */
export function serverOf({ transport }: ConnectorConfiguration): string {
  return createHash('sha256').update(JSON.stringify(transport)).digest('hex')
}
