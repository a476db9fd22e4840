// Whom a request behind proxies comes from. Data in, data out.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { networks } from '../../src/os/networks.ts'
import { sourceOf } from '../../src/web/forwarded.ts'

const isTrusted = networks(['10.0.0.0/8', '127.0.0.1/32', '2001:db8:1::/48'])

function source(peer: string, forwardedFor?: string, forwarded?: string): string {
  const headers = {
    ...(forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor }),
    ...(forwarded === undefined ? {} : { forwarded }),
  }
  return sourceOf(peer, headers, isTrusted)
}

describe('the source of a request behind proxies', () => {
  it('is the peer where that is no trusted proxy, whatever it claims', () => {
    expect(source('203.0.113.9', '198.51.100.1')).toBe('203.0.113.9')
    expect(source('203.0.113.9', undefined, 'for=198.51.100.1')).toBe('203.0.113.9')
    expect(source('10.0.0.1')).toBe('10.0.0.1')
  })

  it('is read from the right: what a client has written itself does not count', () => {
    expect(source('10.0.0.1', '198.51.100.1')).toBe('198.51.100.1')
    expect(source('10.0.0.1', '6.6.6.6, 198.51.100.1')).toBe('198.51.100.1')
    expect(source('10.0.0.1', '6.6.6.6, 198.51.100.1, 10.0.0.7')).toBe('198.51.100.1')
    expect(source('10.0.0.1', '6.6.6.6, 127.0.0.1')).toBe('6.6.6.6')
    expect(source('10.0.0.1', '10.0.0.3, 10.0.0.2')).toBe('10.0.0.3')
    expect(source('::ffff:10.0.0.1', '198.51.100.1:4711')).toBe('198.51.100.1')
  })

  it('reads Forwarded (RFC 7239) with ports, quotation marks and IPv6', () => {
    expect(source('10.0.0.1', undefined, 'for=192.0.2.60;proto=http;by=203.0.113.43')).toBe('192.0.2.60')
    expect(source('10.0.0.1', undefined, 'For="[2001:db8:cafe::17]:4711"')).toBe('2001:db8:cafe::17')
    expect(source('10.0.0.1', undefined, 'for=6.6.6.6, proto=https;for=198.51.100.1')).toBe('198.51.100.1')
  })

  it('stops where an address is hidden or is none', () => {
    expect(source('10.0.0.1', undefined, 'for=6.6.6.6, for=_hidden')).toBe('10.0.0.1')
    expect(source('10.0.0.1', '6.6.6.6, unknown, 10.0.0.2')).toBe('10.0.0.2')
    expect(source('10.0.0.1', '')).toBe('10.0.0.1')
  })

  it('believes neither header where they differ: a proxy writes one, and the client can write the other', () => {
    expect(source('10.0.0.1', '198.51.100.1', 'for=198.51.100.1')).toBe('198.51.100.1')
    expect(source('10.0.0.1', '198.51.100.1', 'for=6.6.6.6')).toBe('10.0.0.1')
  })

  it('is always an address that is known, and never what an untrusted one claims', () => {
    fc.assert(
      fc.property(fc.string(), fc.ipV4(), (claim, client) => {
        fc.pre(!isTrusted(client))
        // The proxy appends whom it sees to whatever the client has sent.
        expect(source('10.0.0.1', `${claim.replaceAll(',', ' ')}, ${client}`)).toBe(client)
      }),
    )
  })
})
