import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { tokenHeader } from '../../web/guard.ts'
import { type BodyTreatment, translateOrigins } from './document.ts'
import type { OriginMap } from './origins.ts'
import { framePolicy, policySource } from './policy.ts'

/** Headers that concern one connection (RFC 9110 section 7.6.1); `transfer-encoding` is the framing, which Node redoes. */
const hopByHop = [
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'http2-settings',
  // Answered by Node already: what follows is the body.
  'expect',
]

/** What others may have claimed about the way here; this gate is the first that can be believed. */
const claims = ['forwarded', 'x-real-ip', 'x-forwarded-port', 'x-forwarded-server', 'x-forwarded-prefix']

export interface RequestContext {
  readonly source: string
  readonly scheme: 'http' | 'https'
  /** The visitor's `Host`. */
  readonly host: string
  /** The target's. */
  readonly targetHost: string
  readonly origins: OriginMap
  /** The `Cookie` header without the gate's own. */
  readonly cookie: string | undefined
  /** `Authorization` was the gate's token, so that it ends here. */
  readonly ownAuthorization: boolean
  readonly treatment: BodyTreatment
}

/** Makes a request's headers those that the target would get from a browser on its own machine. Changes them in place. */
export function rewriteRequestHeaders(headers: IncomingHttpHeaders, context: RequestContext): void {
  dropHopByHop(headers)
  drop(headers, tokenHeader)
  for (const name of claims) drop(headers, name)
  Object.assign(headers, forwardedHeaders(context))
  headers.host = context.targetHost
  setOrDelete(headers, 'origin', translated(headers.origin, context.origins))
  setOrDelete(headers, 'referer', translatedReferer(headers.referer, context.origins))
  setOrDelete(headers, 'cookie', context.cookie)
  if (context.ownAuthorization) delete headers.authorization
  if (context.treatment !== 'stream') {
    // The body must be read here, and must not be answered from a copy that was made for another address.
    for (const name of ['if-none-match', 'if-modified-since', 'if-range', 'range']) delete headers[name]
    // Without the header every coding would be welcome (RFC 9110 section 12.5.3).
    headers['accept-encoding'] = 'identity'
  }
}

/** The headers that describe the visitor to the target. */
export function forwardedHeaders({
  source,
  scheme,
  host,
}: Pick<RequestContext, 'source' | 'scheme' | 'host'>) {
  return { 'x-forwarded-for': source, 'x-forwarded-proto': scheme, 'x-forwarded-host': host }
}

/** An origin that is none of ours is passed on: the target judges it. */
function translated(origin: string | undefined, origins: OriginMap): string | undefined {
  return origin === undefined ? undefined : (origins.inward(origin) ?? origin)
}

function translatedReferer(referer: string | undefined, origins: OriginMap): string | undefined {
  if (referer === undefined) return undefined
  const match = /^(https?:\/\/[^/?#]+)(.*)$/i.exec(referer)
  const inward = match?.[1] === undefined ? undefined : origins.inward(match[1])
  return inward === undefined ? referer : `${inward}${match?.[2] ?? ''}`
}

/** Makes an answer's headers those that the visitor's browser must see. Changes them in place. */
export function rewriteResponseHeaders(
  headers: IncomingHttpHeaders,
  origins: OriginMap,
  asked: {
    readonly origin: string | undefined
    readonly isFamily: boolean
    readonly treatment: BodyTreatment
    /** Only the referrer shows which page asks: the browser sends no Fetch Metadata. */
    readonly hidesReferrer: boolean
  },
): void {
  dropHopByHop(headers)
  drop(headers, 'connection')
  drop(headers, 'upgrade')
  if (headers.location !== undefined) headers.location = translateOrigins(headers.location, origins)
  for (const name of ['content-security-policy', 'content-security-policy-report-only']) {
    const value = headers[name]
    if (typeof value === 'string') headers[name] = policySource(translateOrigins(value, origins))
  }
  if (asked.treatment === 'document') {
    const own = headers['content-security-policy']
    // A page without a referrer could not load its own parts on plain http. Other sites still get no referrer.
    if (asked.hidesReferrer && /(^|,)\s*no-referrer\s*$/i.test(String(headers['referrer-policy'] ?? '')))
      headers['referrer-policy'] = 'same-origin'
    headers['content-security-policy'] = [...(own === undefined ? [] : [own]), framePolicy(origins)].join(
      ', ',
    )
  }
  rewriteCors(headers, origins, asked)
  // A cookie for `localhost` would be refused by a browser that knows the host by another name.
  const setCookie = headers['set-cookie']
  if (setCookie) {
    headers['set-cookie'] = setCookie.map((cookie) => cookie.replace(/;\s*domain=[^;]*/gi, ''))
  }
}

/**
 * Passes on what the target grants, and grants nothing itself: a page of another port of the family may read the answer with
 * the session's cookie exactly when the target lets that page's origin, or any, read it.
 */
function rewriteCors(
  headers: IncomingHttpHeaders,
  origins: OriginMap,
  { origin, isFamily }: { readonly origin: string | undefined; readonly isFamily: boolean },
): void {
  const granted = headers['access-control-allow-origin']
  if (granted === undefined) return
  if (
    isFamily &&
    origin !== undefined &&
    (granted === '*' || origins.outward(granted) === origin.toLowerCase())
  ) {
    headers['access-control-allow-origin'] = origin
    headers['access-control-allow-credentials'] = 'true'
    const exposed = headers['access-control-expose-headers']
    if (exposed !== undefined)
      headers['access-control-expose-headers'] = spelledOut(exposed, Object.keys(headers).join(', '))
    headers.vary = headers.vary === undefined ? 'Origin' : `${headers.vary}, Origin`
  } else {
    headers['access-control-allow-origin'] = granted === '*' ? '*' : (origins.outward(granted) ?? granted)
  }
}

/**
 * The answer to a page of the family that asks whether it may ask (a preflight), as far as the target grants it; undefined = it does not.
 * The request itself will bring the session, and for one with credentials `*` is no wildcard: it is spelled out as what was asked for.
 */
export function preflightHeaders(
  answer: IncomingHttpHeaders,
  asked: IncomingHttpHeaders,
  origins: OriginMap,
): OutgoingHttpHeaders | undefined {
  const { origin = '' } = asked
  const granted = answer['access-control-allow-origin']
  if (granted === undefined || (granted !== '*' && origins.outward(granted) !== origin.toLowerCase()))
    return undefined
  const methods = answer['access-control-allow-methods']
  const names = answer['access-control-allow-headers']
  const maxAge = answer['access-control-max-age']
  const privateNetwork = answer['access-control-allow-private-network']
  return {
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
    ...(methods !== undefined && {
      'access-control-allow-methods': spelledOut(methods, asked['access-control-request-method'] ?? ''),
    }),
    ...(names !== undefined && {
      'access-control-allow-headers': spelledOut(
        names,
        wildcardNames(asked['access-control-request-headers']),
      ),
    }),
    // Asked again soon: whether a port is of the family may change.
    ...(maxAge !== undefined && { 'access-control-max-age': String(Math.min(Number(maxAge) || 0, 60)) }),
    ...(privateNetwork !== undefined && { 'access-control-allow-private-network': privateNetwork }),
    vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
  }
}

function spelledOut(list: string, asked: string): string {
  return list
    .split(',')
    .map((name) => (name.trim() === '*' ? asked : name.trim()))
    .filter((name) => name !== '')
    .join(', ')
}

/** A wildcard does not mean Authorization (Fetch standard, section 3.3.3). */
function wildcardNames(names = ''): string {
  return names
    .split(',')
    .filter((name) => name.trim().toLowerCase() !== 'authorization')
    .join(',')
}

/** Takes away what concerns one connection, but for `connection` itself and the framing. */
export function dropHopByHop(headers: IncomingHttpHeaders): void {
  const named = headers.connection?.split(',').map((token) => token.trim().toLowerCase())
  for (const name of named ?? []) {
    // The framing stays with the body that it frames.
    if (!['', 'close', 'upgrade', 'transfer-encoding', 'content-length', 'host'].includes(name))
      delete headers[name]
  }
  for (const name of hopByHop) drop(headers, name)
}

/** Deleting what is not there would cost as much as deleting, many times a request. */
function drop(headers: IncomingHttpHeaders, name: string): void {
  if (headers[name] !== undefined) delete headers[name]
}

function setOrDelete(headers: IncomingHttpHeaders, name: string, value: string | undefined): void {
  if (value === undefined) drop(headers, name)
  else headers[name] = value
}
