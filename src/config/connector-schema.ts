/** What `connectors:` may say in a configuration file, and the configuration that comes of it. Loaded with the schema of the file. */
import path from 'node:path'
import type { z as Zod } from 'zod'
import { authType, parseUrl, scope } from './access-schema.ts'
import {
  type ConnectorConfiguration,
  connectorDefaults,
  connectorIdOf,
  pinModes,
  type ToolOffer,
  type UpstreamAuth,
  upstreamGrants,
} from './connector-configuration.ts'
import type { Problem } from './problems.ts'
import { count, duration, oneOrMore, text } from './schema-parts.ts'
import { type RestartEntry, restart, restartPolicy } from './unit-schema.ts'
import * as z from './zod.ts'

/** What a variable may hold in YAML: numbers and flags are written without quotation marks. */
const variable = z.union([z.string(), z.number(), z.boolean()]).transform(String)
const word = z.union([z.string(), z.number()]).transform(String)

/** What clients call the ways to reach a server; see `transportKind`. */
const transportNames = [
  'stdio',
  'http',
  'streamable-http',
  'streamableHttp',
  'streamable_http',
  'sse',
] as const

const tools = z.strictObject({
  allow: oneOrMore(z.string())
    .optional()
    .describe('only these tools and prompts; "*" stands for any characters'),
  deny: oneOrMore(z.string()).optional().describe('none of these tools and prompts, even if allow has them'),
  hide: oneOrMore(z.string()).optional().describe('these are not listed, and can be called all the same'),
  prefix: z
    .union([z.string().regex(/^[A-Za-z0-9-]{1,30}$/, 'takes letters, digits and hyphens'), z.literal(false)])
    .optional()
    .describe('what stands before their names instead of the id; false = nothing; default: the id'),
  rename: z
    .record(z.string(), z.string().regex(/^[A-Za-z0-9_.-]{1,128}$/, 'is no name of a tool'))
    .optional()
    .describe('other names for tools and prompts, by the name that the server has'),
  describe: z
    .record(z.string(), z.string())
    .optional()
    .describe('other descriptions, by the name that the server has'),
})

const auth = z.strictObject({
  grant: z
    .enum(upstreamGrants)
    .optional()
    .describe(
      'authorization_code = a person logs in once, by mcp-proxy login; client_credentials = the gateway logs in by itself; default authorization_code',
    ),
  clientId: z
    .string()
    .min(1)
    .optional()
    .describe(
      'id of this gateway at the issuer, or the URL of a client ID metadata document; default: the gateway registers itself',
    ),
  clientSecret: z.string().min(1).optional().describe('the secret that goes with clientId'),
  scopes: oneOrMore(scope).optional().describe('scopes to ask for; default: what the server says it needs'),
  issuer: text(parseUrl)
    .optional()
    .describe('URL of the issuer of tokens; default: the one that the server names'),
})

export const connector = z.strictObject({
  command: z
    .union([z.string().min(1), z.array(word).min(1)])
    .optional()
    .describe('the server to run, alone or with its arguments as a list; no shell reads it'),
  args: z.array(word).optional().describe('its arguments'),
  env: z
    .record(z.string(), variable)
    .optional()
    .describe('variables that it gets beside the usual ones, such as PATH'),
  envFile: oneOrMore(z.string().min(1))
    .optional()
    .describe('a file of variables (NAME=value lines), or several'),
  cwd: z.string().min(1).optional().describe('folder to run it in; default: that of this file'),
  url: z
    .string()
    .refine((text) => /^(https?:\/\/.|\$\{)/.test(text), 'must be a URL that begins with http:// or https://')
    .optional()
    .describe('URL of a server that runs elsewhere, instead of command'),
  headers: z
    .record(z.string(), variable)
    .optional()
    .describe('HTTP headers to send to it, such as Authorization'),
  auth: z
    .union([z.literal('oauth'), auth])
    .optional()
    .describe('oauth, or keys below it: the gateway logs in at the server with OAuth; see mcp-proxy login'),
  type: z
    .enum(transportNames)
    .optional()
    .describe('stdio, http (Streamable HTTP) or sse; default: stdio with command, http with url'),
  enabled: z
    .boolean()
    .optional()
    .describe('false = not served, unless mcp-proxy start --connectors names it; default true'),
  disabled: z
    .boolean()
    .optional()
    .describe('true = the same as enabled: false, as some MCP clients write it'),
  start: z
    .enum(['boot', 'demand'])
    .optional()
    .describe('boot = started with the gateway; demand = started by its first request; default boot'),
  isolation: z
    .enum(['shared', 'session'])
    .optional()
    .describe('shared = one process for all clients; session = one process for each client; default shared'),
  maxConnections: count
    .min(1)
    .optional()
    .describe('with isolation session: how many processes or connections at once; default 50'),
  timeout: duration.optional().describe('how long one request may take; default 120s'),
  idle: duration.optional().describe('it is ended after so long without a request; default 0 = never'),
  tools: tools.optional().describe('which of its tools and prompts clients are offered; default: all'),
  pin: z
    .enum(pinModes)
    .optional()
    .describe(
      'what becomes of a tool whose description has changed: alert, strict (held back until it is accepted) or off; default: what gateway.pin says, with isolation: session off',
    ),
  authType: authType
    .optional()
    .describe('what clients must show to use it; default: what gateway.access says'),
  scopes: oneOrMore(scope).optional().describe('scopes of OAuth that a token needs to use it'),
  toolScopes: z
    .record(z.string(), oneOrMore(scope))
    .optional()
    .describe('scopes that a token needs besides, by tool; "*" stands for any characters'),
  restart: restart
    .omit({ startTimeout: true, killAfter: true })
    .optional()
    .describe('how long the gateway waits after a failed start'),
})

export const connectors = z.record(z.string(), connector)

export const connectorKeys: Readonly<Record<string, readonly string[]>> = {
  tools: Object.keys(tools.shape),
  auth: Object.keys(auth.shape),
}

export type ConnectorEntry = Zod.output<typeof connector>

/** @param folder that relative folders begin in. @param source the file, for messages. */
export function connectorConfigurations(
  entries: Readonly<Record<string, ConnectorEntry>>,
  folder: string,
  source: string,
  shared: RestartEntry | undefined,
): readonly ConnectorConfiguration[] {
  return Object.entries(entries).map(([name, entry]) => ({
    id: connectorIdOf(name),
    name,
    enabled: entry.enabled !== false && entry.disabled !== true,
    transport: transportOf(entry, folder),
    start: entry.start ?? connectorDefaults.start,
    isolation: entry.isolation ?? connectorDefaults.isolation,
    maxConnections: entry.maxConnections ?? connectorDefaults.maxConnections,
    timeoutMs: entry.timeout ?? connectorDefaults.timeoutMs,
    idleMs: entry.idle ?? connectorDefaults.idleMs,
    tools: toolOffer(entry.tools ?? {}),
    pin: entry.pin,
    authType: entry.authType,
    scopes: entry.scopes ?? [],
    toolScopes: entry.toolScopes ?? {},
    restart: restartPolicy({ ...shared, ...entry.restart }),
    source,
  }))
}

function toolOffer(given: Zod.output<typeof tools>): ToolOffer {
  const { allow = [], deny = [], hide = [], prefix, rename = {}, describe = {} } = given
  return { allow, deny, hide, prefix: prefix === false ? '' : prefix, rename, describe }
}

function transportOf(entry: ConnectorEntry, folder: string): ConnectorConfiguration['transport'] {
  const { url, headers = {}, command, args = [] } = entry
  if (url !== undefined && command === undefined) {
    const login = entry.auth === undefined ? {} : { auth: upstreamAuth(entry.auth) }
    return { kind: entry.type === 'sse' ? 'sse' : 'http', url, headers, ...login }
  }
  const [program = '', ...words] = typeof command === 'string' ? [command] : (command ?? [])
  return {
    kind: 'stdio',
    command: [program, ...words, ...args],
    cwd: path.resolve(folder, entry.cwd ?? '.'),
    env: entry.env ?? {},
    envFile: (entry.envFile ?? []).map((file) => path.resolve(folder, file)),
  }
}

function upstreamAuth(given: NonNullable<ConnectorEntry['auth']>): UpstreamAuth {
  const {
    grant = 'authorization_code',
    clientId,
    clientSecret,
    scopes = [],
    issuer,
  } = given === 'oauth' ? {} : given
  return { grant, clientId, clientSecret, scopes, issuer }
}

/** What is wrong with connectors beside the form of their entries. @param place of the entries in the file. */
export function connectorProblems(
  entries: Readonly<Record<string, ConnectorEntry>> | undefined,
  place: Problem['place'] = ['connectors'],
): Problem[] {
  const names = new Map<string, string>()
  return Object.entries(entries ?? {}).flatMap(([name, entry]): Problem[] => {
    const at = (text: string): Problem[] => [
      { place: [...place, name], text: `${place.join('.')}.${name}: ${text}` },
    ]
    const id = connectorIdOf(name)
    if (id === '') return at('its name needs a letter or a digit')
    const other = names.get(id)
    names.set(id, name)
    if (other !== undefined) return at(`as an id this is "${id}", which ${other} has already; rename one`)
    if (entry.command !== undefined && entry.url !== undefined)
      return at('it has command and url; keep one of them')
    if (entry.command === undefined && entry.url === undefined) return at('it needs command, or url')
    if (entry.auth !== undefined) {
      const { url, headers = {}, auth: login } = entry
      if (url === undefined) return at('auth goes with url alone')
      if (Object.keys(headers).some((one) => one.toLowerCase() === 'authorization'))
        return at('it has auth and a header Authorization; keep one of them')
      if (login !== 'oauth' && login.clientSecret !== undefined && login.clientId === undefined)
        return at('clientSecret needs clientId')
    }
    const isStdio = entry.type === 'stdio'
    if (entry.type !== undefined && isStdio !== (entry.command !== undefined)) {
      return at(`type ${entry.type} does not go with ${entry.command === undefined ? 'url' : 'command'}`)
    }
    return []
  })
}
