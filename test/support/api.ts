import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { type HttpOptions, httpDefaults } from '../../src/config/http-options.ts'
import { plainLog } from '../../src/log/index.ts'
import { ApiKeys, type KeyScope } from '../../src/record/api-keys.ts'
import type { ForwardRecord } from '../../src/record/shapes/runtime-state.ts'
import { type ServerLimits, serveApi } from '../../src/server/index.ts'
import type { McpHandler } from '../../src/server/routes.ts'
import { type FakeMonitor, fakeMonitor } from './fake-monitor.ts'
import { it as base } from './fixtures.ts'
import { freePort, until } from './tools.ts'

export interface Asked {
  readonly method?: string
  /** Shown as `Authorization: Bearer`; undefined = none. */
  readonly key?: string | undefined
  readonly headers?: OutgoingHttpHeaders
  /** Sent as JSON unless it is a text. */
  readonly body?: unknown
  readonly ca?: string
}

export interface Answered {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Of the refusal; undefined = it is none, or no JSON. */
  readonly code: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asks for
  readonly json: any
}

/** Asks a server that listens on 127.0.0.1, on a connection of its own. */
export function askApi(port: number, path: string, asked: Asked = {}): Promise<Answered> {
  const { method = 'GET', key, headers = {}, body, ca } = asked
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const type = text === undefined ? {} : { 'content-type': 'application/json' }
  const options = { host: '127.0.0.1', port, path, method, agent: false, ca } as const
  const given = { headers: { ...authorization, ...type, ...headers } }
  return new Promise((resolve, reject) => {
    const sent = (ca === undefined ? httpRequest : httpsRequest)({ ...options, ...given }, (answer) => {
      let whole = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        whole += chunk
      })
      answer.on('end', () => {
        const json = parsed(whole)
        const code = json?.error?.code
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text: whole, code, json })
      })
      answer.on('error', reject)
    })
    sent.on('error', reject).end(text)
  })
}

// biome-ignore lint/suspicious/noExplicitAny: see above
function parsed(text: string): any {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export interface Api extends FakeMonitor {
  readonly port: number
  readonly keys: ApiKeys
  /** Makes a key. */
  readonly key: (scopes?: readonly KeyScope[], units?: readonly string[], livesMs?: number) => string
  readonly ask: (path: string, asked?: Asked) => Promise<Answered>
  readonly lines: string[]
  readonly close: () => void
}

/** Serves the API of a monitor whose forwards do nothing. */
export async function openApi(
  stateDirectory: string,
  records: readonly Partial<ForwardRecord>[],
  http: Partial<HttpOptions> = {},
  mcp?: () => Promise<McpHandler>,
  limits?: Partial<ServerLimits>,
): Promise<Api> {
  const keys = new ApiKeys(stateDirectory)
  const fake = fakeMonitor(records, { stateDirectory, keys })
  const port = await freePort()
  const lines: string[] = []
  const server = await serveApi(
    { listen: `127.0.0.1:${port}`, ...httpDefaults, ...http },
    {
      stateDirectory,
      monitor: () => fake.monitor,
      log: plainLog((_level, message) => void lines.push(message)),
      mcp,
      ...(limits === undefined ? {} : { limits }),
    },
  )
  await until(
    'the API listens',
    async () => lines.some((line) => line.includes('The API is at')) || undefined,
  )
  let made = 0
  return {
    ...fake,
    port,
    keys,
    lines,
    key: (scopes = ['read'], units, livesMs) => {
      const expiresAt = livesMs === undefined ? null : new Date(Date.now() + livesMs).toISOString()
      return keys.create({ name: `key${++made}`, scopes, units: units ?? null, expiresAt }).secret
    },
    ask: (path, asked) => askApi(port, path, asked),
    close: () => server.close(),
  }
}

/** Tests with an API of two units, `web` and `api`. */
export const withApi = base.extend<{ api: Api }>({
  api: async ({ watched }, use) => {
    const api = await openApi(watched.directory, [
      { name: 'web', port: 1 },
      { name: 'api', port: 2 },
    ])
    await use(api)
    api.close()
  },
})
