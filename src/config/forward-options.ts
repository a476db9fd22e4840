import {
  countParser,
  type HostAndPort,
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

/** The variable that brings the gate a token of one's own. Only gated forwarders get it. */
export const gateTokenVariable = 'PORT_WATCHDOG_GATE_TOKEN'

/** The variable that chooses how a forwarder relays: `stream` or `bare`; see `forward/relay/libuv.ts`. */
export const relayVariable = 'PORT_WATCHDOG_RELAY'

/** Everything that describes one forward. Times in ms; what zero means stands at each. */
export interface ForwardOptions {
  /** TCP port to listen on, 1 to 65535. It names the forward's files in the state directory. */
  readonly listenPort: number
  /**
   * Host name or IP address to connect to, or `unix:/path`. `localhost` means 127.0.0.1 and ::1, without asking a resolver.
   */
  readonly targetHost: string
  /** 0 for a Unix socket. */
  readonly targetPort: number
  /** More targets, `HOST:PORT` or `unix:/path`, tried in order when the ones before cannot be reached. */
  readonly furtherTargets: readonly string[]
  /** Addresses to bind. Empty = all IPv4 addresses, or, under the same-port rule, every non-loopback address. */
  readonly bind: readonly string[]
  /** Paths of Unix sockets to listen on as well. Who may connect is a matter of their mode, not of `allow`. */
  readonly listenUnix: readonly string[]
  /** Permissions of those sockets, in octal. */
  readonly listenUnixMode: string
  /** Source networks admitted: CIDRs, `private`, `any`. Empty = `private`. The machine itself is always admitted. */
  readonly allow: readonly string[]
  /** `token`: who comes must log in before anything reaches the target, which must speak HTTP. Empty = no gate. */
  readonly gate: string
  /** Names, beside addresses and localhost, by which visitors of the gate may call this host. */
  readonly gateHost: readonly string[]
  /** File with the gate's token. Empty = one is made in the state directory. */
  readonly gateTokenFile: string
  /** How long a login holds. */
  readonly gateSessionMs: number
  /** Connections open at once. 0 = as many as the descriptor limit allows, two descriptors a connection. */
  readonly maxConnections: number
  /** Connections open at once from one source, which is an IPv4 address or an IPv6 /64. 0 = no limit. */
  readonly maxConnectionsPerSource: number
  /** New connections a second from one source, as many at once as come in a second. 0 = no limit. */
  readonly maxRatePerSource: number
  /** Until the target must have accepted, over all its addresses. 0 = as long as the kernel tries. */
  readonly connectTimeoutMs: number
  /**
   * How long after its first failure a target that refuses is dialled again (50 to 500 ms apart) while the client waits, so that
   * nobody notices its restart; a target that is down for longer fails at once. 0 = never dialled again.
   */
  readonly dialRetryMs: number
  /** DNS servers to ask instead of the system's resolver. Empty = the system's, with /etc/hosts. */
  readonly resolver: readonly string[]
  /** Until the client must have sent a byte; the target is dialled only then. 0 = dialled at once. */
  readonly firstByteTimeoutMs: number
  /** Without a byte either way before a connection is ended. 0 = never: event streams are silent for hours. */
  readonly idleTimeoutMs: number
  /** Without a byte after one side has sent its FIN before the pair is ended. 0 = never. */
  readonly halfCloseTimeoutMs: number
  /** How long a connection may live, whatever it does, give or take a tenth so that they do not end all at once. 0 = for ever. */
  readonly maxLifeMs: number
  /** How long connections may go on after SIGTERM before they are reset. 0 = not at all. */
  readonly drainMs: number
  /**
   * How often a target that nobody uses is looked for. One on this machine is found in the kernel's table of listening sockets; nobody
   * connects to it. One on another machine is connected to at the start, and again only while it does not answer. 0 = never.
   */
  readonly targetCheckMs: number
  /** Where one line of JSON is written for each connection that ended: a file, rotated, or `-`. Empty = nowhere. */
  readonly accessLog: string
  /** `v1` or `v2`: the target is told who the client is by a PROXY header of that version. Empty = it is not. */
  readonly sendProxy: string
  /**
   * Networks whose connections begin with a PROXY header, which is then believed. When there is one, every connection must
   * come from there and begin with a header: any other source is refused, whatever it sends. Empty = no header is expected.
   */
  readonly acceptProxy: readonly string[]
  /** Until that header must be whole. 0 = as long as it takes. */
  readonly proxyHeaderTimeoutMs: number
  /** Certificate chain in PEM, the server's own first. With one, clients must speak TLS. Empty = plain TCP. */
  readonly tlsCert: string
  /** The private key of that certificate, in PEM. */
  readonly tlsKey: string
  /** Make a certificate for this machine's names and addresses, and keep it in the state directory. */
  readonly tlsSelfSigned: boolean
  /** Certificates in PEM: a client must show a certificate that one of them has signed. Empty = no client is asked. */
  readonly tlsClientCa: string
  /** Protocols offered to TLS clients by ALPN. Empty = with TLS on both sides what the target chooses, otherwise none. */
  readonly tlsAlpn: readonly string[]
  /** Until a TLS handshake must be done, on either side. 0 = as long as it takes. */
  readonly tlsHandshakeTimeoutMs: number
  /** Speak TLS with the target and verify its certificate. */
  readonly targetTls: boolean
  /** Certificates in PEM by which the target's is verified. Empty = those that Node trusts. */
  readonly targetTlsCa: string
  /** The name that the target's certificate must hold, and that it is asked for by SNI. Empty = the target's host. */
  readonly targetTlsName: string
  /** Take whatever certificate the target shows: whoever stands in between can read and change everything. */
  readonly targetTlsInsecure: boolean
  /** Protocols offered to the target by ALPN. Empty = what the client offers by TLS; with a gate `http/1.1`. */
  readonly targetAlpn: readonly string[]
  /** Look for an MCP Inspector also behind a target that has none of {@link inspectorPorts}. */
  readonly inspector: boolean
  /** ADDRESS:PORT of metrics and health over HTTP. Empty = none are served. */
  readonly metrics: string
  /** Processes that serve the forward, the one that holds the control socket among them. 1 = that one alone; there is no 0. */
  readonly workers: number
}

/** The options that may be left out. */
export type TunableOptions = Omit<ForwardOptions, 'listenPort' | 'targetHost' | 'targetPort'>

/**
 * How one option is written. Command line, configuration file and the words by which the monitor starts a forwarder are all made
 * from this table, so that an option is told once.
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

/** All targets of a forward, the first one first. */
export function targetsOf(options: ForwardOptions): readonly HostAndPort[] {
  const further = options.furtherTargets.flatMap((text) => {
    const result = parseTarget(text)
    return result.ok ? [result.value] : []
  })
  return [{ host: options.targetHost, port: options.targetPort }, ...further]
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

/**
 * Fills in what was left out.
 * @param given values by key (`connectTimeout`), already parsed: times in ms.
 */
export function withDefaults(
  place: Pick<ForwardOptions, 'listenPort' | 'targetHost' | 'targetPort'>,
  given: Readonly<Record<string, unknown>>,
): ForwardOptions {
  const tuned = optionList.map(({ name, key, specification }) => [name, given[key] ?? specification.default])
  return { ...place, ...(Object.fromEntries(tuned) as TunableOptions) }
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

/** Where the MCP Inspector listens unless it is told otherwise: the page of both generations, the sandbox of 2.x, the proxy of 1.x. */
export const inspectorPorts: ReadonlySet<number> = new Set([6274, 6275, 6277])

/** Whether a forward looks for an MCP Inspector when its target begins to answer. */
export function looksForInspector({ inspector, targetPort }: ForwardOptions): boolean {
  return inspector || inspectorPorts.has(targetPort)
}
