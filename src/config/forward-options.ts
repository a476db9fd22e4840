/** Everything that describes one forward. Times in ms; what zero means stands at each. */
export interface ForwardOptions {
  /** TCP port to listen on, 1 to 65535. It names the forward's files in the state directory. */
  readonly listenPort: number
  /** Host name or IP address to connect to. `localhost` means 127.0.0.1 and ::1, without asking a resolver. */
  readonly targetHost: string
  readonly targetPort: number
  /** Addresses to bind. Empty = all IPv4 addresses, or, under the same-port rule, every non-loopback address. */
  readonly bind: readonly string[]
  /** Source networks admitted: CIDRs, `private`, `any`. Empty = `private`. The machine itself is always admitted. */
  readonly allow: readonly string[]
  /** Connections open at once. 0 = as many as the descriptor limit allows, two descriptors a connection. */
  readonly maxConnections: number
  /** Until the target must have accepted, over all its addresses. 0 = as long as the kernel tries. */
  readonly connectTimeoutMs: number
  /** Without a byte either way before a connection is ended. 0 = never: event streams are silent for hours. */
  readonly idleTimeoutMs: number
  /** Without a byte after one side has sent its FIN before the pair is ended. 0 = never. */
  readonly halfCloseTimeoutMs: number
  /** How long connections may go on after SIGTERM before they are reset. 0 = not at all. */
  readonly drainMs: number
  /** Between two checks of a target that nobody has connected to meanwhile. 0 = never checked. */
  readonly targetCheckIntervalMs: number
}

export const forwardDefaults = {
  bind: [],
  allow: [],
  maxConnections: 0,
  connectTimeoutMs: 5_000,
  idleTimeoutMs: 0,
  halfCloseTimeoutMs: 60_000,
  drainMs: 10_000,
  targetCheckIntervalMs: 10_000,
} as const satisfies Omit<ForwardOptions, 'listenPort' | 'targetHost' | 'targetPort'>
