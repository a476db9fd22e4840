/**
 * The servers that an MCP client's own file names: Claude and Cursor (`mcpServers`, JSON), VS Code (`servers`, or `mcp.servers` in its
 * settings; JSON with comments), Codex (`[mcp_servers.NAME]`, TOML). They are read as they stand; keys that only the client knows are
 * passed over. A client that is not known yet gets a line in `blockOf`, or its spelling of a key in `known`.
 */
import path from 'node:path'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { readTrustedFile } from '../os/regular-file.ts'
import type { ConnectorConfiguration } from './connector-configuration.ts'
import {
  type ConnectorEntry,
  connector,
  connectorConfigurations,
  connectorProblems,
} from './connector-schema.ts'
import { problemsOf } from './problems.ts'

type Block = Readonly<Record<string, unknown>>

/**
 * Reads a client's file.
 * @throws Failure (78) that names the file and what is wrong in it.
 */
export async function foreignConnectors(file: string): Promise<readonly ConnectorConfiguration[]> {
  const refused = (what: string) => new Failure(`${file}: ${what}`, exitCode.configuration)
  let text: string
  try {
    text = readTrustedFile(file).replace(/^\ufeff/, '')
  } catch (error) {
    throw new Failure(`the connectors cannot be read: ${errorText(error)}`, exitCode.configuration)
  }
  const content = await parsed(file, text, refused)
  const [key, block] = blockOf(content) ?? []
  if (key === undefined || !isBlock(block)) {
    throw refused('it names no MCP servers: mcpServers, servers or mcp_servers is wanted')
  }
  const entries: Record<string, ConnectorEntry> = {}
  for (const [name, written] of Object.entries(block)) {
    const entry = isBlock(written) ? known(written) : written
    const result = connector.safeParse(entry)
    if (!result.success) {
      const [first] = problemsOf(result.error.issues, entry, () => Object.keys(connector.shape))
      throw refused(`${key}.${name}: ${first?.text ?? 'it cannot be read'}`)
    }
    entries[name] = result.data
  }
  const [problem] = connectorProblems(entries, [key])
  if (problem !== undefined) throw refused(problem.text)
  return connectorConfigurations(entries, path.dirname(path.resolve(file)), file, undefined)
}

async function parsed(file: string, text: string, refused: (what: string) => Failure): Promise<unknown> {
  if (path.extname(file) === '.toml') {
    const { parse } = await import('smol-toml')
    try {
      return parse(text)
    } catch (error) {
      throw refused(errorText(error).split('\n')[0] ?? 'it is not valid TOML')
    }
  }
  const { parse, printParseErrorCode } = await import('jsonc-parser')
  const errors: { error: number; offset: number }[] = []
  const content: unknown = parse(text, errors as never, { allowTrailingComma: true })
  const [first] = errors
  if (first === undefined) return content
  const line = text.slice(0, first.offset).split('\n').length
  throw refused(`line ${line}: it is not valid JSON (${printParseErrorCode(first.error)})`)
}

/** The block of servers, and what it is called. */
function blockOf(content: unknown): readonly [key: string, block: unknown] | undefined {
  if (!isBlock(content)) return undefined
  for (const key of ['mcpServers', 'servers', 'mcp_servers'] as const) {
    if (content[key] !== undefined) return [key, content[key]]
  }
  const inner = content.mcp
  return isBlock(inner) ? blockOf(inner) : undefined
}

/** An entry with the names that this program has for its keys; what only the client knows is left out. */
function known(entry: Block): Block {
  const { command, args, env, envFile, cwd, headers, enabled, disabled } = entry
  const url = entry.url ?? entry.serverUrl ?? entry.httpUrl
  const type = entry.type ?? entry.transport
  const seconds = entry.tool_timeout_sec
  const kept = {
    command,
    args,
    env,
    envFile,
    cwd,
    url,
    type: typeof type === 'string' ? type : undefined,
    headers: headers ?? codexHeaders(entry),
    enabled,
    disabled,
    timeout: typeof seconds === 'number' ? seconds : undefined,
  }
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined && value !== null))
}

/** Codex names the variables that hold secrets. */
function codexHeaders({ http_headers, env_http_headers, bearer_token_env_var }: Block): Block | undefined {
  const fixed = isBlock(http_headers) ? http_headers : {}
  const named = isBlock(env_http_headers) ? env_http_headers : {}
  const ofVariables = Object.entries(named).map(([header, name]) => [header, `\${env:${String(name)}}`])
  const bearer =
    typeof bearer_token_env_var === 'string'
      ? { Authorization: `Bearer \${env:${bearer_token_env_var}}` }
      : {}
  const all = { ...fixed, ...Object.fromEntries(ofVariables), ...bearer }
  return Object.keys(all).length === 0 ? undefined : all
}

function isBlock(value: unknown): value is Block {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
