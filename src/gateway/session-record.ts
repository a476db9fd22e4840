import { shapeOf } from '../record/shapes/index.ts'
import { list, number, object, text } from '../record/shapes/kinds.ts'

// What a gateway that hands over tells the next one of its sessions, so that their clients go on with the ids that they have.

/** What a client of the older generation has said. */
export interface SessionState {
  readonly revision: string
  /** JSON texts. */
  readonly info: string
  readonly capabilities: string
  /** Of log messages; -1 = it has not said. */
  readonly level: number
  /** URIs of resources. */
  readonly followed: readonly string[]
}

/** A session of HTTP. */
export interface SessionRecord extends SessionState {
  /** As it stands in `Mcp-Session-Id`. */
  readonly id: string
  /** The principal. */
  readonly of: string
  /** What he sees, as `GatewayCore.keyOf` names it. */
  readonly view: string
  /** The number of its last stream, and of the last message on the one that belongs to no request. */
  readonly lastStream: number
  readonly lastMessage: number
}

const record = object({
  id: text,
  of: text,
  view: text,
  revision: text,
  info: text,
  capabilities: text,
  level: number,
  followed: list(text),
  lastStream: number,
  lastMessage: number,
})

export const sessionRecords = shapeOf<{ readonly sessions: readonly SessionRecord[] }>()(
  object({ sessions: list(record) }),
)
