import { shapeOf } from './index.ts'
import { list, nullable, number, object, oneOf, text } from './kinds.ts'

/** A tool that is not what it was when it was pinned. */
export interface ChangedTool {
  /** As the server calls it. */
  readonly tool: string
  /** When the change was seen: wall time, ISO 8601. */
  readonly at: string
  /** A text, or JSON; null = there was none, or is none any more. */
  readonly differences: readonly {
    readonly member: string
    readonly was: string | null
    readonly is: string | null
  }[]
}

/** The pins of one connector, as an MCP gateway answers them to `pins`. */
export interface PinnedConnector {
  readonly connector: string
  /** null = nobody serves it now. */
  readonly mode: 'off' | 'alert' | 'strict' | null
  /** How many tools are pinned. */
  readonly tools: number
  readonly changed: readonly ChangedTool[]
}

export const pinnedConnectors = shapeOf<readonly PinnedConnector[]>()(
  list(
    object({
      connector: text,
      mode: nullable(oneOf(['off', 'alert', 'strict'], 'alert')),
      tools: number,
      changed: list(
        object({
          tool: text,
          at: text,
          differences: list(object({ member: text, was: nullable(text), is: nullable(text) })),
        }),
      ),
    }),
  ),
)
