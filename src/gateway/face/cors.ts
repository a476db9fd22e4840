import type { IncomingMessage, ServerResponse } from 'node:http'

/** What pages may send and read beside what every page may. */
const sent =
  /^(accept|authorization|content-type|last-event-id|x-api-key|api-key|mcp-[a-z0-9-]+|traceparent|tracestate|baggage)$/
const read = 'Mcp-Session-Id, WWW-Authenticate, Retry-After'

/** Seconds for which a browser may keep the answer to a preflight. */
const keptSeconds = '600'

/**
 * Lets a page of a listed origin read the answer. No cookie plays a part: a page shows a key of its own.
 * @returns whether the request was a browser's question in advance, which is answered with that.
 */
export function allowPage(
  { method, headers }: IncomingMessage,
  response: ServerResponse,
  allow: string,
): boolean {
  response.setHeader('access-control-allow-origin', headers.origin ?? '')
  response.setHeader('vary', 'Origin')
  response.setHeader('access-control-expose-headers', read)
  if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return false
  const asked = (headers['access-control-request-headers'] ?? '').toLowerCase().split(',')
  const allowed = asked.map((name) => name.trim()).filter((name) => sent.test(name))
  response.writeHead(204, {
    'access-control-allow-methods': allow,
    'access-control-allow-headers': allowed.join(', '),
    'access-control-max-age': keptSeconds,
  })
  response.end()
  return true
}
