import { readdirSync } from 'node:fs'
import path from 'node:path'
import { connectControl, holderAfter } from '../../control/client.ts'
import { removeQuietly, writeFileAtomically } from '../../os/atomic-file.ts'
import { monotonicMs } from '../../os/clock.ts'
import { readRegularFile } from '../../os/regular-file.ts'
import {
  isElsewhere,
  judgeProcess,
  ownIdentity,
  type ProcessIdentity,
  sameProcess,
} from '../../process/identity.ts'
import { shapeOf } from '../../record/shapes/index.ts'
import { exactly, number, object, text } from '../../record/shapes/kinds.ts'
import { processIdentity } from '../../record/shapes/process-identity.ts'
import { fileNames } from '../../record/state-directory.ts'
import type { Scheme } from '../../web/hosts.ts'

/** One gated port: where visitors find it, and where its target is. */
export interface GateMember {
  readonly listenPort: number
  /** How visitors come: `https` when the forward itself speaks TLS with them. */
  readonly scheme: Scheme
  readonly targetHost: string
  readonly targetPort: number
  /** How the target is spoken to. */
  readonly targetScheme: Scheme
}

interface Entry extends GateMember {
  readonly group: string
  readonly identity: ProcessIdentity
}

const gateEntry = shapeOf<Entry>()(
  object({
    listenPort: number,
    scheme: exactly('http', 'https'),
    targetHost: text,
    targetPort: number,
    targetScheme: exactly('http', 'https'),
    group: text,
    identity: processIdentity,
  }),
)

/** ms for which the members are taken as known. */
const freshMs = 1_000

/**
 * The gates that share a login: those of one state directory with the same token. An application on several ports calls
 * itself across them (the Inspector 1.x page on 6274 its proxy on 6277); each gate leaves a file, so that the others know which
 * ports are of the family. A file whose process is gone counts for nothing.
 */
export class GateGroup {
  readonly #directory: string
  readonly #group: string
  readonly #self: GateMember
  /** Ports of other PID namespaces whose control sockets were held at the last look. */
  readonly #heldElsewhere = new Set<number>()
  #known: { readonly at: number; readonly members: readonly GateMember[] } | undefined

  constructor(directory: string, group: string, self: GateMember) {
    this.#directory = directory
    this.#group = group
    this.#self = self
  }

  join(): void {
    const entry: Entry = { ...this.#self, group: this.#group, identity: ownIdentity() }
    writeFileAtomically(this.#file(), JSON.stringify(entry), false)
  }

  /** What another process of this port has left, by joining after this one or instead of it, stays. */
  leave(): void {
    const entry = readEntry(this.#file())
    if (entry !== undefined && sameProcess(entry.identity, ownIdentity())) removeQuietly(this.#file())
  }

  /** Every gated port of the group that is up, this one first. */
  members(): readonly GateMember[] {
    const now = monotonicMs()
    if (this.#known === undefined || now - this.#known.at > freshMs) {
      this.#known = { at: now, members: [this.#self, ...this.#others()] }
    }
    return this.#known.members
  }

  #file(): string {
    return path.join(this.#directory, fileNames.gate(this.#self.listenPort))
  }

  #others(): GateMember[] {
    return list(this.#directory)
      .filter((name) => /^tcp_proxy_\d+\.gate$/.test(name))
      .map((name) => readEntry(path.join(this.#directory, name)))
      .filter((entry) => entry !== undefined)
      .filter(({ group, listenPort }) => group === this.#group && listenPort !== this.#self.listenPort)
      .filter((entry) => this.#isThere(entry))
  }

  /** For a process of another PID namespace, only its control socket can show whether it lives: it is asked in the background, for the next look. */
  #isThere({ identity, listenPort }: Entry): boolean {
    if (!isElsewhere(identity)) return ['alive', 'unverifiable'].includes(judgeProcess(identity))
    const socket = path.join(this.#directory, fileNames.forwarderSocket(listenPort))
    void connectControl(socket).then(
      (client) => {
        client.close()
        this.#heldElsewhere.add(listenPort)
      },
      (error) => {
        if (holderAfter(error) === 'absent') this.#heldElsewhere.delete(listenPort)
      },
    )
    return this.#heldElsewhere.has(listenPort)
  }
}

/** Asked within requests: a directory that has vanished, or no descriptor to read it with, must not end the forwarder. */
function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function readEntry(file: string): Entry | undefined {
  try {
    return gateEntry.read(JSON.parse(readRegularFile(file)))
  } catch {
    // Gone since it was listed.
    return undefined
  }
}
