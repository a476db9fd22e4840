import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type GatewayState, readGatewayState } from '../../src/record/shapes/gateway-state.ts'
import { fileNames } from '../../src/record/state-directory.ts'
import { checkout, compiled, freePort, until } from './tools.ts'
import { command, type Watched } from './watched.ts'

/** An entry of `connectors` that runs the server of mcp-server-child.ts. */
export function child(...faults: readonly string[]) {
  return { command: [process.execPath, compiled('test/support/mcp-server-child.ts'), ...faults] }
}

/** One that runs mcp-small-server.sh. @param log gets a line when it has begun, and one when it is ready. */
export function small(
  log: string,
  { delay = 0, tools = ['run'] }: { delay?: number; tools?: string[] } = {},
) {
  const script = path.join(checkout, 'test', 'support', 'mcp-small-server.sh')
  return { command: ['/bin/sh', script, String(delay), log, ...tools] }
}

/** What servers of this log have written so far: `begun PID` and `ready PID`, in their order. */
export function logged(log: string): readonly string[] {
  return existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : []
}

/** Processes that belong to a connector of this gateway's process, from /proc itself. */
export function childrenOf(gateway: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        const variables = readFileSync(`/proc/${pid}/environ`, 'latin1')
        return new RegExp(`PORT_WATCHDOG_CONNECTOR=\\S+ ${gateway}:`).test(variables)
      } catch {
        return false
      }
    })
}

/** Waits until what a gateway has written of itself is as wanted, without a `mcp-proxy status` for each look. */
export function stateWhen(
  watched: Watched,
  what: string,
  isWanted: (state: GatewayState) => boolean,
): Promise<GatewayState> {
  return until(what, async () => {
    const text = readFileSync(watched.file(fileNames.gatewayState), 'utf8')
    const state = readGatewayState(JSON.parse(text))
    if (state !== undefined && isWanted(state)) return state
    throw new Error(text)
  })
}

type Connectors = Readonly<Record<string, object>>

/** Writes a configuration with these connectors. */
export function configured(watched: Watched, connectors: Connectors, gateway?: object): string {
  const file = path.join(watched.directory, 'connectors.json')
  writeFileSync(file, JSON.stringify({ connectors, gateway }), { mode: 0o600 })
  return file
}

export interface RpcAnswer {
  readonly id?: unknown
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: { tools?: { name: string }[]; content?: { text: string }[] } & Record<string, unknown>
  readonly error?: { code: number; message: string; data?: unknown }
}

/** A client of `mcp-proxy start` on its stdin and stdout, that writes and reads lines by hand. */
export class LineClient {
  readonly #child: ReturnType<typeof spawn>
  readonly lines: string[] = []
  stderr = ''
  #rest = ''

  constructor(watched: Watched, ...words: readonly string[]) {
    const [program = '', ...all] = command('mcp-proxy', 'start', ...words, '--state-dir', watched.directory)
    this.#child = spawn(program, all, { stdio: 'pipe' })
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      const parts = (this.#rest + chunk.toString('utf8')).split('\n')
      this.#rest = parts.pop() ?? ''
      this.lines.push(...parts)
    })
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString('utf8')
    })
    this.#child.stdin?.on('error', () => {})
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  send(text: string): void {
    this.#child.stdin?.write(`${text}\n`)
  }

  /** The line with this id, as it was written. */
  line(id: unknown, timeoutMs = 20_000): Promise<string> {
    const wanted = JSON.stringify(id)
    return until(
      `an answer to ${wanted}; there are ${this.lines.join(' | ')} ${this.stderr}`,
      async () =>
        this.lines.find(
          (line) =>
            JSON.stringify((JSON.parse(line) as RpcAnswer).id) === wanted && !line.includes('"method"'),
        ),
      timeoutMs,
    )
  }

  async ask(id: unknown, method: string, params: object = {}): Promise<RpcAnswer> {
    this.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
    return JSON.parse(await this.line(id)) as RpcAnswer
  }

  /** The first message that a server or the gateway has sent by itself. */
  heard(method: string): Promise<RpcAnswer> {
    return until(`${method}; there are ${this.lines.join(' | ')}`, async () => {
      const line = this.lines.find((one) => (JSON.parse(one) as RpcAnswer).method === method)
      return line === undefined ? undefined : (JSON.parse(line) as RpcAnswer)
    })
  }

  async initialize(name = 'test', capabilities: object = {}): Promise<RpcAnswer> {
    const params = { protocolVersion: '2025-11-25', capabilities, clientInfo: { name, version: '1' } }
    const answer = await this.ask('initialize', 'initialize', params)
    this.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')
    return answer
  }

  /** Ends its input, as a client does that has nothing more to ask. @returns the exit code. */
  async end(): Promise<number | null> {
    this.#child.stdin?.end()
    await until(`its end; it said ${this.lines.join(' | ')} ${this.stderr}`, async () =>
      this.#child.exitCode === null && this.#child.signalCode === null ? undefined : true,
    )
    return this.#child.exitCode
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal)
  }
}

export interface ServedGateway {
  readonly url: string
  readonly key: string
  readonly resident: ReturnType<Watched['start']>
}

/** A gateway that serves HTTP, with the key that its first start makes. */
export function served(
  watched: Watched,
  connectors: Connectors,
  ...words: readonly string[]
): Promise<ServedGateway> {
  return servedWith(watched, connectors, undefined, ...words)
}

/** The same with what the configuration says under `gateway`. Its key is empty where none was made. */
export async function servedWith(
  watched: Watched,
  connectors: Connectors,
  gateway: object | undefined,
  ...words: readonly string[]
): Promise<ServedGateway> {
  const file = configured(watched, connectors, gateway)
  const port = await freePort()
  const at = ['--http', `127.0.0.1:${port}`]
  const resident = watched.start('mcp-proxy', 'start', '--all', '--config', file, ...at, ...words)
  await resident.line(/Proxy started/)
  const keyFile = watched.file('mcp_proxy_key')
  const key = existsSync(keyFile) ? readFileSync(keyFile, 'utf8').trim() : ''
  return { url: `http://127.0.0.1:${port}`, key, resident }
}
