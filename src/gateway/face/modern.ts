import type { IncomingHttpHeaders } from 'node:http'
import type { GatewayCore } from '../gateway-core.ts'
import { errorText, RpcError, rpcCode } from '../protocol/errors.ts'
import { textOfHeader } from '../protocol/header-values.ts'
import { isStringAt, stringOf } from '../protocol/json-text.ts'
import { idOf, isRequest, type Message, metaOf, paramsOf, stringParam } from '../protocol/message.ts'
import { legacyRevisions, metaKey, modernRevision, supportedRevisions } from '../protocol/revisions.ts'
import { Waiting } from '../waiting.ts'
import { accepts, RequestReply } from './reply.ts'
import { modernStatuses, statusOf } from './statuses.ts'
import { refuse, send, type Visit } from './visit.ts'

/** What the header `Mcp-Name` repeats, by method. */
const namedBy: Readonly<Record<string, 'name' | 'uri' | 'taskId'>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId',
}

/** Whether a request is of the newer generation: its body says who asks, or its headers say so. */
export function isModern(headers: IncomingHttpHeaders, message: Message): boolean {
  const revision = headers['mcp-protocol-version']
  const isOld = revision === undefined || legacyRevisions.some((known) => known === revision)
  if (message.method === 'server/discover') return true
  if (metaOf(message.text, paramsOf(message)).has(metaKey.protocolVersion)) return true
  return !isOld && message.method !== 'initialize' && headers['mcp-session-id'] === undefined
}

/** Answers a request that stands alone. That its connection ends is its cancellation. */
export async function answerModern(visit: Visit, core: GatewayCore, message: Message): Promise<void> {
  const { request, response, principal, directory } = visit
  const id = idOf(message)
  if (!isRequest(message)) {
    if (message.method !== undefined) return void response.writeHead(202).end()
    return refuse(
      response,
      400,
      new RpcError(rpcCode.invalidRequest, 'answers are not taken in this revision'),
    )
  }
  const problem = problemOf(request.headers, message)
  if (problem !== undefined) return send(response, 400, errorText(id, problem))
  const takesStreams = accepts(request.headers.accept, 'text/event-stream')
  const session = core.newSession(principal, directory, () => false)
  const own = new Waiting()
  const gone = () => own.abort(new Error('the client has gone'))
  response.once('close', gone)
  const waiting = new RequestReply(response, takesStreams)
  try {
    const answer = await session.take(message, waiting, own, request.headers)
    response.removeListener('close', gone)
    const { status, headers } = statusOf(answer, modernStatuses, visit)
    waiting.answer(answer, status, headers)
  } finally {
    session.close()
  }
}

/** What is wrong with the headers, which must say what the body says. */
function problemOf(headers: IncomingHttpHeaders, message: Message): RpcError | undefined {
  const { text, method = '' } = message
  const meta = metaOf(text, paramsOf(message))
  const member = meta.get(metaKey.protocolVersion)
  const said = member !== undefined && isStringAt(text, member) ? stringOf(text, member) : undefined
  const header = headers['mcp-protocol-version']
  if (said === undefined) {
    if (typeof header === 'string' && !supportedRevisions.includes(header)) return unsupported(header)
    return new RpcError(rpcCode.invalidParams, `_meta must say ${metaKey.protocolVersion}`)
  }
  const mismatch = (name: string, what: string) =>
    new RpcError(rpcCode.headerMismatch, `Header mismatch: ${name} ${what}`)
  if (header === undefined) return mismatch('MCP-Protocol-Version', 'is missing')
  if (header !== said) return mismatch('MCP-Protocol-Version', 'says something else than the body')
  if (said !== modernRevision) return unsupported(said)
  if (!meta.has(metaKey.clientCapabilities))
    return new RpcError(rpcCode.invalidParams, `_meta must say ${metaKey.clientCapabilities}`)
  const methodHeader = headers['mcp-method']
  if (methodHeader === undefined) return mismatch('Mcp-Method', 'is missing')
  if (methodHeader !== method) return mismatch('Mcp-Method', 'says something else than the body')
  const parameter = namedBy[method]
  if (parameter === undefined) return undefined
  const name = stringParam(message, parameter)
  const nameHeader = headers['mcp-name']
  if (typeof nameHeader !== 'string') return mismatch('Mcp-Name', 'is missing')
  return textOfHeader(nameHeader) === name
    ? undefined
    : mismatch('Mcp-Name', 'says something else than the body')
}

function unsupported(requested: string): RpcError {
  const data = { supported: supportedRevisions, requested }
  return new RpcError(rpcCode.unsupportedVersion, 'Unsupported protocol version', data)
}
