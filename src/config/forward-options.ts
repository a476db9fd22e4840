import { type HostAndPort, parseTarget, targetProgram } from './values.ts'

/** The variable that brings the gate a token of one's own. Only gated forwarders get it. */
export const gateTokenVariable = 'PORT_WATCHDOG_GATE_TOKEN'

/** The variable that chooses how a forwarder relays: `stream` or `bare`; see `forward/relay/libuv.ts`. */
export const relayVariable = 'PORT_WATCHDOG_RELAY'

/** Everything that describes one forward. Times in ms; what zero means stands at each. */
export interface ForwardOptions {
  /** TCP port to listen on, 1 to 65535. It names the forward's files in the state directory. */
  readonly listenPort: number
  /**
   * Host name or IP address to connect to, `unix:/path`, or `program:NAME`: those processes of a program that the monitor says are ready.
   * `localhost` means 127.0.0.1 and ::1, without asking a resolver.
   */
  readonly targetHost: string
  /** 0 for a Unix socket. Of a program that of its first process. */
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
  /** `token`: visitors must log in before anything reaches the target, which must speak HTTP. Empty = no gate. */
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
   * For how long after its first failure a target that refuses is dialled again (50 to 500 ms apart) while the client waits, so that clients
   * do not notice its restart. Once it has been down for longer, a dial fails at once. 0 = never dialled again.
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
   * How often an unused target is checked. A target on this machine is looked up in the kernel's table of listening sockets, without a
   * connection. A target on another machine gets a connection at the start, and again only while it does not answer. 0 = never.
   */
  readonly targetCheckMs: number
  /** Where one line of JSON is written for each connection that ended: a file, rotated, or `-`. Empty = nowhere. */
  readonly accessLog: string
  /** `v1` or `v2`: a PROXY header of that version names the client to the target. Empty = no header. */
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
  /** Accept any certificate of the target: an attacker on the network path can then read and change all traffic. */
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

/** Where a server's own certificate is; empty = it has none. */
export type CertificateOptions = Pick<ForwardOptions, 'tlsCert' | 'tlsKey' | 'tlsSelfSigned' | 'tlsClientCa'>

/** The options that may be left out. */
export type TunableOptions = Omit<ForwardOptions, 'listenPort' | 'targetHost' | 'targetPort'>

/** All targets of a forward, the first one first. Of a program, which listens on this machine, the first process stands for all. */
export function targetsOf(options: ForwardOptions): readonly HostAndPort[] {
  const further = options.furtherTargets.flatMap((text) => {
    const result = parseTarget(text)
    return result.ok ? [result.value] : []
  })
  const host = targetProgram(options.targetHost) === undefined ? options.targetHost : 'localhost'
  return [{ host, port: options.targetPort }, ...further]
}

/** The default ports of the MCP Inspector: the page of both generations, the sandbox of 2.x, the proxy of 1.x. */
export const inspectorPorts: ReadonlySet<number> = new Set([6274, 6275, 6277])

/** Whether a forward looks for an MCP Inspector when its target begins to answer. */
export function looksForInspector({ inspector, targetPort }: ForwardOptions): boolean {
  return inspector || inspectorPorts.has(targetPort)
}
