// A client of Streamable HTTP, as small as it can be. It checks answers; wrk makes the load.
import { type ClientRequest, type IncomingMessage, request } from 'node:http'

/** The generations of the protocol. */
export type Era = 'legacy' | 'modern'

export interface Place {
  /** `http://127.0.0.1:20001/mcp` */
  readonly url: string
  /** What lets the client in. */
  readonly headers: Readonly<Record<string, string>>
}

const usual = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
}

const revision = { legacy: '2025-11-25', modern: '2026-07-28' } as const

const info = { name: 'bench', version: '1' }

/** A request to call a tool, with `@ID@` for its id. */
export function callBody(era: Era, tool: string): string {
  const prefix = 'io.modelcontextprotocol/'
  const meta = {
    [`${prefix}protocolVersion`]: revision.modern,
    [`${prefix}clientInfo`]: info,
    [`${prefix}clientCapabilities`]: {},
  }
  const params = { name: tool, arguments: { text: 'hello' }, ...(era === 'modern' && { _meta: meta }) }
  return `{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":${JSON.stringify(params)}}`
}

/** The headers of a call in a session; of the newer generation, which has none, of any call of this tool. */
export async function callHeaders(
  era: Era,
  place: Place,
  tool: string,
): Promise<Readonly<Record<string, string>>> {
  if (era === 'legacy') return (await Session.open(place)).headers
  const said = { 'mcp-protocol-version': revision.modern, 'mcp-method': 'tools/call', 'mcp-name': tool }
  return { ...usual, ...place.headers, ...said }
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
}

export function post(url: string, headers: Readonly<Record<string, string>>, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'POST', headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      )
      response.once('error', reject)
    })
    asked.once('error', reject)
    asked.end(body)
  })
}

/** The JSON of an answer, which comes alone or as the last event of a stream. */
function jsonIn(text: string): { readonly result?: unknown; readonly error?: unknown } {
  const data = text.includes('data:') ? (/^data: ?(\{.*)$/m.exec(text)?.[1] ?? '') : text
  return JSON.parse(data) as { result?: unknown; error?: unknown }
}

/** A session of the older generation. */
export class Session {
  readonly #place: Place
  readonly headers: Readonly<Record<string, string>>
  #lastId = 0

  private constructor(place: Place, headers: Readonly<Record<string, string>>) {
    this.#place = place
    this.headers = headers
  }

  /** @throws Error that says what came instead. */
  static async open(place: Place): Promise<Session> {
    const begin = { ...usual, ...place.headers }
    const params = { protocolVersion: revision.legacy, capabilities: {}, clientInfo: info }
    const body = JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params })
    const { status, headers, text } = await post(place.url, begin, body)
    if (status !== 200) throw new Error(`initialize: ${status} ${text.slice(0, 200)}`)
    const id = headers['mcp-session-id']
    const own = {
      ...begin,
      'mcp-protocol-version': revision.legacy,
      ...(typeof id === 'string' && { 'mcp-session-id': id }),
    }
    await post(place.url, own, '{"jsonrpc":"2.0","method":"notifications/initialized"}')
    return new Session(place, own)
  }

  async ask<T>(method: string, params: object = {}): Promise<T> {
    const body = JSON.stringify({ jsonrpc: '2.0', id: ++this.#lastId, method, params })
    const { status, text } = await post(this.#place.url, this.headers, body)
    const { result, error } = status === 200 ? jsonIn(text) : { result: undefined, error: text }
    if (result === undefined) throw new Error(`${method}: ${status} ${JSON.stringify(error).slice(0, 200)}`)
    return result as T
  }

  /** Calls a tool. @throws Error when the answer is not the one of this tool. */
  async call(tool: string, own: string): Promise<void> {
    const params = { name: tool, arguments: { text: 'hello' } }
    const { content } = await this.ask<{ content: { text: string }[] }>('tools/call', params)
    if (content[0]?.text !== `${own} hello`) throw new Error(`${tool}: ${JSON.stringify(content)}`)
  }

  /** A stream for what belongs to no request. Resolves when its head has come. */
  stream(): Promise<ClientRequest> {
    return new Promise((resolve, reject) => {
      const headers = { ...this.headers, accept: 'text/event-stream' }
      const asked = request(this.#place.url, { method: 'GET', headers, agent: false }, (response) => {
        response.resume()
        response.once('error', () => {})
        if (response.statusCode === 200) resolve(asked)
        else reject(new Error(`GET: ${response.statusCode}`))
      })
      asked.once('error', reject)
      asked.end()
    })
  }
}
