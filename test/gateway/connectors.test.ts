// Connectors from the files of MCP clients, as these clients write them, and from ours.
import { mkdtempSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { foreignConnectors } from '../../src/config/foreign-connectors.ts'
import { loadConnectors } from '../../src/config/load-connectors.ts'
import { MissingVariable, withVariables } from '../../src/config/variables.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'pw-connectors-'))

function file(name: string, text: string): string {
  const place = path.join(folder, name)
  writeFileSync(place, text, { mode: 0o600 })
  return place
}

describe('the file of a client', () => {
  it('of Claude or Cursor', async () => {
    const [files, remote] = await foreignConnectors(
      file(
        'claude.json',
        JSON.stringify({
          mcpServers: {
            'File System': { command: 'npx', args: ['-y', 'server-filesystem', '/tmp'], env: { A: 'b' } },
            remote: {
              url: 'https://example.com/mcp',
              // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
              headers: { Authorization: 'Bearer ${TOKEN}' },
              disabled: true,
              alwaysAllow: ['x'],
            },
          },
          other: 1,
        }),
      ),
    )
    expect(files).toMatchObject({
      id: 'file-system',
      name: 'File System',
      enabled: true,
      transport: {
        kind: 'stdio',
        command: ['npx', '-y', 'server-filesystem', '/tmp'],
        env: { A: 'b' },
        cwd: folder,
      },
    })
    expect(remote).toMatchObject({
      id: 'remote',
      enabled: false,
      transport: { kind: 'http', url: 'https://example.com/mcp' },
    })
  })

  it('of VS Code, with comments, trailing commas and inputs', async () => {
    const text = `{
      // the servers of this project
      "inputs": [{ "id": "key", "type": "promptString" }],
      "servers": {
        "time": { "type": "stdio", "command": "uvx", "args": ["mcp-server-time"], "env": { "KEY": "\${input:key}" }, },
        "old": { "type": "sse", "url": "http://localhost:1/sse" }, /* the old way */
      },
    }`
    const [time, old] = await foreignConnectors(file('mcp.json', text))
    expect(time?.transport).toMatchObject({ kind: 'stdio', command: ['uvx', 'mcp-server-time'] })
    expect(old?.transport).toMatchObject({ kind: 'sse', url: 'http://localhost:1/sse' })
  })

  it('of Codex', async () => {
    const text = `model = "x"
[mcp_servers.docs]
command = "npx"
args = ["-y", "docs"]
tool_timeout_sec = 60
[mcp_servers.far]
url = "https://example.com/mcp"
bearer_token_env_var = "FAR_TOKEN"
`
    const [docs, far] = await foreignConnectors(file('config.toml', text))
    expect(docs).toMatchObject({ id: 'docs', timeoutMs: 60_000 })
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
    expect(far?.transport).toMatchObject({ headers: { Authorization: 'Bearer ${env:FAR_TOKEN}' } })
  })

  it('is refused with the place of the mistake', async () => {
    const text = '{\n "mcpServers": {\n  "a": { "command": "x" \n "b": {} } }'
    await expect(foreignConnectors(file('broken.json', text))).rejects.toThrow(
      /broken\.json: line 4: it is not valid JSON/,
    )
    const nothing = JSON.stringify({ mcpServers: { a: {} } })
    await expect(foreignConnectors(file('empty.json', nothing))).rejects.toThrow(
      'mcpServers.a: it needs command, or url',
    )
    const twice = JSON.stringify({ mcpServers: { 'a b': { command: 'x' }, 'A-B': { command: 'y' } } })
    await expect(foreignConnectors(file('twice.json', twice))).rejects.toThrow(/"a-b", which a b has already/)
  })
})

describe('our own file', () => {
  it('has connectors, and those of the files that it imports', async () => {
    file(
      'cursor.json',
      JSON.stringify({ mcpServers: { shared: { command: 'theirs' }, extra: { command: 'y' } } }),
    )
    const own = `connectors:
  shared: { command: [ours, --port, 1], tools: { deny: write_* }, idle: 5m, isolation: session }
gateway:
  import: cursor.json
`
    const { connectors } = await loadConnectors(file('port-watchdog.yaml', own))
    expect(connectors.map(({ id }) => id)).toEqual(['shared', 'extra'])
    expect(connectors[0]).toMatchObject({
      transport: { command: ['ours', '--port', '1'] },
      tools: { allow: [], deny: ['write_*'], hide: [], prefix: undefined, rename: {}, describe: {} },
      idleMs: 300_000,
      isolation: 'session',
    })
  })

  it('names a key that is misspelt, with the one that is meant', async () => {
    const text = 'connectors:\n  echo: { comand: [x] }\n'
    await expect(loadConnectors(file('misspelt.yaml', text))).rejects.toThrow(
      /unknown key "comand" \(did you mean command\?\)/,
    )
  })
})

describe('variables', () => {
  const environment = { TOKEN: 't', MCP_INPUT_API_KEY: 'k', EMPTY: '' }

  it('are those that clients know', () => {
    const text =
      // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
      '${env:TOKEN} ${TOKEN} ${input:api-key} ${NONE:-d} ${EMPTY:-e} ${userHome} ${workspaceFolder} $TOKEN'
    expect(withVariables(text, environment, '/w')).toBe(`t t k d e ${homedir()} /w $TOKEN`)
  })

  it('that are not set are named', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
    expect(() => withVariables('Bearer ${env:NONE}', environment, '/w')).toThrow(MissingVariable)
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
    expect(() => withVariables('${input:some key}', environment, '/w')).not.toThrow()
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
    expect(() => withVariables('${input:other}', environment, '/w')).toThrow(
      /MCP_INPUT_OTHER, which is not set/,
    )
  })
})
