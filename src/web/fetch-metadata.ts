import type { IncomingHttpHeaders } from 'node:http'
import type { Origins } from './origins.ts'

/**
 * Whether the request comes from a page of neither this port nor its family, although it carries the session: for a browser another port of
 * this host is the same site, so SameSite=Strict does not withhold the cookie.
 *
 * Three headers show it, none of which a page can set: `Origin`, where the browser sends one; Fetch Metadata (`Sec-Fetch-Site`), on https and
 * loopback; else `Referer`. On plain http a page that hides its referrer can still make a browser navigate here, in a frame for example;
 * any other kind of request of a browser must say where it comes from.
 */
export function isStrangersPage(
  { method, headers }: { readonly method?: string | undefined; readonly headers: IncomingHttpHeaders },
  origins: Origins,
): boolean {
  const origin = origins.kindOf(headers.origin)
  if (origin !== 'none') return origin === 'foreign'
  const referrer = origins.kindOf(originOfUrl(headers.referer))
  if (referrer === 'same' || referrer === 'family') return false
  const isReading = method === 'GET' || method === 'HEAD'
  const site = headers['sec-fetch-site']
  if (site !== undefined) {
    if (site === 'same-origin' || site === 'none') return false
    const isInTab = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
    return !(isReading && isInTab)
  }
  if (referrer === 'foreign') return true
  return isBrowser(headers) && !(isReading && isNavigation(headers))
}

/** Whatever runs pages calls itself this, and no page can change it. A program that brings a cookie means what it asks. */
function isBrowser({ 'user-agent': name }: IncomingHttpHeaders): boolean {
  return name?.startsWith('Mozilla/') === true
}

/** A page's fetch may claim to accept HTML; the second header is the browser's alone. */
function isNavigation(headers: IncomingHttpHeaders): boolean {
  return headers.accept?.includes('text/html') === true && headers['upgrade-insecure-requests'] === '1'
}

function originOfUrl(url: string | undefined): string | undefined {
  return url === undefined || url === '' ? undefined : (/^https?:\/\/[^/?#]+/i.exec(url)?.[0] ?? 'null')
}
