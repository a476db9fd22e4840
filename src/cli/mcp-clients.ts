import path from 'node:path'
import { packageFile } from '../os/package-file.ts'

/** MCP clients whose configuration is known. */
export type McpClient = 'claude' | 'cursor' | 'vscode' | 'codex'

const server = 'port-watchdog'

/**
 * What a person adds to the configuration of a client, so that it starts `proxy-ctl mcp`; with the place to put it, as a comment where the
 * format has comments. Absolute paths: clients start servers with an environment of their own.
 */
export function clientConfiguration(client: McpClient, stateDirectory: string | undefined): string {
  const file = packageFile('dist/bin/proxy-ctl.cjs')
  const state = stateDirectory === undefined ? [] : ['--state-dir', path.resolve(stateDirectory)]
  const entry = { command: process.execPath, args: [file, 'mcp', ...state] }
  switch (client) {
    // .mcp.json of a project or claude_desktop_config.json; ~/.cursor/mcp.json or .cursor/mcp.json.
    case 'claude':
    case 'cursor':
      return json({ mcpServers: { [server]: entry } })
    // .vscode/mcp.json
    case 'vscode':
      return json({ servers: { [server]: { type: 'stdio', ...entry } } })
    // ~/.codex/config.toml. A TOML basic string takes the escapes of JSON.
    case 'codex':
      return [
        `[mcp_servers.${server}]`,
        `command = ${JSON.stringify(entry.command)}`,
        `args = [${entry.args.map((word) => JSON.stringify(word)).join(', ')}]`,
        '',
      ].join('\n')
  }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
