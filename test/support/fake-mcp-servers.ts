import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What has come to a server: the method of HTTP, that of the protocol, and the session that it names. */
export interface Seen {
  readonly http: string
  readonly method: string | undefined
  readonly session: string | undefined
}

/** How a server says that it does not know a session. */
export interface Refusal {
  readonly status: number
  readonly error?: { readonly code: number; readonly message: string }
}

/**
 * - `session`: of the older generation, with sessions.
 * - `stateless`: of the older generation, without.
 * - `modern`: of revision 2026-07-28.
 */
export type Kind = 'session' | 'stateless' | 'modern'

type Message = {
  readonly id?: unknown
  readonly method?: string
  readonly params?: { readonly name?: string; readonly _meta?: object }
}

const modern = '2026-07-28'

/** An MCP server over HTTP in this process, that does what a test says, and remembers what came. */
export class FakeMcpServer {
  kind: Kind
  readonly seen: Seen[] = []
  /** Calls of tools that it has carried out. */
  calls = 0
  readonly streams: ServerResponse[] = []
  /** Answers to calls of tools instead of the usual one; undefined = the usual one. */
  answer: ((message: Message, response: ServerResponse) => boolean) | undefined
  /** Of its one tool. */
  inputSchema: object = { type: 'object' }
  /** False = nobody is there. */
  isUp = true
  #sessions = new Set<string>()
  #last = 0
  #refusal: Refusal = { status: 404 }

  constructor(kind: Kind) {
    this.kind = kind
  }

  /** Forgets its sessions, as after a restart. */
  forget(refusal: Refusal): void {
    this.#refusal = refusal
    this.#sessions = new Set()
  }

  tell(method: string): void {
    for (const stream of this.streams)
      stream.write(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', method })}\n\n`)
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!this.isUp) return void response.writeHead(503).end()
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const message: Message = text === '' ? {} : JSON.parse(text)
    const session = request.headers['mcp-session-id'] as string | undefined
    this.seen.push({ http: request.method ?? '', method: message.method, session })
    if (request.method === 'DELETE') return void response.writeHead(200).end()
    const isKnown = session !== undefined && this.#sessions.has(session)
    if (request.method === 'GET') {
      if (this.kind !== 'session') return void response.writeHead(405).end()
      if (!isKnown) return this.#refuse(response, null)
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(':\n\n')
      this.streams.push(response)
      return
    }
    this.#post(message, isKnown, response)
  }

  #post(message: Message, isKnown: boolean, response: ServerResponse): void {
    const { id, method } = message
    const needsSession = this.kind === 'session' && method !== 'initialize'
    if (needsSession && method === 'server/discover') {
      const error = { code: -32_600, message: 'Bad Request: Missing session ID' }
      return json(response, 400, { jsonrpc: '2.0', id: null, error })
    }
    if (needsSession && !isKnown) return this.#refuse(response, id)
    if (this.kind === 'modern' && message.params?._meta === undefined) {
      const error = { code: -32_602, message: '_meta must name the revision' }
      return json(response, 400, { jsonrpc: '2.0', id: id ?? null, error })
    }
    if (id === undefined) return void response.writeHead(202).end()
    const headers: Record<string, string> = {}
    if (method === 'initialize' && this.kind === 'session') {
      const session = `s-${++this.#last}`
      this.#sessions.add(session)
      headers['mcp-session-id'] = session
    }
    if (method === 'tools/call' && this.answer?.(message, response) === true) return
    const result = this.#resultOf(message)
    const error = { code: -32_601, message: 'Method not found' }
    const body = result === undefined ? { error } : { result }
    json(response, 200, { jsonrpc: '2.0', id, ...body }, headers)
  }

  #resultOf({ method, params }: Message): object | undefined {
    const isModern = this.kind === 'modern'
    const extra = isModern ? { resultType: 'complete' } : {}
    const kept = isModern ? { ttlMs: 0, cacheScope: 'private', ...extra } : {}
    switch (method) {
      case 'server/discover':
        return isModern
          ? { supportedVersions: [modern], capabilities: { tools: { listChanged: true } }, ...kept }
          : undefined
      case 'initialize':
        if (isModern) return undefined
        return {
          protocolVersion: '2025-06-18',
          capabilities: { tools: { listChanged: true } },
          serverInfo: { name: this.kind, version: '1' },
        }
      case 'ping':
        return isModern ? undefined : {}
      case 'tools/list':
        return { tools: [{ name: 'write', inputSchema: this.inputSchema }], ...kept }
      case 'tools/call':
        this.calls++
        return { content: [{ type: 'text', text: `${params?.name} ${this.calls}` }], ...extra }
      default:
        return undefined
    }
  }

  #refuse(response: ServerResponse, id: unknown): void {
    const { status, error } = this.#refusal
    if (error === undefined) return void response.writeHead(status).end()
    json(response, status, { jsonrpc: '2.0', id: status === 200 ? id : null, error })
  }
}

export function json(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

/** Serves each at a path of its name. @returns the URL before the name. */
export async function serveFakes(servers: Readonly<Record<string, FakeMcpServer>>) {
  const server = createServer((request, response) => {
    const fake = servers[request.url?.slice(1) ?? '']
    if (fake === undefined) return void response.writeHead(404).end()
    void fake.handle(request, response)
  })
  server.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  return {
    urlOf: (name: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
