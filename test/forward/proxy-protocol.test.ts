import fc from 'fast-check'
import { assert, describe, expect, it } from 'vitest'
import {
  longestHeader,
  type ProxyHeader,
  type ProxyParse,
  parseProxyHeader,
  serializeOwnHeader,
  serializeProxyHeader,
} from '../../src/forward/steps/proxy-protocol.ts'
import { crc32c } from '../../src/forward/steps/proxy-protocol-checksum.ts'

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

/** A header of version 2 from its parts. */
function v2(versionAndCommand: number, family: number, body: Buffer, length = body.length): Buffer {
  const fixed = Buffer.from([versionAndCommand, family, length >> 8, length & 0xff])
  return Buffer.concat([signature, fixed, body])
}

function tlv(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 0xff]), value])
}

function parseText(text: string): ProxyParse {
  return parseProxyHeader(Buffer.from(text, 'latin1'))
}

function headerOf(parsed: ProxyParse): ProxyHeader {
  expect(parsed.kind, JSON.stringify(parsed)).toBe('header')
  return parsed.kind === 'header' ? parsed.header : { kind: 'unknown' }
}

const ipv4Block = Buffer.from('c0000201c6336402dc0401bb', 'hex')
const ipv4Addresses: ProxyHeader = {
  kind: 'addresses',
  source: { address: '192.0.2.1', port: 56324 },
  destination: { address: '198.51.100.2', port: 443 },
}

describe('PROXY protocol version 1', () => {
  it('reads the lines of the specification', () => {
    expect(headerOf(parseText('PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /'))).toStrictEqual(
      ipv4Addresses,
    )
    expect(headerOf(parseText('PROXY TCP6 2001:db8::1 ::1 0 65535\r\n'))).toStrictEqual({
      kind: 'addresses',
      source: { address: '2001:db8::1', port: 0 },
      destination: { address: '::1', port: 65535 },
    })
    expect(headerOf(parseText('PROXY UNKNOWN\r\n'))).toStrictEqual({ kind: 'unknown' })
    const longest = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'
    expect(headerOf(parseText(`PROXY UNKNOWN ${longest} ${longest} 65535 65535\r\n`))).toStrictEqual({
      kind: 'unknown',
    })
  })

  const wrongLines = [
    'GET / HTTP/1.1\r\n',
    'proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n',
    'PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n',
    'PROXY TCP4\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n',
    'PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n',
    'PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n',
    'PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n',
    'PROXY TCP4 ::1 ::1 1 2\r\n',
    'PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n',
    'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n',
    'PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n',
    'PROXY UNKNOWN\u0000\r\n',
    `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`,
    'PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n',
  ]
  for (const line of wrongLines) {
    it(`refuses ${JSON.stringify(line)}`, () => expect(parseText(line).kind).toBe('wrong'))
  }

  it('takes 107 bytes and not one more, and waits for no more than those', () => {
    const line = (length: number) => `PROXY UNKNOWN ${'x'.repeat(length - 16)}\r\n`
    expect(line(107).length).toBe(107)
    expect(parseText(line(107)).kind).toBe('header')
    expect(parseText(line(108)).kind).toBe('wrong')
    expect(parseText(line(108).slice(0, 106)).kind).toBe('more')
    expect(parseText(line(108).slice(0, 107)).kind).toBe('wrong')
  })
})

describe('PROXY protocol version 2', () => {
  it('reads IPv4, IPv6, Unix, unspecified and LOCAL', () => {
    expect(headerOf(parseProxyHeader(v2(0x21, 0x11, ipv4Block)))).toStrictEqual(ipv4Addresses)
    expect(headerOf(parseProxyHeader(v2(0x21, 0x12, ipv4Block)))).toStrictEqual(ipv4Addresses)
    const ipv6Block = Buffer.from(`20010db8${'0'.repeat(23)}1${'0'.repeat(31)}10001ffff`, 'hex')
    expect(headerOf(parseProxyHeader(v2(0x21, 0x21, ipv6Block)))).toStrictEqual({
      kind: 'addresses',
      source: { address: '2001:db8::1', port: 1 },
      destination: { address: '::1', port: 65535 },
    })
    expect(headerOf(parseProxyHeader(v2(0x21, 0x31, Buffer.alloc(216))))).toStrictEqual({ kind: 'unknown' })
    expect(headerOf(parseProxyHeader(v2(0x21, 0x00, Buffer.alloc(0))))).toStrictEqual({ kind: 'unknown' })
    expect(headerOf(parseProxyHeader(v2(0x20, 0x00, Buffer.alloc(0))))).toStrictEqual({ kind: 'local' })
    // Family and addresses of LOCAL are to be ignored.
    expect(headerOf(parseProxyHeader(v2(0x20, 0x11, ipv4Block)))).toStrictEqual({ kind: 'local' })
    expect(headerOf(parseProxyHeader(v2(0x20, 0xff, Buffer.from('junk'))))).toStrictEqual({ kind: 'local' })
  })

  it('refuses other versions, commands, families and lengths as soon as it can tell', () => {
    const early = (...bytes: number[]) =>
      parseProxyHeader(Buffer.concat([signature, Buffer.from(bytes)])).kind
    expect(early(0x11)).toBe('wrong')
    expect(early(0x31)).toBe('wrong')
    expect(early(0x22)).toBe('wrong')
    expect(early(0x21)).toBe('more')
    for (const family of [0x01, 0x10, 0x13, 0x20, 0x41]) expect(early(0x21, family)).toBe('wrong')
    expect(early(0x21, 0x11, 0, 11)).toBe('wrong')
    expect(early(0x21, 0x21, 0, 35)).toBe('wrong')
    expect(early(0x21, 0x31, 0, 215)).toBe('wrong')
    expect(early(0x21, 0x11, 0xff, 0xff)).toBe('wrong')
    expect(early(0x21, 0x00, 0xff, 0xff)).toBe('wrong')
    const longest = longestHeader - 16
    expect(early(0x21, 0x00, longest >> 8, longest & 0xff)).toBe('more')
    expect(early(0x21, 0x00, (longest + 1) >> 8, (longest + 1) & 0xff)).toBe('wrong')
  })

  it('walks over TLVs to their very end', () => {
    const alpn = tlv(0x01, Buffer.from('h2'))
    const parse = (...tlvs: Buffer[]) => parseProxyHeader(v2(0x21, 0x11, Buffer.concat([ipv4Block, ...tlvs])))
    expect(headerOf(parse(alpn, tlv(0x04, Buffer.alloc(300)), tlv(0xe0, Buffer.alloc(0))))).toStrictEqual(
      ipv4Addresses,
    )
    expect(parse(alpn, Buffer.from([1])).kind).toBe('wrong')
    expect(parse(alpn, Buffer.from([1, 0])).kind).toBe('wrong')
    expect(parse(alpn, Buffer.from([1, 0, 2, 0])).kind).toBe('wrong')
  })

  it('checks a checksum that is there', () => {
    const withChecksum = (command: number, family: number, block: Buffer) => {
      const header = v2(
        command,
        family,
        Buffer.concat([block, tlv(0x03, Buffer.alloc(4)), tlv(0x01, Buffer.from('h2'))]),
      )
      header.writeUInt32BE(crc32c(header), 16 + block.length + 3)
      return header
    }
    const right = withChecksum(0x21, 0x11, ipv4Block)
    expect(headerOf(parseProxyHeader(right))).toStrictEqual(ipv4Addresses)
    const checksumType = 16 + ipv4Block.length
    for (let at = 16; at < right.length; at++) {
      // Another type, and there is no checksum any more.
      if (at === checksumType) continue
      const damaged = Buffer.from(right)
      damaged[at] = (damaged[at] ?? 0) ^ 0x10
      expect(parseProxyHeader(damaged).kind, `byte ${at}`).toBe('wrong')
    }
    const local = withChecksum(0x20, 0x00, Buffer.alloc(0))
    expect(parseProxyHeader(local).kind).toBe('header')
    local[20] = (local[20] ?? 0) ^ 1
    expect(parseProxyHeader(local).kind).toBe('wrong')
    const twice = v2(0x21, 0x11, Buffer.concat([ipv4Block, tlv(3, Buffer.alloc(4)), tlv(3, Buffer.alloc(4))]))
    expect(parseProxyHeader(twice).kind).toBe('wrong')
    expect(parseProxyHeader(v2(0x21, 0x11, Buffer.concat([ipv4Block, tlv(3, Buffer.alloc(3))]))).kind).toBe(
      'wrong',
    )
  })

  it('has the CRC-32C of RFC 3720', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43)
    expect(crc32c(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))).toBe(0x46dd794e)
  })
})

const port = fc.integer({ min: 0, max: 65535 })
const endpoint = (address: fc.Arbitrary<string>) => fc.record({ address, port })
const samePair = (address: fc.Arbitrary<string>) => fc.tuple(endpoint(address), endpoint(address))
const version = fc.constantFrom('v1' as const, 'v2' as const)

describe('PROXY protocol, both versions', () => {
  it('reads what it has written, at every split, and leaves what follows alone', () => {
    fc.assert(
      fc.property(
        version,
        fc.oneof(samePair(fc.ipV4()), samePair(fc.ipV6())),
        fc.uint8Array({ maxLength: 20 }),
        (form, [source, destination], after) => {
          const header = serializeProxyHeader(form, source, destination)
          for (let split = 0; split < header.length; split++) {
            expect(parseProxyHeader(header.subarray(0, split)).kind, `at ${split}`).toBe('more')
          }
          const parsed = parseProxyHeader(Buffer.concat([header, after]))
          expect(parsed.kind === 'header' && parsed.length).toBe(header.length)
          const told = headerOf(parsed)
          assert(told.kind === 'addresses')
          // The same address may be written in several ways; what matters is that it comes out as it went in.
          expect(serializeProxyHeader('v2', told.source, told.destination)).toStrictEqual(
            serializeProxyHeader('v2', source, destination),
          )
        },
      ),
      { numRuns: 500 },
    )
  })

  it('writes one family: a client on IPv4 at a forward on IPv6, zones and mapped addresses', () => {
    const line = (source: string, destination: string) =>
      serializeProxyHeader('v1', { address: source, port: 1 }, { address: destination, port: 2 }).toString()
    expect(line('::ffff:192.0.2.1', '::ffff:192.0.2.2')).toBe('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n')
    expect(line('192.0.2.1', '2001:db8::2')).toBe('PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n')
    expect(line('fe80::1%eth0', 'fe80::2%eth0')).toBe('PROXY TCP6 fe80::1 fe80::2 1 2\r\n')
    expect(line('', '')).toBe('PROXY UNKNOWN\r\n')
    const mixed = serializeProxyHeader(
      'v2',
      { address: '192.0.2.1', port: 1 },
      { address: '2001:db8::2', port: 2 },
    )
    const told = headerOf(parseProxyHeader(mixed))
    expect(told.kind === 'addresses' && told.source.address).toBe('::ffff:192.0.2.1')
  })

  it('says of its own connections that they are its own', () => {
    expect(headerOf(parseProxyHeader(serializeOwnHeader('v1')))).toStrictEqual({ kind: 'unknown' })
    expect(headerOf(parseProxyHeader(serializeOwnHeader('v2')))).toStrictEqual({ kind: 'local' })
  })

  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((rest) => Buffer.concat([signature, rest])),
    fc.uint8Array({ maxLength: 120 }).map((rest) => Buffer.concat([Buffer.from('PROXY '), rest])),
    fc
      .tuple(fc.constantFrom('TCP4', 'TCP6', 'UNKNOWN'), fc.string({ maxLength: 90 }))
      .map(([protocol, rest]) => Buffer.from(`PROXY ${protocol} ${rest}\r\n`, 'latin1')),
    fc
      .tuple(
        fc.constantFrom(0x20, 0x21),
        fc.constantFrom(0, 0x11, 0x21, 0x31),
        fc.uint8Array({ maxLength: 240 }),
      )
      .map(([command, family, body]) => v2(command, family, Buffer.from(body))),
  )

  it('never throws, never takes back what it said, and asks for no more than the longest header', () => {
    fc.assert(
      fc.property(garbage, (noise) => {
        const bytes = Buffer.from(noise)
        let before: ProxyParse = { kind: 'more' }
        for (let length = 0; length <= bytes.length; length++) {
          const now = parseProxyHeader(bytes.subarray(0, length))
          if (before.kind !== 'more') expect(now.kind).toBe(before.kind)
          if (now.kind === 'header') expect(now.length <= Math.min(length, longestHeader)).toBeTruthy()
          before = now
        }
        const end = parseProxyHeader(Buffer.concat([bytes, Buffer.alloc(longestHeader)]))
        expect(end.kind).not.toBe('more')
      }),
      { numRuns: 2000 },
    )
  })

  it('accepts nothing that does not say what it says: a header that is taken is the one that would be written', () => {
    fc.assert(
      fc.property(garbage, (noise) => {
        const parsed = parseProxyHeader(Buffer.from(noise))
        if (parsed.kind !== 'header' || parsed.header.kind !== 'addresses') return
        const { source, destination } = parsed.header
        const again = parseProxyHeader(serializeProxyHeader('v1', source, destination))
        expect(again.kind).toBe('header')
      }),
      { numRuns: 2000 },
    )
  })
})
