/** What `gateway:` may say in a configuration file. */
import path from 'node:path'
import type { z as Zod } from 'zod'
import { access, accessConfiguration } from './access-schema.ts'
import { type GatewayConfiguration, gatewayDefaults } from './gateway-configuration.ts'
import { http, httpConfiguration, httpProblems } from './http-schema.ts'
import type { Problem } from './problems.ts'
import { restartDefaults } from './restart-policy.ts'
import { duration, oneOrMore, text } from './schema-parts.ts'
import { parseStoreUrl, usualOutageMs } from './store-configuration.ts'
import {
  type LimitsEntry,
  limits,
  type RestartEntry,
  resourceLimits,
  restart,
  restartPolicy,
} from './unit-schema.ts'
import * as z from './zod.ts'

const store = z.strictObject({
  url: text(parseStoreUrl).describe(
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
    'a secret URL, such as postgres://USER@HOST/DATABASE: written here, or ${NAME} for an environment variable',
  ),
  outage: duration
    .optional()
    .describe(
      'how long keys that are known are taken while the database does not answer; default 10m; 0 = not at all',
    ),
})

/** Keys below those of `gateway`. */
export const gatewayKeys: Readonly<Record<string, readonly string[]>> = { store: Object.keys(store.shape) }

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
  lazy: z
    .boolean()
    .optional()
    .describe(
      'true = clients are offered find_tools, describe_tool and call_tool instead of every tool; default false',
    ),
  tap: z
    .boolean()
    .optional()
    .describe(
      'true = the messages between the gateway and its connectors are written to a file, with secrets masked; default false',
    ),
  access: access.optional().describe('who may use the gateway over HTTP, and how much'),
  store: store
    .optional()
    .describe(
      'PostgreSQL, where several gateways keep the keys of their clients together; default: files of the state directory',
    ),
  autostart: z
    .boolean()
    .optional()
    .describe('false = the monitor starts the gateway only when it is ordered to; default true'),
  restart: restart.optional().describe('how the monitor restarts the gateway'),
  limits: limits.optional().describe('memory, CPU time and open files that the gateway may use'),
})

/** Its parts are larger than those of a forwarder, and a busy machine takes its time. */
const gatewayRestart = { ...restartDefaults, startTimeoutMs: 20_000 }

type GatewayEntry = Zod.output<typeof gateway>

/**
 * @param folder that relative files begin in.
 * @param shared what holds for every unit.
 */
export function gatewayConfiguration(
  entry: GatewayEntry | undefined,
  folder: string,
  shared: { readonly restart?: RestartEntry | undefined; readonly limits?: LimitsEntry | undefined } = {},
): GatewayConfiguration {
  if (entry === undefined) return gatewayDefaults
  return {
    http: httpConfiguration(entry.http),
    strict: entry.strict ?? gatewayDefaults.strict,
    import: (entry.import ?? []).map((file) => path.resolve(folder, file)),
    lazy: entry.lazy ?? gatewayDefaults.lazy,
    tap: entry.tap ?? gatewayDefaults.tap,
    access: accessConfiguration(entry.access),
    store: entry.store && { url: entry.store.url, outageMs: entry.store.outage ?? usualOutageMs },
    kept: {
      autostart: entry.autostart ?? true,
      restart: restartPolicy({ ...shared.restart, ...entry.restart }, gatewayRestart),
      limits: resourceLimits({ ...shared.limits, ...entry.limits }),
    },
  }
}

export function gatewayProblems(entry: GatewayEntry | undefined): Problem[] {
  return httpProblems(entry?.http).map(({ text }) => ({
    place: ['gateway', 'http'],
    text: `gateway.${text}`,
  }))
}
