// How an agent asks each of them: what it would type or call first, and then about the program that is wrong.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { pm2Environment, pm2Program, supervisorSocket } from '../apps/keepers.ts'
import { stateDirectory } from '../supervisors/forwards.ts'

export interface Asker {
  /** Names of the calls, in the order in which they are made until the cause is known. */
  readonly calls: readonly string[]
  /** Makes one call about the program that is wrong. @returns what a model reads of the answer. */
  readonly ask: (call: string, program: string) => Promise<string>
  readonly close: () => Promise<void>
}

const nothing = async () => {}

/** `get_status` judges all; asked about one, it brings more lines; `get_logs` brings the lines alone. */
export async function ours(root: string, folder: string): Promise<Asker> {
  const client = new Client({ name: 'bench', version: '1.0.0' }, { versionNegotiation: { mode: 'legacy' } })
  const program = join(root, 'dist/bin/proxy-ctl.cjs')
  const args = [program, 'mcp', '--state-dir', stateDirectory(folder)]
  await client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'ignore' }))
  return {
    calls: ['get_status', 'get_status NAME'],
    async ask(call, name) {
      const [tool = '', isNamed] = call.split(' ')
      const { content } = await client.callTool({
        name: tool,
        arguments: isNamed === undefined ? {} : { units: [name] },
      })
      return content.map((part) => (part.type === 'text' ? part.text : '')).join('\n')
    },
    close: () => client.close(),
  }
}

export async function pm2(root: string, folder: string): Promise<Asker> {
  const env = { ...process.env, ...pm2Environment(folder) }
  return {
    calls: ['pm2 jlist', 'pm2 logs NAME --nostream --lines 20'],
    ask: (call, name) => output([process.execPath, pm2Program(root), ...wordsOf(call, name)], env),
    close: nothing,
  }
}

export async function supervisorctl(_root: string, folder: string): Promise<Asker> {
  const place = ['supervisorctl', '-s', `unix://${supervisorSocket(folder)}`]
  return {
    calls: ['supervisorctl status', 'supervisorctl tail NAME', 'supervisorctl maintail'],
    ask: (call, name) => output([...place, ...wordsOf(call, name)], process.env),
    close: nothing,
  }
}

function wordsOf(call: string, name: string): string[] {
  return call
    .split(' ')
    .slice(1)
    .map((word) => (word === 'NAME' ? name : word))
}

/** What a command prints; an exit code is an answer, too. */
async function output(command: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const [file = '', ...args] = command
  try {
    const { stdout, stderr } = await promisify(execFile)(file, args, {
      env,
      timeout: 30_000,
      maxBuffer: 64 << 20,
    })
    return `${stdout}${stderr}`
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { readonly stdout?: string; readonly stderr?: string }
    return `${stdout}${stderr}`
  }
}
