/** What `gateway:` may say in a configuration file. */
import path from 'node:path'
import type { z as Zod } from 'zod'
import { type GatewayConfiguration, gatewayDefaults } from './gateway-configuration.ts'
import { http, httpConfiguration, httpProblems } from './http-schema.ts'
import type { Problem } from './problems.ts'
import { oneOrMore } from './schema-parts.ts'
import * as z from './zod.ts'

export const gateway = z.strictObject({
  http: http.optional().describe('address at which mcp-proxy start --http serves MCP'),
  strict: z
    .boolean()
    .optional()
    .describe(
      'true = requests must follow the specification exactly, also those from this machine; default false',
    ),
  import: oneOrMore(z.string().min(1))
    .optional()
    .describe('files of MCP clients (Claude, Cursor, VS Code, Codex) whose servers become connectors, too'),
})

type GatewayEntry = Zod.output<typeof gateway>

/** @param folder that relative files begin in. */
export function gatewayConfiguration(entry: GatewayEntry | undefined, folder: string): GatewayConfiguration {
  if (entry === undefined) return gatewayDefaults
  return {
    http: httpConfiguration(entry.http),
    strict: entry.strict ?? gatewayDefaults.strict,
    import: (entry.import ?? []).map((file) => path.resolve(folder, file)),
  }
}

export function gatewayProblems(entry: GatewayEntry | undefined): Problem[] {
  return httpProblems(entry?.http).map(({ text }) => ({
    place: ['gateway', 'http'],
    text: `gateway.${text}`,
  }))
}
