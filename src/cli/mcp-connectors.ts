/** Commands of `mcp-proxy` about connectors and their tools: call, test, tools, config. */
import type { ConnectorConfiguration } from '../config/connector-configuration.ts'
import type { Parsed } from '../config/values.ts'
import { masked } from '../log/redaction.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine, printable } from '../os/printable.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { argument, filled, type Program } from './command.ts'
import { connectorIn, connectorsOf, gatewayCommand } from './mcp-command.ts'

interface Options {
  readonly config?: string
  readonly stateDir?: string
  readonly json?: boolean
}

/** ms that the start of a connector may take. */
const startTimeoutMs = 60_000

/** Characters of JSON that are about one token for a model. */
const charactersOfToken = 4

interface Tool {
  readonly name: string
  readonly description?: string
}

interface Content {
  readonly type: string
  readonly text?: string
}

const call: Program = {
  command: gatewayCommand(
    'call',
    'Call a tool. The running gateway is used; without one, the connector is started.',
  )
    .argument('<CONNECTOR>', 'its id')
    .argument('<TOOL>', 'the tool, by the name that the server gives it')
    .option('--args <JSON>', 'the arguments of the call, as a JSON object', argument(parseObject))
    .option('--config <FILE>', 'configuration file, or that of an MCP client', filled)
    .option('-j, --json', 'print the whole result'),
  run: async (id: string, tool: string, options: Options & { args?: object }) => {
    const { openOwnClient } = await import('../gateway/own-client.ts')
    const loaded = await connectorsOf(options.config)
    const connector = connectorIn(loaded, id)
    const client = await openOwnClient({
      stateDirectory: readersDirectory(options.stateDir),
      connectors: [connector],
      startTimeoutMs,
      pin: loaded.gateway.pin,
    })
    try {
      const { longName } = await import('../gateway/names.ts')
      const name = longName(connector, tool)
      const result = await client.ask('tools/call', { name, arguments: options.args ?? {} })
      process.stdout.write(
        options.json === true ? `${JSON.stringify(result, null, 2)}\n` : contentText(result),
      )
      return result.isError === true ? exitCode.orderFailed : exitCode.ok
    } catch (error) {
      throw failed(error)
    } finally {
      await client.close()
    }
  },
}

const test: Program = {
  command: gatewayCommand('test', 'Start one connector alone and show what it is and what it offers.')
    .argument('<CONNECTOR>', 'its id')
    .option('--config <FILE>', 'configuration file, or that of an MCP client', filled),
  run: async (id: string, options: Options) => {
    const { openOwnClient } = await import('../gateway/own-client.ts')
    const loaded = await connectorsOf(options.config)
    const connector = connectorIn(loaded, id)
    const began = performance.now()
    const client = await openOwnClient({
      stateDirectory: readersDirectory(options.stateDir),
      connectors: [connector],
      startTimeoutMs,
      pin: loaded.gateway.pin,
      alone: true,
    })
    try {
      const [upstream] = client.upstreams
      await upstream?.settled()
      if (upstream?.facts === undefined || upstream.problem !== undefined) {
        throw new Failure(
          `connector '${connector.id}' failed: ${upstream?.problem ?? 'unknown'}`,
          exitCode.unavailable,
        )
      }
      const { facts, offering } = upstream
      const { lastLines, junkLines } = upstream.wireFacts()
      const lines = [
        `Connector '${connector.id}' ready (${offering.tools.length} tools)`,
        `  Started in:    ${Math.round(performance.now() - began)} ms`,
        `  Revision:      ${facts.revision}`,
        `  Server:        ${oneLine(facts.info ?? 'it does not say')}`,
        `  Capabilities:  ${Object.keys(facts.capabilities).join(', ') || 'none'}`,
        `  Prompts:       ${offering.prompts.length}`,
        `  Resources:     ${offering.resources.length}, templates ${offering.resourceTemplates.length}`,
        ...(junkLines === 0 ? [] : [`  Junk lines:    ${junkLines} on stdout that are no messages`]),
        ...lastLines.map((line) => `  Stderr:        ${line}`),
      ]
      process.stdout.write(lines.map((line) => `${line}\n`).join(''))
      return exitCode.ok
    } finally {
      await client.close()
    }
  },
}

const tools: Program = {
  command: gatewayCommand('tools', 'List the tools that clients are offered.')
    .option('--count', 'print how many there are, and about how many tokens their descriptions cost a client')
    .option('--config <FILE>', 'configuration file, or that of an MCP client', filled)
    .option('-j, --json', 'print them as JSON'),
  run: async (options: Options & { count?: boolean }) => {
    const { openOwnClient } = await import('../gateway/own-client.ts')
    const { connectors, gateway } = await connectorsOf(options.config)
    const client = await openOwnClient({
      stateDirectory: readersDirectory(options.stateDir),
      connectors: connectors.filter(({ enabled }) => enabled),
      startTimeoutMs,
      pin: gateway.pin,
    })
    try {
      const { tools: listed = [], _meta } = await client.ask('tools/list', {})
      const all = listed as readonly Tool[]
      if (options.json === true) process.stdout.write(`${JSON.stringify(all, null, 2)}\n`)
      else process.stdout.write(options.count === true ? countText(all) : listText(all))
      if (_meta !== undefined)
        process.stderr.write(`mcp-proxy: some are missing: ${oneLine(JSON.stringify(_meta))}\n`)
      return exitCode.ok
    } catch (error) {
      throw failed(error)
    } finally {
      await client.close()
    }
  },
}

const config: Program = {
  command: gatewayCommand(
    'config',
    'Show the connectors as the gateway reads them, and the file and line that each value comes from; secrets are masked.',
  )
    .argument('<ACTION>', 'view', argument(parseView))
    .option('--config <FILE>', 'configuration file, or that of an MCP client', filled),
  run: async (_action: string, options: Options) => {
    const { connectors, file } = await connectorsOf(options.config)
    const shown = connectors.map(({ transport, restart: _, ...connector }) => ({
      ...connector,
      transport: maskedTransport(transport),
    }))
    const values = await writtenIn(file)
    process.stdout.write(`${JSON.stringify({ file, connectors: shown, ...values }, null, 2)}\n`)
    return exitCode.ok
  },
}

/** What our own file says of connectors and the gateway, value by value, with the line. Of a client's file the connectors name the file. */
async function writtenIn(file: string): Promise<{ readonly values?: readonly object[] }> {
  const { isForeign } = await import('../config/load-connectors.ts')
  if (isForeign(file)) return {}
  const { readConfiguration, readConfigurationText } = await import('../config/load.ts')
  const { effectiveValues } = await import('../config/effective.ts')
  const read = await readConfiguration({ file, text: readConfigurationText(file) })
  const values = effectiveValues(read.configuration, read).flatMap(({ path, value, isSecret, origin }) => {
    const isOurs = path.startsWith('connectors.') || path.startsWith('gateway.')
    if (!isOurs || origin.kind !== 'file') return []
    const from = origin.line === null ? file : `${file}:${origin.line}`
    const key = path.split('.').at(-1) ?? ''
    const hidden = key === 'url' ? maskedUrl(String(value)) : maskedValue(String(value))
    return [{ path, value: isSecret ? hidden : masked({ [key]: value })[key], from }]
  })
  return { values }
}

export const connectorPrograms: readonly Program[] = [call, test, tools, config]

/** What refers to a variable is no secret. */
function maskedValue(value: string): string {
  return /^\$\{[^}]*\}$/.test(value) ? value : '[redacted]'
}

function maskedUrl(url: string): string {
  return url.replace(/\?.*$/, '?[redacted]').replace(/\/\/[^/@]*@/, '//[redacted]@')
}

/** Values of variables and headers are secrets more often than not; what they refer to is none. */
function maskedTransport(transport: ConnectorConfiguration['transport']): object {
  const mask = (values: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, maskedValue(value)]))
  if (transport.kind === 'stdio') return { ...transport, env: mask(transport.env) }
  const url = maskedUrl(transport.url)
  const { auth, ...shown } = transport
  const secret = auth?.clientSecret === undefined ? {} : mask({ clientSecret: auth.clientSecret })
  const login = auth === undefined ? {} : { auth: { ...auth, ...secret } }
  return { ...shown, url, headers: mask(transport.headers), ...login }
}

function failed(error: unknown): Failure {
  return new Failure(error instanceof Error ? error.message : String(error), exitCode.orderFailed)
}

function contentText({ content, ...result }: Readonly<Record<string, unknown>>): string {
  if (!Array.isArray(content)) return `${JSON.stringify({ content, ...result })}\n`
  return content
    .map((part: Content) => `${part.text === undefined ? `[${part.type}]` : printable(part.text)}\n`)
    .join('')
}

function listText(all: readonly Tool[]): string {
  return all.map(({ name, description = '' }) => `${name}  ${shortened(oneLine(description))}\n`).join('')
}

function countText(all: readonly Tool[]): string {
  const tokens = Math.round(JSON.stringify(all).length / charactersOfToken)
  const many = all.length > 40 ? '; with more than 40 tools, many models choose worse' : ''
  return `${all.length} tools, about ${tokens} tokens${many}\n`
}

export function parseObject(text: string): Parsed<object> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ok: true, value }
  } catch {
    // Said below.
  }
  return { ok: false, problem: `this is not a JSON object such as '{"message":"test"}'` }
}

function parseView(text: string): Parsed<string> {
  return text === 'view'
    ? { ok: true, value: text }
    : { ok: false, problem: `"${text}" is not an action; write view` }
}

/** Characters of a description in the list. */
const longestDescription = 100

function shortened(text: string): string {
  return text.length <= longestDescription ? text : `${text.slice(0, longestDescription - 1).trimEnd()}…`
}
