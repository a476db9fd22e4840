/**
 * config/: what can be set, its defaults, and reading it from command line and file.
 *
 *   file -> load.ts (YAML, variables) -> schema.ts (zod) -> references.ts, conflicts.ts (the whole) -> `Configuration`
 *   words of a command -> values.ts (one value each) -> the same option
 *
 * An option of a forward is a row of the table below and its group (option-groups.ts); any other key is a line of schema.ts. Then run `npm
 * run schema`.
 */
import type { ForwardOptions, TunableOptions } from './forward-options.ts'
import {
  countParser,
  type Parsed,
  parseAlpn,
  parseBindAddress,
  parseCount,
  parseDuration,
  parseGate,
  parseHost,
  parseHttpPlace,
  parseMode,
  parseNetwork,
  parseOutput,
  parsePath,
  parseProxyVersion,
  parseServer,
  parseSocketPath,
  parseTarget,
  unixPath,
} from './values.ts'

/**
 * How one option is written. Command line, configuration file and the words by which the monitor starts a forwarder are all made
 * from this table, so that an option is defined once.
 */
export type OptionSpecification<Value> = {
  readonly default: Value
  /** For `--help` and for editors. */
  readonly help: string
  /** Its name in a file and, as a flag, on the command line, where that is not the property's. */
  readonly key?: string
} & (
  | { readonly kind: 'duration' }
  | {
      readonly kind: 'count'
      /** The least and the greatest that is taken; any number from 0 when it does not say. */
      readonly range?: readonly [least: number, most: number]
    }
  /** True when it is given. */
  | { readonly kind: 'flag' }
  | {
      /** `text` is given once, and empty when it is not given; `list` may be given often. */
      readonly kind: 'text' | 'list'
      readonly placeholder: string
      readonly parse: (text: string) => Parsed<string>
    }
)

export const tunableOptions: {
  readonly [Key in keyof TunableOptions]: OptionSpecification<TunableOptions[Key]>
} = {
  furtherTargets: {
    kind: 'list',
    key: 'target',
    placeholder: 'HOST:PORT',
    parse: parsed(parseTarget),
    default: [],
    help: 'further targets, tried in order when the ones before fail',
  },
  bind: {
    kind: 'list',
    placeholder: 'ADDRESS',
    parse: parseBindAddress,
    default: [],
    help:
      'addresses to listen on (default: all IPv4 addresses; every address but loopback when the target is loopback on ' +
      'the same port)',
  },
  listenUnix: {
    kind: 'list',
    placeholder: 'PATH',
    parse: parseSocketPath,
    default: [],
    help: 'also listen on these Unix sockets; their mode decides who may connect',
  },
  listenUnixMode: {
    kind: 'text',
    placeholder: 'MODE',
    parse: parseMode,
    default: '0600',
    help: 'permissions of those sockets (default: 0600)',
  },
  allow: {
    kind: 'list',
    placeholder: 'NETWORK',
    parse: parseNetwork,
    default: [],
    help: 'source networks to admit: CIDRs, "private" or "any"; this machine is always admitted (default: private, which given networks replace)',
  },
  gate: {
    kind: 'text',
    placeholder: 'token',
    parse: parseGate,
    default: '',
    help: 'require a login in front of an HTTP target; "token" is the only kind (default: none)',
  },
  gateHost: {
    kind: 'list',
    placeholder: 'NAME',
    parse: parseHost,
    default: [],
    help: 'host names by which visitors may open the gate and --metrics; IP addresses and localhost always work',
  },
  gateTokenFile: {
    kind: 'text',
    placeholder: 'FILE',
    parse: parsePath,
    default: '',
    help: 'file with the token of the gate (default: gate_token in the state directory, created at the first start)',
  },
  gateSessionMs: {
    kind: 'duration',
    default: 12 * 3_600_000,
    help: 'how long a login is valid (default: 12h)',
  },
  maxConnections: {
    kind: 'count',
    default: 0,
    help: 'connections open at once (default: as many as the file-descriptor limit allows)',
  },
  maxConnectionsPerSource: {
    kind: 'count',
    default: 0,
    help: 'connections open at once from one IPv4 address or IPv6 /64 (default: no limit)',
  },
  maxRatePerSource: {
    kind: 'count',
    default: 0,
    help: 'new connections a second from one IPv4 address or IPv6 /64 (default: no limit)',
  },
  connectTimeoutMs: {
    kind: 'duration',
    default: 5_000,
    help: 'time allowed for connecting to the target (default: 5s; 0 = no limit)',
  },
  dialRetryMs: {
    kind: 'duration',
    default: 5_000,
    help: 'keep retrying a target that refuses for this long, so that a short restart goes unnoticed (default: 5s; 0 = never retry)',
  },
  resolver: {
    kind: 'list',
    placeholder: 'SERVER',
    parse: parseServer,
    default: [],
    help: 'DNS servers to ask, IP or IP:PORT (default: those of the system)',
  },
  firstByteTimeoutMs: {
    kind: 'duration',
    default: 0,
    help: 'wait this long for the first byte from the client, and connect to the target only then (default: off)',
  },
  idleTimeoutMs: {
    kind: 'duration',
    default: 0,
    help: 'end a connection after this long without a byte in either direction (default: off)',
  },
  halfCloseTimeoutMs: {
    kind: 'duration',
    default: 60_000,
    help: 'end a connection after this long without a byte once one side has finished (default: 60s; 0 = off)',
  },
  maxLifeMs: {
    kind: 'duration',
    default: 0,
    help: 'end a connection after this long, plus or minus a tenth (default: off)',
  },
  drainMs: {
    kind: 'duration',
    default: 10_000,
    help: 'let connections finish for this long after SIGTERM or SIGINT (default: 10s)',
  },
  targetCheckMs: {
    kind: 'duration',
    default: 10_000,
    help:
      'check a target that nobody uses this often: on this machine without a connection, on another one only until it ' +
      'answers (default: 10s; 0 = never)',
  },
  accessLog: {
    kind: 'text',
    placeholder: 'FILE',
    parse: parseOutput,
    default: '',
    help: 'write one line of JSON for each connection that has ended; "-" is standard output (default: off)',
  },
  sendProxy: {
    kind: 'text',
    placeholder: 'VERSION',
    parse: parseProxyVersion,
    default: '',
    help: 'send a PROXY header, v1 or v2, so that the target sees the client’s address (default: off)',
  },
  acceptProxy: {
    kind: 'list',
    placeholder: 'NETWORK',
    parse: parseNetwork,
    default: [],
    help: 'expect a PROXY header from these networks and refuse all other sources; the header’s source counts as the client (default: off)',
  },
  proxyHeaderTimeoutMs: {
    kind: 'duration',
    default: 5_000,
    help: 'time allowed for a complete PROXY header (default: 5s; 0 = no limit)',
  },
  tlsCert: {
    kind: 'text',
    placeholder: 'FILE',
    parse: parsePath,
    default: '',
    help: 'speak TLS with clients: certificate chain in PEM, read again when it changes (default: plain TCP)',
  },
  tlsKey: {
    kind: 'text',
    placeholder: 'FILE',
    parse: parsePath,
    default: '',
    help: 'private key of --tls-cert, in PEM',
  },
  tlsSelfSigned: {
    kind: 'flag',
    default: false,
    help: 'speak TLS with clients, with a certificate created for this machine and kept in the state directory',
  },
  tlsClientCa: {
    kind: 'text',
    placeholder: 'FILE',
    parse: parsePath,
    default: '',
    help: 'admit only clients with a certificate signed by one of these CAs, in PEM (default: no client certificate)',
  },
  tlsAlpn: {
    kind: 'list',
    placeholder: 'PROTOCOL',
    parse: parseAlpn,
    default: [],
    help: 'protocols to offer TLS clients by ALPN, e.g. h2,http/1.1 (default: what the target chooses when it speaks TLS too)',
  },
  tlsHandshakeTimeoutMs: {
    kind: 'duration',
    default: 10_000,
    help: 'time allowed for a TLS handshake (default: 10s; 0 = no limit)',
  },
  targetTls: {
    kind: 'flag',
    default: false,
    help: 'speak TLS with the target and verify its certificate (default: plain TCP)',
  },
  targetTlsCa: {
    kind: 'text',
    placeholder: 'FILE',
    parse: parsePath,
    default: '',
    help: 'CA certificates in PEM to verify the target against (default: those that Node trusts)',
  },
  targetTlsName: {
    kind: 'text',
    placeholder: 'NAME',
    parse: parseHost,
    default: '',
    help: 'server name to request (SNI) and to expect in the target’s certificate (default: TARGET_HOST)',
  },
  targetTlsInsecure: {
    kind: 'flag',
    default: false,
    help: 'do not verify the target’s certificate: anybody on the network path can then read and change the traffic',
  },
  targetAlpn: {
    kind: 'list',
    placeholder: 'PROTOCOL',
    parse: parseAlpn,
    default: [],
    help: 'protocols to offer a TLS target by ALPN, e.g. h2 for gRPC (default: what a TLS client offers)',
  },
  inspector: {
    kind: 'flag',
    default: false,
    help: 'look whether an MCP Inspector answers on the target and what it lets visitors do; ports 6274, 6275 and 6277 are always looked at',
  },
  metrics: {
    kind: 'text',
    placeholder: 'ADDRESS:PORT',
    parse: parseHttpPlace,
    default: '',
    help: 'serve /metrics for Prometheus, and /healthz, /livez and /readyz, at this address (default: off)',
  },
  workers: {
    kind: 'count',
    range: [1, 64],
    default: 1,
    help: 'number of processes that serve the forward, 1 to 64; use no more than there are idle cores (default: 1)',
  },
}

/** Checks a text and keeps it as it was written. */
function parsed(parse: (text: string) => Parsed<unknown>): (text: string) => Parsed<string> {
  return (text) => {
    const result = parse(text)
    return result.ok ? { ok: true, value: text } : result
  }
}

const optionNames = Object.keys(tunableOptions) as (keyof TunableOptions)[]

/** Every option that may be left out, with its key in a configuration file and its flag on the command line. */
export const optionList: readonly {
  readonly name: keyof TunableOptions
  readonly key: string
  readonly flag: string
  readonly specification: OptionSpecification<unknown>
}[] = optionNames.map((name) => {
  const key = tunableOptions[name].key ?? name.replace(/Ms$/, '')
  const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  return { name, key, flag, specification: tunableOptions[name] }
})

const optionsByName = new Map(optionList.map((option) => [option.name, option]))

/** What an option is called on the command line. */
export function flagOf(name: keyof TunableOptions): string {
  return optionsByName.get(name)?.flag ?? name
}

/** What an option is called in a configuration file. */
export function keyOf(name: keyof TunableOptions): string {
  return optionsByName.get(name)?.key ?? name
}

/**
 * Fills in what was left out.
 * @param given values by key (`connectTimeout`), already parsed: times in ms.
 */
export function withDefaults(
  place: Pick<ForwardOptions, 'listenPort' | 'targetHost' | 'targetPort'>,
  given: Readonly<Record<string, unknown>>,
): ForwardOptions {
  const options: Record<string, unknown> = { ...place }
  for (const { name, key, specification } of optionList) options[name] = given[key] ?? specification.default
  return options as unknown as ForwardOptions
}

/** The words of `tcp-proxy` that give exactly these options. */
export function optionWords(options: ForwardOptions): string[] {
  const words = [String(options.listenPort), options.targetHost]
  if (unixPath(options.targetHost) === undefined) words.push(String(options.targetPort))
  for (const { name, flag, specification } of optionList) {
    const value = options[name]
    if (Array.isArray(value)) {
      if (value.length > 0) words.push(flag, ...value)
    } else if (value === true) {
      words.push(flag)
    } else if (value !== '' && value !== false) {
      words.push(flag, specification.kind === 'duration' ? `${value}ms` : String(value))
    }
  }
  return words
}

/** The parser of a single value of an option that takes one. */
export function parserOf(
  specification: Exclude<OptionSpecification<unknown>, { kind: 'flag' }>,
): (text: string) => Parsed<string | number> {
  switch (specification.kind) {
    case 'duration':
      return parseDuration
    case 'count':
      return specification.range === undefined ? parseCount : countParser(...specification.range)
    case 'text':
    case 'list':
      return specification.parse
  }
}
