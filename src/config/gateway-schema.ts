/** What `gateway:` may say in a configuration file. */
import path from 'node:path'
import type { z as Zod } from 'zod'
import { access, accessConfiguration } from './access-schema.ts'
import { pinModes } from './connector-configuration.ts'
import { alertRuleKeys, alertRules, gatewayAlerts } from './gateway-alerts-schema.ts'
import {
  type GatewayConfiguration,
  type GatewayHttpOptions,
  gatewayDefaults,
} from './gateway-configuration.ts'
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
import { type Parsed, parseNetwork } from './values.ts'
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

const gatewayHttp = z.strictObject({
  ...http.shape,
  trustedProxies: oneOrMore(text(parseProxies))
    .optional()
    .describe(
      'networks of trusted reverse proxies: the gateway takes the address of the client from their X-Forwarded-For or Forwarded, such as 10.0.0.0/8, or private; default: none',
    ),
})

/** Keys below those of `gateway`. */
export const gatewayKeys: Readonly<Record<string, readonly string[]>> = {
  store: Object.keys(store.shape),
  http: Object.keys(gatewayHttp.shape),
  ...alertRuleKeys,
}

export const gateway = z.strictObject({
  http: gatewayHttp.optional().describe('address at which mcp-proxy start --http serves MCP'),
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
  pin: z
    .enum(pinModes)
    .optional()
    .describe(
      'what becomes of a tool whose description has changed since the gateway saw it first: alert, strict (held back until it is accepted) or off; default alert',
    ),
  alerts: alertRules.optional().describe('when the monitor alerts about the calls of the gateway'),
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
    http: gatewayHttpOptions(entry.http),
    strict: entry.strict ?? gatewayDefaults.strict,
    import: (entry.import ?? []).map((file) => path.resolve(folder, file)),
    lazy: entry.lazy ?? gatewayDefaults.lazy,
    tap: entry.tap ?? gatewayDefaults.tap,
    access: accessConfiguration(entry.access),
    store: entry.store && { url: entry.store.url, outageMs: entry.store.outage ?? usualOutageMs },
    pin: entry.pin ?? gatewayDefaults.pin,
    alerts: gatewayAlerts(entry.alerts),
    kept: {
      autostart: entry.autostart ?? true,
      restart: restartPolicy({ ...shared.restart, ...entry.restart }, gatewayRestart),
      limits: resourceLimits({ ...shared.limits, ...entry.limits }),
    },
  }
}

function gatewayHttpOptions(entry: GatewayEntry['http']): GatewayHttpOptions | undefined {
  const given = httpConfiguration(entry)
  return given && { ...given, trustedProxies: entry?.trustedProxies ?? [] }
}

/** Who believes everybody believes what clients invent. */
function parseProxies(value: string): Parsed<string> {
  return value === 'any'
    ? { ok: false, problem: '"any" would believe every client; write the networks of your proxies' }
    : parseNetwork(value)
}

export function gatewayProblems(entry: GatewayEntry | undefined): Problem[] {
  return httpProblems(entry?.http).map(({ text }) => ({
    place: ['gateway', 'http'],
    text: `gateway.${text}`,
  }))
}
