// The MCP server behind every gateway of this bench: as little work for a call as Node allows, so that it is not what is measured.
//   node upstream-process.js [--tools N]           on stdin and stdout
//   node upstream-process.js [--tools N] --http PORT   Streamable HTTP, without sessions
import { writeSync } from 'node:fs'
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: { tools: { type: 'string', default: '1' }, http: { type: 'string' } },
})

const tools = Array.from({ length: Number(values.tools) }, (_, index) => ({
  name: `tool_${index}`,
  description: 'Answers with the text that it is given.',
  inputSchema: { type: 'object', properties: { text: { type: 'string' } } },
  annotations: { readOnlyHint: true },
}))

interface Asked {
  readonly id?: number | string
  readonly method?: string
  readonly params?: { readonly name?: string; readonly arguments?: { readonly text?: string } }
}

const results: Readonly<Record<string, object>> = {
  initialize: {
    protocolVersion: '2025-11-25',
    capabilities: { tools: {} },
    serverInfo: { name: 'bench', version: '1' },
  },
  ping: {},
  'tools/list': { tools },
}

/** The answer to a message; empty when none is due. */
function answer(line: string): string {
  const { id, method = '', params } = JSON.parse(line) as Asked
  if (id === undefined) return ''
  const head = `{"jsonrpc":"2.0","id":${JSON.stringify(id)},`
  if (method === 'tools/call') {
    const text = JSON.stringify(`${params?.name} ${params?.arguments?.text}`)
    return `${head}"result":{"content":[{"type":"text","text":${text}}]}}`
  }
  const result = results[method]
  return result === undefined
    ? `${head}"error":{"code":-32601,"message":"Method not found"}}`
    : `${head}"result":${JSON.stringify(result)}}`
}

/** What comes in one piece is answered in one piece. */
function serveStreams(): void {
  let rest = ''
  process.stdin.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    const answers = lines.map(answer).filter((text) => text !== '')
    if (answers.length > 0) writeAll(Buffer.from(`${answers.join('\n')}\n`))
  })
}

function writeAll(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at)
    } catch (error) {
      // The pipe is full: its reader is behind.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}

function serveHttp(port: number): void {
  createServer((request, response) => {
    if (request.method !== 'POST') return void response.writeHead(405).end()
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk
    })
    request.on('end', () => {
      const text = answer(body)
      if (text === '') return void response.writeHead(202).end()
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
      })
      response.end(text)
    })
  }).listen(port, '127.0.0.1')
}

if (values.http === undefined) serveStreams()
else serveHttp(Number(values.http))
