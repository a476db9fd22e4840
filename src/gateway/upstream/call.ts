import type { Message } from '../protocol/message.ts'
import type { MirroredParameter } from '../protocol/parameter-headers.ts'
import type { Era } from '../protocol/revisions.ts'
import type { WaitSignal } from '../waiting.ts'

/** Who asks, as far as a server may want to know. */
export interface CallingClient {
  readonly era: Era
  /** JSON text of `clientInfo` and of the capabilities. */
  readonly info: string
  readonly capabilities: string
  /** The log messages that it wants of a server of the newer generation, where it has said so by itself. */
  readonly logLevel?: string
  /** Whose connection it uses where each client has one of its own. */
  readonly connection: string
}

/** What a client answers to a server's request: the result, or the error, as JSON text. */
export type ClientAnswer =
  | { readonly ok: true; readonly result: string }
  | { readonly ok: false; readonly error: string }

/** What a server asks of a client. */
export interface Question {
  readonly method: string
  /** JSON text. */
  readonly params: string | undefined
  /** By which the server knows it: the id of its request, or the key that it has given it. */
  readonly key: string
  /** Aborted when the server does not want the answer any more. */
  readonly signal: WaitSignal
}

/** One request on its way to a server. */
export interface Call {
  /** As the client sent it; its id and, where `about` is given, what it names are replaced on the way. */
  readonly message: Message
  readonly method: string
  /** Another value for a parameter: the name of the tool as the server knows it. */
  readonly about: { readonly parameter: 'name' | 'uri' | 'taskId'; readonly value: string } | undefined
  /** Of a tool: the arguments that a server of the newer generation wants repeated in headers. */
  readonly mirrored?: readonly MirroredParameter[] | undefined
  readonly client: CallingClient
  /** Whose call it is: requests of the server during it are for him. */
  readonly owner: object
  /** Aborted when nobody waits any more. */
  readonly signal: WaitSignal
  /** A message of the server that belongs to this call, ready for the client. */
  readonly notify: (text: string) => void
  /** A request of the server for the client. */
  readonly ask: (question: Question) => Promise<ClientAnswer>
}
