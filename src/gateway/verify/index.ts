/**
 * verify/: the checks of `mcp-proxy verify`. It asks an MCP server over Streamable HTTP, as its clients do, in both generations, and as
 * somebody does who must not come in.
 *
 *   `verify` (this file) -> checks.ts (each: asks, and says what came of it) -> door.ts (one request of HTTP)
 *
 * Another check is a line of `checks`.
 */
import { errorText } from '../../os/failure.ts'
import { type Asked, checks, type Verification, type Verified } from './checks.ts'
import { Door } from './door.ts'

export type { Outcome, Verified } from './checks.ts'

/**
 * Asks the server. Each result comes when it is known.
 * @throws Failure (69) when it cannot be reached at all.
 */
export async function* verify({ url, key, call }: Verification): AsyncGenerator<Verified> {
  const door = new Door(url, key)
  try {
    await door.reach()
    const asked: Asked = { door, call, session: undefined, tools: undefined, capabilities: {} }
    for (const { name, run } of checks) {
      const began = performance.now()
      const result = await run(asked).catch((error: unknown) => ({
        outcome: 'failed' as const,
        detail: errorText(error),
      }))
      yield { check: name, ...result, ms: Math.round(performance.now() - began) }
    }
  } finally {
    door.close()
  }
}
