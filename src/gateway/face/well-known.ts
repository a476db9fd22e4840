import type { ServerResponse } from 'node:http'
import type { Tokens } from '../oauth/tokens.ts'
import { RpcError, rpcCode, secondsToWait } from '../protocol/errors.ts'
import type { Views } from '../views.ts'
import { metadataPath } from './challenge.ts'
import { placeOf } from './place.ts'
import { refuse, refuseMethod, send } from './visit.ts'

/** Documents of the issuer, for clients that look for them here. */
const issuerPaths = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration']

/** ms after which an issuer that did not answer is worth another try. */
const againMs = 5000

export function isWellKnown(path: string): boolean {
  return path.startsWith('/.well-known/')
}

/** What clients must know before they have a token: everybody may read it. @param host by which the client has come. */
export async function answerWellKnown(
  path: string,
  { method, host, tokens, views }: { method: string; host: string; tokens: Tokens | undefined; views: Views },
  response: ServerResponse,
): Promise<void> {
  const place = path.startsWith(metadataPath) ? path.slice(metadataPath.length) : undefined
  const isOfIssuer = issuerPaths.some((one) => path === one || path.startsWith(`${one}/`))
  const about = place === undefined || place === '' ? {} : placeOf(place)
  if (tokens === undefined || about === undefined || (place === undefined && !isOfIssuer)) {
    const what = 'Not Found: there is no such document here'
    return refuse(response, 404, new RpcError(rpcCode.invalidRequest, what))
  }
  if (method !== 'GET' && method !== 'HEAD') return refuseMethod(response, method, 'GET, HEAD')
  const headers = { 'cache-control': 'public, max-age=300' }
  if (place !== undefined) {
    const scopes = views.scopesOf(about)
    const document = {
      resource: `${tokens.baseFor(host)}${place}`,
      authorization_servers: tokens.all.map(({ url }) => url),
      ...(scopes.length === 0 ? {} : { scopes_supported: scopes }),
      bearer_methods_supported: ['header'],
      resource_name: 'port-watchdog MCP gateway',
    }
    return send(response, 200, JSON.stringify(document), headers)
  }
  try {
    const [issuer] = tokens.issuers
    return send(response, 200, JSON.stringify(await issuer?.document()), headers)
  } catch {
    const what = 'the issuer of tokens does not answer'
    const error = new RpcError(rpcCode.overloaded, what)
    refuse(response, 503, error, { 'retry-after': String(secondsToWait(againMs)) })
  }
}
