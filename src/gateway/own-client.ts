import { existsSync } from 'node:fs'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import type { ConnectorConfiguration, PinMode } from '../config/connector-configuration.ts'
import { plainLog } from '../log/index.ts'
import { version } from '../os/version.ts'
import { fileNames } from '../record/state-directory.ts'
import { knock } from './face/attach.ts'
import { serveLines } from './face/lines.ts'
import { GatewayCore } from './gateway-core.ts'
import { Pins } from './pins.ts'
import { owner } from './principal.ts'
import { messageText } from './protocol/message.ts'
import { newestLegacyRevision } from './protocol/revisions.ts'
import type { Upstream } from './upstream/index.ts'
import { longestMessage } from './upstream/limits.ts'
import { LineReader } from './upstream/line-reader.ts'

/** What a command of a person asks with. */
export interface OwnClient {
  /** True when it asks the gateway that runs; false when it has started the connectors itself. */
  readonly isOfRunning: boolean
  /** The connectors, where they were started here. */
  readonly upstreams: readonly Upstream[]
  /** @throws Error with the words of the error that is answered. */
  ask(method: string, params: object): Promise<Readonly<Record<string, unknown>>>
  close(): Promise<void>
}

export interface OwnClientOptions {
  readonly stateDirectory: string
  readonly connectors: readonly ConnectorConfiguration[]
  readonly startTimeoutMs: number
  /** How tools are pinned where their connector does not say. */
  readonly pin: PinMode
  /** Starts them here in any case. */
  readonly alone?: boolean
}

interface Answer {
  readonly id?: unknown
  readonly result?: Readonly<Record<string, unknown>>
  readonly error?: { readonly message?: string }
}

/** Asks through the gateway that runs, or, where none does, one of its own that lives as long as this client. */
export async function openOwnClient(options: OwnClientOptions): Promise<OwnClient> {
  const { stateDirectory, connectors, startTimeoutMs, pin, alone = false } = options
  const input = new PassThrough()
  const output = new PassThrough()
  const file = path.join(stateDirectory, fileNames.gatewayClients)
  const wish = { connectors: connectors.map(({ id }) => id) }
  const attached = !alone && existsSync(file) ? await knock(file, wish) : undefined
  const running = attached?.ok === true ? attached.socket : undefined
  const isOfRunning = running !== undefined
  if (running !== undefined) {
    input.pipe(running)
    running.pipe(output)
  }
  // A tool that the gateway holds back is held back here, too. A gateway that runs keeps that file itself.
  const pins =
    isOfRunning || alone
      ? undefined
      : new Pins(path.join(stateDirectory, fileNames.gatewayPins), attached === undefined)
  const log = plainLog(() => {})
  const core = isOfRunning
    ? undefined
    : new GatewayCore({ connectors, log, stateDirectory, startTimeoutMs, pin, ...(pins && { pins }) })
  const directory = core?.directoryFor(null)
  if (core !== undefined && directory !== undefined) {
    const session = (unsolicited: (text: string) => boolean) => core.newSession(owner, directory, unsolicited)
    void serveLines({ session, input, output })
  }
  const waiting = new Map<number, (answer: Answer) => void>()
  const reader = new LineReader(longestMessage, (line) => {
    const answer = JSON.parse(line) as Answer
    if (typeof answer.id === 'number') waiting.get(answer.id)?.(answer)
  })
  output.on('data', (chunk: Buffer) => void reader.feed(chunk))
  const gone = new Promise<Answer>((resolve) => {
    const ended = () => resolve({ error: { message: 'the gateway has ended' } })
    running?.once('close', ended)
    output.once('close', ended)
  })
  let last = 0
  const ask: OwnClient['ask'] = async (method, params) => {
    const id = ++last
    const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve))
    input.write(`${messageText(String(id), method, JSON.stringify(params))}\n`)
    const { result, error } = await Promise.race([answered, gone])
    if (error !== undefined || result === undefined) throw new Error(error?.message ?? 'no answer')
    return result
  }
  const clientInfo = { name: 'mcp-proxy', version }
  await ask('initialize', { protocolVersion: newestLegacyRevision, capabilities: {}, clientInfo })
  input.write(`${messageText(undefined, 'notifications/initialized')}\n`)
  return {
    isOfRunning,
    upstreams: core?.upstreams ?? [],
    ask,
    close: async () => {
      input.end()
      await core?.close(0)
      pins?.flush()
    },
  }
}
