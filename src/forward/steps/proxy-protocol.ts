import { isIP, isIPv4, isIPv6, SocketAddress } from 'node:net'
import { unmapped, withoutZone } from '../../os/interfaces.ts'
import { crc32c } from './proxy-protocol-checksum.ts'

/**
 * The PROXY protocol, versions 1 and 2, as HAProxy's proxy-protocol.txt lays it down: a header before the first byte, by which one
 * forwarder tells the next who its client is. Section numbers below are that document's. Pure: bytes in, facts out.
 */
export type ProxyVersion = 'v1' | 'v2'

export interface ProxyAddress {
  /** IPv4 or IPv6, without a zone. */
  readonly address: string
  readonly port: number
}

/**
 * - `addresses`: the client, and the address that it connected to.
 * - `local`: the proxy speaks for itself, a health check for example; the connection's own addresses hold.
 * - `unknown`: the proxy does not know, or its client came over something that has no IP address, such as a Unix socket. The
 *   connection's own addresses hold (2.1, 2.2).
 */
export type ProxyHeader =
  | { readonly kind: 'addresses'; readonly source: ProxyAddress; readonly destination: ProxyAddress }
  | { readonly kind: 'local' }
  | { readonly kind: 'unknown' }

export type ProxyParse =
  /** `length` bytes are the header; what follows belongs to whoever comes next. */
  | { readonly kind: 'header'; readonly header: ProxyHeader; readonly length: number }
  /** So far it is a header's beginning. */
  | { readonly kind: 'more' }
  /** It is no header and will never be one; `problem` says why in words, without a byte of what was sent. */
  | { readonly kind: 'wrong'; readonly problem: string }

/** The longest line of version 1, its CRLF included (2.1). */
const longestLine = 107

/** The fixed part of version 2 (2.2). */
const fixedLength = 16

/**
 * Bytes of a header of version 2 at most, its fixed part included. The format allows 65,551; HAProxy itself takes no more than a
 * buffer, 16 KiB by default.
 */
export const longestHeader = 16_384

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const linePrefix = Buffer.from('PROXY ', 'latin1')

/** Reads a header from everything that has come so far. Asked again with more bytes, it never contradicts itself. */
export function parseProxyHeader(bytes: Buffer): ProxyParse {
  if (isBeginningOf(bytes, signature)) return parseBinary(bytes)
  if (isBeginningOf(bytes, linePrefix)) return parseLine(bytes)
  return wrong('it does not begin with a PROXY header')
}

/** True when the bytes begin with `expected`, or are the beginning of it. */
function isBeginningOf(bytes: Buffer, expected: Buffer): boolean {
  const length = Math.min(bytes.length, expected.length)
  return bytes.compare(expected, 0, length, 0, length) === 0
}

const more: ProxyParse = { kind: 'more' }
const wrong = (problem: string): ProxyParse => ({ kind: 'wrong', problem })

// Version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"

function parseLine(bytes: Buffer): ProxyParse {
  const end = bytes.indexOf('\r\n')
  const text = bytes.toString('latin1', 0, end < 0 ? Math.min(bytes.length, longestLine) : end)
  const length = end + 2
  if (end < 0 ? bytes.length >= longestLine : length > longestLine) {
    return wrong(`its PROXY line is longer than ${longestLine} bytes`)
  }
  // A CR at the very end may still become the line's end.
  if (!/^[\x20-\x7e]*$/.test(end < 0 ? text.replace(/\r$/, '') : text)) {
    return wrong('its PROXY line holds something else than printable ASCII')
  }
  if (!protocols.some((name) => name.startsWith(text.slice(6)) || isProtocol(text, name))) {
    return wrong('its PROXY line names another protocol than TCP4, TCP6 or UNKNOWN')
  }
  if (end < 0) return more
  const header = lineHeader(text.slice(linePrefix.length))
  return header === undefined
    ? wrong('its PROXY line does not hold two addresses and two ports')
    : { kind: 'header', header, length }
}

const protocols = ['TCP4', 'TCP6', 'UNKNOWN'] as const

function isProtocol(text: string, name: string): boolean {
  const rest = text.slice(linePrefix.length)
  return rest.startsWith(`${name} `) || rest === name || rest === `${name}\r`
}

function lineHeader(text: string): ProxyHeader | undefined {
  // Whatever stands behind UNKNOWN is to be ignored (2.1).
  if (text === 'UNKNOWN' || text.startsWith('UNKNOWN ')) return { kind: 'unknown' }
  const [protocol, from = '', to = '', fromPort = '', toPort = '', ...rest] = text.split(' ')
  const isAddress = protocol === 'TCP4' ? isIPv4 : isPlainIPv6
  if (rest.length > 0 || !isAddress(from) || !isAddress(to)) return undefined
  const source = { address: from, port: linePort(fromPort) }
  const destination = { address: to, port: linePort(toPort) }
  if (Number.isNaN(source.port) || Number.isNaN(destination.port)) return undefined
  return { kind: 'addresses', source, destination }
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%')
}

/** NaN for anything but 0 to 65535 without a leading zero. */
function linePort(text: string): number {
  const port = /^(0|[1-9]\d{0,4})$/.test(text) ? Number(text) : Number.NaN
  return port <= 65535 ? port : Number.NaN
}

// Version 2: signature, version and command, family and protocol, length; addresses; TLVs.

/** Bytes of the address block by address family, the upper half of byte 13. */
const addressLengths = { unspecified: 0, ipv4: 12, ipv6: 36, unix: 216 } as const
type Family = keyof typeof addressLengths

/** Byte 13. Every other value "must be rejected as invalid by receivers" (2.2). */
const families: Readonly<Record<number, Family>> = {
  0: 'unspecified',
  17: 'ipv4',
  18: 'ipv4',
  33: 'ipv6',
  34: 'ipv6',
  49: 'unix',
  50: 'unix',
}

function parseBinary(bytes: Buffer): ProxyParse {
  const versionAndCommand = bytes[12]
  if (versionAndCommand === undefined) return more
  if (versionAndCommand >> 4 !== 2) return wrong('its PROXY header has a version other than 2')
  const command = versionAndCommand & 0x0f
  if (command > 1) return wrong('its PROXY header has an unknown command')
  const isLocal = command === 0
  const familyByte = bytes[13]
  if (familyByte === undefined) return more
  const family = families[familyByte]
  // The family of LOCAL is to be ignored, whatever it is (2.2).
  if (family === undefined && !isLocal) return wrong('its PROXY header has an unknown address family')
  if (bytes.length < fixedLength) return more
  const length = fixedLength + bytes.readUInt16BE(14)
  if (length > longestHeader) return wrong(`its PROXY header is longer than ${longestHeader} bytes`)
  if (family !== undefined && !isLocal && length < fixedLength + addressLengths[family]) {
    return wrong('its PROXY header is too short for its addresses')
  }
  if (bytes.length < length) return more
  const problem = binaryProblem(bytes.subarray(0, length), family, isLocal)
  if (problem !== undefined) return wrong(problem)
  return {
    kind: 'header',
    header: isLocal ? { kind: 'local' } : binaryHeader(bytes, family ?? 'unspecified'),
    length,
  }
}

/** What is wrong with the TLVs behind the addresses of a whole header, in words. */
function binaryProblem(header: Buffer, family: Family | undefined, isLocal: boolean): string | undefined {
  // Where the TLVs of a LOCAL begin can only be told without a family: its block is not to be read.
  if (isLocal && family !== 'unspecified') return undefined
  return tlvProblem(header, fixedLength + addressLengths[family ?? 'unspecified'])
}

function binaryHeader(bytes: Buffer, family: Family): ProxyHeader {
  switch (family) {
    case 'ipv4':
      return addressesOf(bytes, 4)
    case 'ipv6':
      return addressesOf(bytes, 16)
    case 'unspecified':
    case 'unix':
      return { kind: 'unknown' }
  }
}

/** Source address, destination address, source port, destination port. */
function addressesOf(bytes: Buffer, size: 4 | 16): ProxyHeader {
  const at = fixedLength
  const ports = at + 2 * size
  const source = { address: addressText(bytes.subarray(at, at + size)), port: bytes.readUInt16BE(ports) }
  const destination = {
    address: addressText(bytes.subarray(at + size, ports)),
    port: bytes.readUInt16BE(ports + 2),
  }
  return { kind: 'addresses', source, destination }
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(2 * group).toString(16))
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address
}

/** PP2_TYPE_CRC32C (2.2.3). Every other type is something that we have no use for. */
const checksumType = 0x03
const tlvHeaderLength = 3

function tlvProblem(header: Buffer, begin: number): string | undefined {
  let checksumAt: number | undefined
  for (let at = begin; at < header.length; ) {
    if (at + tlvHeaderLength > header.length) return 'its PROXY header ends within a TLV'
    const length = header.readUInt16BE(at + 1)
    const valueAt = at + tlvHeaderLength
    if (valueAt + length > header.length) return 'its PROXY header ends within a TLV'
    if (header[at] === checksumType) {
      if (length !== 4 || checksumAt !== undefined) return 'its PROXY header has a malformed checksum'
      checksumAt = valueAt
    }
    at = valueAt + length
  }
  if (checksumAt === undefined) return undefined
  return isChecksumRight(header, checksumAt) ? undefined : 'the checksum of its PROXY header is wrong'
}

/** The checksum is over the whole header with zeros in its own place. */
function isChecksumRight(header: Buffer, at: number): boolean {
  const zeroed = Buffer.from(header)
  zeroed.writeUInt32BE(0, at)
  return crc32c(zeroed) === header.readUInt32BE(at)
}

// Writing.

/** The header of a connection from `source` to `destination`; both IPv6 when one of them is. */
export function serializeProxyHeader(
  version: ProxyVersion,
  source: ProxyAddress,
  destination: ProxyAddress,
): Buffer {
  const from = withoutZone(unmapped(source.address))
  const to = withoutZone(unmapped(destination.address))
  if (isIP(from) === 0 || isIP(to) === 0) return unknownHeader(version)
  const family = isIPv4(from) && isIPv4(to) ? 'ipv4' : 'ipv6'
  switch (version) {
    case 'v1': {
      const [first, second] = [from, to].map((address) => inFamily(address, family))
      const protocol = family === 'ipv4' ? 'TCP4' : 'TCP6'
      return Buffer.from(
        `PROXY ${protocol} ${first} ${second} ${source.port} ${destination.port}\r\n`,
        'latin1',
      )
    }
    case 'v2': {
      const ports = Buffer.alloc(4)
      ports.writeUInt16BE(source.port, 0)
      ports.writeUInt16BE(destination.port, 2)
      return binary(family, [...[from, to].map((address) => addressBytes(inFamily(address, family))), ports])
    }
  }
}

/** The header of a connection that the proxy makes for itself, a health check (2.2); version 1 has no word for that. */
export function serializeOwnHeader(version: ProxyVersion): Buffer {
  if (version === 'v1') return unknownHeader(version)
  const header = unknownHeader(version)
  header[12] = 0x20
  return header
}

/** For a client without an IP address. */
function unknownHeader(version: ProxyVersion): Buffer {
  return version === 'v1' ? Buffer.from('PROXY UNKNOWN\r\n', 'latin1') : binary('unspecified', [])
}

function binary(family: 'ipv4' | 'ipv6' | 'unspecified', parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const rest = Buffer.from([0x21, { ipv4: 0x11, ipv6: 0x21, unspecified: 0x00 }[family], 0, body.length])
  return Buffer.concat([signature, rest, body])
}

function inFamily(address: string, family: 'ipv4' | 'ipv6'): string {
  return family === 'ipv6' && isIPv4(address) ? `::ffff:${address}` : address
}

function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  // The last 32 bits may be written as an IPv4 address (RFC 4291 section 2.2).
  const hexadecimal = address.replace(/[\d.]+\.\d+$/, (quad) => {
    const bytes = Buffer.from(quad.split('.').map(Number))
    return `${bytes.readUInt16BE(0).toString(16)}:${bytes.readUInt16BE(2).toString(16)}`
  })
  const [head = '', tail] = hexadecimal.split('::')
  const groupsOf = (text: string | undefined) => (text ? text.split(':') : [])
  const [left, right] = [groupsOf(head), groupsOf(tail)]
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  return Buffer.from([...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex')
}
