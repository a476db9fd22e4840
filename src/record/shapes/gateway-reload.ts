import { shapeOf } from './index.ts'
import { list, object, text } from './kinds.ts'

/** What an MCP gateway answers to `reload`: ids of connectors. */
export interface GatewayReload {
  readonly file: string
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Another process, or another connection. */
  readonly restarted: readonly string[]
  /** Other rules, and the same process. */
  readonly changed: readonly string[]
  /** Keys of `gateway` that hold after a restart of the gateway alone. */
  readonly needsRestart: readonly string[]
}

export const gatewayReload = shapeOf<GatewayReload>()(
  object({
    file: text,
    added: list(text),
    removed: list(text),
    restarted: list(text),
    changed: list(text),
    needsRestart: list(text),
  }),
)

/** `added time; restarted files`; undefined = no connector has changed. */
export function reloadInWords({ added, removed, restarted, changed }: GatewayReload): string | undefined {
  const parts = [
    ['added', added],
    ['removed', removed],
    ['restarted', restarted],
    ['other rules for', changed],
  ] as const
  const said = parts.flatMap(([verb, ids]) => (ids.length === 0 ? [] : [`${verb} ${ids.join(', ')}`]))
  return said.length === 0 ? undefined : said.join('; ')
}
