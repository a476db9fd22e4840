import { isIPv4, SocketAddress } from 'node:net'
import { errorText } from '../os/failure.ts'
import { withoutZone } from '../os/interfaces.ts'
import { isIP, isIPv6 } from '../os/ip-address.ts'
import { absolutePath } from '../os/working-directory.ts'

/** What the reading of one value gave: the value, or in words what is wrong with it. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: string }

const good = <T>(value: T): Parsed<T> => ({ ok: true, value })
const bad = (problem: string): Parsed<never> => ({ ok: false, problem })

/**
 * The name of a forward. Names of records that are not such a name must not get into a shell: a shell puts what it completes into the
 * command line as it is.
 */
export const forwardName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** A TCP port, 1 to 65535. */
export function parsePort(text: string): Parsed<number> {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65535) {
    return bad(`"${text}" is not a port; a port is a whole number from 1 to 65535`)
  }
  return good(port)
}

/** A host name (RFC 1123), an IPv4 or an IPv6 address, the latter with or without square brackets. */
export function parseHost(text: string): Parsed<string> {
  if (text.includes('://'))
    return bad(`"${text}" is a URL; give the host alone, ${hostOfUrl(text) ?? 'localhost'}`)
  const host = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text
  if (isIP(withoutZone(host)) !== 0) return good(host)
  const label = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i
  const labels = host.replace(/\.$/, '').split('.')
  const isName = host.length <= 253 && labels.every((part) => label.test(part)) && !/^[\d.]+$/.test(host)
  return isName ? good(host) : bad(`"${text}" is not a host name or an IP address`)
}

function hostOfUrl(text: string): string | undefined {
  try {
    return new URL(text).hostname || undefined
  } catch {
    return undefined
  }
}

export interface HostAndPort {
  readonly host: string
  readonly port: number
}

/** `localhost:6274`, `[::1]:6274`. */
export function parseHostAndPort(text: string): Parsed<HostAndPort> {
  const colon = text.lastIndexOf(':')
  if (text.includes('://'))
    return bad(`"${text}" is a URL; give HOST:PORT, for example ${urlHostAndPort(text)}`)
  if (colon < 1) return bad(`"${text}" is not HOST:PORT, for example localhost:6274`)
  const hostText = text.slice(0, colon)
  if (isIPv6(hostText)) return bad(`"${text}" is ambiguous; write an IPv6 address in brackets, [::1]:6274`)
  const host = parseHost(hostText)
  if (!host.ok) return host
  const port = parsePort(text.slice(colon + 1))
  return port.ok ? good({ host: host.value, port: port.value }) : port
}

/** What a target on a Unix socket begins with; the rest is its path. */
const unixPrefix = 'unix:'

/** The path of a target written `unix:/run/app.sock`; undefined when it is a host. */
export function unixPath(host: string): string | undefined {
  return host.startsWith(unixPrefix) ? host.slice(unixPrefix.length) : undefined
}

/** What a target that is a program of the same configuration begins with; the rest is its name. */
const programPrefix = 'program:'

/**
 * The name in a target written `program:web`; undefined when it is a host. One that is all digits is a port of a host with this name: no program is
 * called so.
 */
export function targetProgram(host: string): string | undefined {
  const name = host.startsWith(programPrefix) ? host.slice(programPrefix.length) : undefined
  return name === undefined || /^\d*$/.test(name) ? undefined : name
}

/** `unix:/run/app.sock`, `program:web`, or a host as `parseHost` takes it. */
export function parseTargetHost(text: string): Parsed<string> {
  const program = targetProgram(text)
  if (program !== undefined) {
    return forwardName.test(program) ? good(text) : bad(`"${program}" is not the name of a program`)
  }
  const path = unixPath(text)
  if (path === undefined) {
    const two = twoWordsFor(text)
    if (two === undefined) return parseHost(text)
    return bad(`"${text}" is not a host; write host and port as two words: ${two}`)
  }
  const parsed = parseSocketPath(path)
  return parsed.ok ? good(unixPrefix + parsed.value) : parsed
}

/** What is meant by a host and a port in one word, a port alone, or a URL; undefined when it is none of them. */
function twoWordsFor(text: string): string | undefined {
  const together = parseTarget(text)
  if (together.ok) return `${together.value.host} ${together.value.port}`
  if (!URL.canParse(text)) return undefined
  const { protocol, hostname, port } = new URL(text)
  const usual = protocol === 'https:' ? 443 : 80
  return /^https?:$/.test(protocol) ? `${hostname} ${port || usual}` : undefined
}

/** `localhost:6274`, `[::1]:6274`, a port alone of localhost, or `unix:/run/app.sock` or `program:web`, whose port is 0. */
export function parseTarget(text: string): Parsed<HostAndPort> {
  if (/^\d+$/.test(text)) {
    const port = parsePort(text)
    return port.ok ? good({ host: 'localhost', port: port.value }) : port
  }
  if (unixPath(text) === undefined && targetProgram(text) === undefined) return parseHostAndPort(text)
  const host = parseTargetHost(text)
  return host.ok ? good({ host: host.value, port: 0 }) : host
}

/** Longest path of a Unix socket in bytes: sun_path of unix(7) without its final zero; macOS has four less. */
const longestSocketPath = 103

/** The absolute path of a Unix socket. */
export function parseSocketPath(text: string): Parsed<string> {
  if (!text.startsWith('/') || text.endsWith('/') || text.includes('\0')) {
    return bad(`"${text}" is not the absolute path of a Unix socket, such as /run/app.sock`)
  }
  if (Buffer.byteLength(text) > longestSocketPath) {
    return bad(`"${text}" is too long for a Unix socket: at most ${longestSocketPath} bytes`)
  }
  return good(text)
}

/** Permissions in octal, `0600` to `0777`, as chmod(1) takes them. */
export function parseMode(text: string): Parsed<string> {
  return /^0?[0-7]{3}$/.test(text) ? good(text) : bad(`"${text}" is not a mode; write 0600 or 0660`)
}

/** The address of a DNS server, `10.0.0.2`, `10.0.0.2:8600` or `[fd00::2]:53`. */
export function parseServer(text: string): Parsed<string> {
  if (isIP(text) !== 0) return good(isIPv6(text) ? `[${text}]:53` : text)
  const parsed = parseHostAndPort(text)
  if (!parsed.ok || isIP(parsed.value.host) === 0) {
    return bad(`"${text}" is not a DNS server; write its IP address, with :PORT when that is not 53`)
  }
  return good(text)
}

/** Where an HTTP server listens: an IP address of this machine, or localhost, and a port. */
export function parseHttpPlace(text: string): Parsed<string> {
  const parsed = parseHostAndPort(text)
  if (!parsed.ok) return parsed
  const { host } = parsed.value
  if (host === 'localhost' || isIP(host) !== 0) return good(text)
  return bad(`"${text}" does not begin with an address of this machine, as 127.0.0.1:9090 does`)
}

/** A file, or `-` for standard output. */
export function parseOutput(text: string): Parsed<string> {
  return text === '' || text.includes('\0')
    ? bad(`"${text}" is not a file; "-" is standard output`)
    : good(text)
}

function urlHostAndPort(text: string): string {
  return `${hostOfUrl(text) ?? 'localhost'}:6274`
}

/** An address to bind: an IP address of this machine, or 0.0.0.0 (all IPv4), or :: (all, IPv4 included). */
export function parseBindAddress(text: string): Parsed<string> {
  const address = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text
  if (address === 'localhost') return good('127.0.0.1')
  if (isIP(withoutZone(address)) === 0) {
    return bad(`"${text}" is not an IP address; write one of this machine, 0.0.0.0 or ::`)
  }
  return good(address)
}

/** The kind of a gate; there is one. */
export function parseGate(text: string): Parsed<string> {
  return text === 'token' ? good(text) : bad(`unknown gate "${text}"; the only kind is "token"`)
}

/** Any path. */
export function parsePath(text: string): Parsed<string> {
  if (text === '' || text.includes('\0')) return bad('a path is wanted')
  try {
    return good(absolutePath(text))
  } catch (error) {
    return bad(errorText(error))
  }
}

/**
 * A source network: CIDR (`10.0.0.0/8`, `fd00::/8`), one address, or the words `private` and `any`. IPv4 addresses written as IPv6 ones
 * (`::ffff:10.0.0.0/104`) give the IPv4 network, because the kernel reports such sources as IPv4.
 */
export function parseNetwork(text: string): Parsed<string> {
  if (text === 'any' || text === 'private') return good(text)
  const [address = '', prefix, ...rest] = text.split('/')
  if (isIPv6(address) && address.includes('%')) {
    return bad(`"${text}" names an interface; a network has no zone: write ${withoutZone(text)}/64`)
  }
  const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : 0
  const length = prefix === undefined ? bits : Number(prefix)
  const isLength = prefix === undefined || /^\d{1,3}$/.test(prefix)
  if (bits === 0 || rest.length > 0 || !isLength || length > bits) {
    return bad(`"${text}" is not a network; write 192.168.1.0/24, fd00::/8, one address, "private" or "any"`)
  }
  const mapped = bits === 128 ? mappedIPv4(address) : undefined
  if (mapped === undefined) return good(`${address}/${length}`)
  if (length < 96)
    return bad(`"${text}" holds more than IPv4 addresses; write the IPv4 network, ${mapped}/8 for example`)
  return good(`${mapped}/${length - 96}`)
}

/** The IPv4 address inside an IPv4-mapped IPv6 one, however it is written. */
function mappedIPv4(address: string): string | undefined {
  const { address: canonical } = new SocketAddress({ address, family: 'ipv6' })
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(canonical)?.[1]
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

/** Longest duration in ms: Node's timers hold 31 bits. */
const longestDurationMs = 0x7fff_ffff

/** A length of time in ms: `250ms`, `5s`, `2m`, `1h`; a bare number counts seconds, as in systemd.time(7). */
export function parseDuration(text: string): Parsed<number> {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text)
  const unit = (match?.[2] ?? 's') as keyof typeof unitMs
  const ms = match === null ? Number.NaN : Math.round(Number(match[1]) * unitMs[unit])
  if (!Number.isFinite(ms) || ms > longestDurationMs) {
    return bad(`"${text}" is not a duration; write 250ms, 5s, 2m or 1h (0 = off, at most 24 days)`)
  }
  return good(ms)
}

const unitBytes = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 } as const

/** An amount of memory in bytes: `64M`, `1.5G`, to the base 1024 as in systemd.resource-control(5); 0 = off. */
export function parseMemory(text: string): Parsed<number> {
  if (text === '0') return good(0)
  const match = /^(\d{1,7}(?:\.\d{1,3})?)([KMGT])$/.exec(text)
  if (match === null) return bad(`"${text}" is not an amount of memory; write 512K, 256M or 1G (0 = off)`)
  return good(Math.round(Number(match[1]) * unitBytes[match[2] as keyof typeof unitBytes]))
}

/** A share of one CPU core in per cent: `50%`; `200%` are two whole cores; 0 = off. */
export function parseCpuShare(text: string): Parsed<number> {
  if (text === '0') return good(0)
  const match = /^(\d{1,6}(?:\.\d{1,3})?)%$/.exec(text)
  if (match === null) {
    return bad(`"${text}" is not a share of a CPU core; write 50%, or 200% for two cores (0 = off)`)
  }
  return good(Number(match[1]))
}

/** A whole number from 0. */
export function parseCount(text: string): Parsed<number> {
  const count = Number(text)
  if (!/^\d{1,9}$/.test(text)) return bad(`"${text}" is not a whole number`)
  return good(count)
}

/** Makes a parser of whole numbers within a range. */
export function countParser(least: number, most: number): (text: string) => Parsed<number> {
  return (text) => {
    const parsed = parseCount(text)
    if (!parsed.ok || (parsed.value >= least && parsed.value <= most)) return parsed
    return bad(`${text} is not within ${least} to ${most}`)
  }
}

/** A version of the PROXY protocol. */
export function parseProxyVersion(text: string): Parsed<string> {
  return text === 'v1' || text === 'v2' ? good(text) : bad(`"${text}" is not a version; write v1 or v2`)
}

/** Protocols for ALPN (RFC 7301), `h2` or `h2,http/1.1`; each of 1 to 255 visible characters. */
export function parseAlpn(text: string): Parsed<string> {
  const isName = (name: string) => /^[!-~]{1,255}$/.test(name)
  if (text.split(',').every(isName)) return good(text)
  return bad(`"${text}" is no list of protocols; write h2,http/1.1`)
}

/** The single names in values of {@link parseAlpn}. */
export function alpnNames(values: readonly string[]): readonly string[] {
  return values.flatMap((value) => value.split(','))
}
