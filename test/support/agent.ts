import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { cached, nodeForInspector, run } from './tools.ts'
import { command, type Watched } from './watched.ts'

/** The generations of the protocol that a client can speak. */
export const eras = ['legacy', 'modern'] as const
export type Era = (typeof eras)[number]

/** The program and words that a client starts: the monitor's MCP server on standard input and output. */
export function mcpCommand(watched: Watched): { readonly command: string; readonly args: string[] } {
  const [file = '', ...args] = command('proxy-ctl', 'mcp', '--state-dir', watched.directory)
  return { command: file, args }
}

/** The official client of the SDK's second line, which speaks one generation and none else. */
export function newClient(era: Era): Client {
  const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy'
  return new Client({ name: `test-${era}`, version: '1.0.0' }, { versionNegotiation: { mode } })
}

/** An agent that is connected to the monitor of a state directory by `proxy-ctl mcp`. */
export async function agent(watched: Watched, era: Era): Promise<Client> {
  const client = newClient(era)
  await client.connect(new StdioClientTransport({ ...mcpCommand(watched), stderr: 'inherit' }))
  return client
}

/** What a call of a tool answered, as a model reads it. */
export interface Said {
  readonly text: string
  readonly isError: boolean
  readonly structured: Readonly<Record<string, unknown>>
  readonly meta: Readonly<Record<string, unknown>>
}

/** Calls a tool. */
export async function call(client: Client, name: string, given: Record<string, unknown> = {}): Promise<Said> {
  const {
    content,
    isError = false,
    structuredContent = {},
    _meta = {},
  } = await client.callTool({ name, arguments: given })
  const [first] = content
  if (first?.type !== 'text') throw new Error(`no text in ${JSON.stringify(content)}`)
  return {
    text: first.text,
    isError: isError === true,
    structured: structuredContent as Said['structured'],
    meta: _meta,
  }
}

/** Asks the monitor as a person with the command line of the MCP Inspector would. @returns what it printed, of a failed call, too. */
export async function inspector(watched: Watched, ...words: string[]) {
  const { command, args } = mcpCommand(watched)
  const file = cached('inspector-2', '@modelcontextprotocol/inspector', 'clients/launcher/build/index.js')
  const { code, stdout, stderr } = await run([nodeForInspector(), file, '--cli', command, ...args, ...words])
  if (code !== 0 && !stdout.includes('"isError": true')) throw new Error(`${stdout}${stderr}`)
  return JSON.parse(stdout)
}
