/** How bytes get to an MCP server and back: one implementation for each transport. What they mean is `connection.ts`'s. */

/** What a transport may need to know of a message that it sends. */
export interface Sent {
  /** Of a request: its id on this connection. Undefined = a notification, or an answer. */
  readonly id: number | undefined
  readonly method: string | undefined
  /** What the method is about: the name of a tool or prompt, the URI of a resource, as the server knows it. */
  readonly about?: string | undefined
  /** Headers that repeat arguments of a call, where the transport has headers. */
  readonly parameters?: Readonly<Record<string, string>> | undefined
  /** Whose call it is: `clientInfo` as JSON text; undefined = the gateway's own. */
  readonly client?: string | undefined
}

export interface WireEvents {
  /**
   * A message has arrived, on one line or not.
   * @param exchange the id of the request on whose answer stream it came; undefined where there is one stream for all.
   */
  readonly message: (text: string, exchange: number | undefined) => void
  /** No answer to this request comes any more. */
  readonly unanswered: (id: number, problem: Error) => void
  /** Nothing can be sent or received any more. Called once. */
  readonly closed: (problem: Error) => void
}

export interface Wire {
  /** Sends a message. Never throws: a request that cannot be sent is `unanswered`. */
  send(text: string, sent: Sent): void
  /** Nobody waits for the answer to this request any more. @returns true = the server learns of it by that alone. */
  abandon(id: number): boolean
  /** Tells the transport in which revision both sides speak. */
  speaks(revision: string): void
  /** Ends it, and what it has started. Resolves when that is gone. */
  close(): Promise<void>
  /** Figures and last words, for status and errors. */
  facts(): WireFacts
}

/** The server does not know this connection any more: what was sent last on it was not done, and may be sent again on another one. */
export class SessionLost extends Error {}

export interface WireFacts {
  readonly pid: number | null
  /** Lines on stdout that were no messages. */
  readonly junkLines: number
  /** The last lines that it wrote to stderr, oldest first. */
  readonly lastLines: readonly string[]
}
