import type { IncomingHttpHeaders } from 'node:http'
import { canonical } from '../os/interfaces.ts'
import { isIP } from '../os/ip-address.ts'

/**
 * Where a request comes from behind proxies: the last address that no trusted proxy has. Each proxy writes down at the right end whom it got
 * the request from, so what stands further left was written by others and counts only as far as all to its right are trusted. Where both
 * `X-Forwarded-For` and `Forwarded` (RFC 7239) came and differ, one of them is the client's own invention: neither counts.
 * @param peer the address of the socket. @param isTrusted whether an address is a proxy's.
 */
export function sourceOf(
  peer: string,
  headers: IncomingHttpHeaders,
  isTrusted: (address: string) => boolean,
): string {
  if (!isTrusted(peer)) return peer
  const lists = [addressesIn(headers['x-forwarded-for']), forwardedAddresses(headers.forwarded)]
  const sources = lists.flatMap((list) => (list === undefined ? [] : [lastUntrusted(peer, list, isTrusted)]))
  const [only, ...others] = new Set(sources)
  return only === undefined || others.length > 0 ? peer : only
}

/** Whether a header says that a proxy passed this request on: then its first sender may be on another machine. */
export function isPassedOn(headers: IncomingHttpHeaders): boolean {
  return headers['x-forwarded-for'] !== undefined || headers.forwarded !== undefined
}

/** Entries that are read at most: a header may be long, and no chain of proxies is. */
const mostEntries = 32

function lastUntrusted(
  peer: string,
  addresses: readonly (string | undefined)[],
  isTrusted: (address: string) => boolean,
): string {
  let source = peer
  for (const address of addresses.slice(-mostEntries).reverse()) {
    // Hidden on purpose, or no address: from here on nothing is known.
    if (address === undefined) return source
    source = address
    if (!isTrusted(address)) return source
  }
  return source
}

/** `203.0.113.7, 10.0.0.1`; undefined = there is no such header. */
function addressesIn(header: string | readonly string[] | undefined): (string | undefined)[] | undefined {
  const text = typeof header === 'string' ? header : header?.join(',')
  return text?.split(',').map((one) => addressIn(one.trim()))
}

/** `for=203.0.113.7;proto=https, for="[2001:db8::1]:4711"`. */
function forwardedAddresses(header: string | undefined): (string | undefined)[] | undefined {
  return header?.split(',').map((element) => {
    const node = /(?:^|;)\s*for\s*=\s*("[^"]*"|[^;"\s]+)\s*(?:;|$)/i.exec(element)?.[1] ?? ''
    return addressIn(node.replaceAll('"', ''))
  })
}

/** An address, with or without a port, an IPv6 one in brackets or not; undefined = it is none. */
function addressIn(text: string): string | undefined {
  const inBrackets = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1]
  const withPort = /^([^:]+):\d+$/.exec(text)?.[1]
  const address = inBrackets ?? withPort ?? text
  return isIP(address) === 0 ? undefined : canonical(address)
}
