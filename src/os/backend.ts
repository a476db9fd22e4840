/**
 * os/: what differs by system, and small things that every room needs (clock, failures, durations, trusted files). It knows nothing of
 * forwards.
 *
 * What the system tells of processes, sockets and memory. Two backends have the same interface: `linux/` reads /proc, `portable/` runs
 * `ps` and `lsof`, which macOS has, too. The rest of the program asks `system` of system.ts and never which system it is on. To add a
 * question, add it here and to both; test/os/ asks both.
 */

/** One line of the process table. */
export interface ProcessStat {
  /** The first letter of `ps -o stat`: `R` runs, `S` sleeps, `T` or `t` is stopped, `Z` or `X` has ended. */
  readonly state: string
  /** Linux: clock ticks from boot to the start, field 22 of /proc/PID/stat (proc(5)). Portable: `ps -o lstart` in UTC, whole seconds. */
  readonly startTime: string
  /** The kernel is taking it apart: its state does not say so yet, but descriptors go before the process does. Portable: always false. */
  readonly isExiting: boolean
  readonly parent: number
  readonly processGroup: number
  /** Portable: its process group. `ps` on macOS does not show sessions, and a process that begins a session also begins a group. */
  readonly session: number
  /** CPU time used so far, in user and kernel mode, in hundredths of a second. Ended children are not in it. */
  readonly cpuTicks: number
}

export interface TableEntry extends ProcessStat {
  readonly pid: number
}

/** What a process has besides memory and CPU time. Undefined = the system does not tell. */
export interface ProcessFigures {
  readonly threads: number | undefined
  readonly descriptors: number | undefined
}

/** A listening TCP socket of this network namespace. */
export interface TcpListener {
  readonly port: number
  readonly address: string
  readonly inode: string
}

/** A listening Unix socket of this network namespace. */
export interface UnixListener {
  /** As its program gave it to bind(2): perhaps relative to a folder that the kernel does not tell. */
  readonly path: string
  readonly inode: string
}

/** A listening TCP socket and who has it open. */
export interface HeldListener {
  readonly address: string
  /** In ascending order. Empty = they cannot be seen: another user's, or just ending. */
  readonly pids: readonly number[]
  /** The user who opened it; undefined where the system does not tell. */
  readonly uid: number | undefined
}

export interface System {
  readonly name: 'linux' | 'portable'

  /** An identifier that is new at every boot of the machine; `unknown` where the system has none. */
  bootId(): string
  /** The PID namespace of this process (pid_namespaces(7)); `none` where the system has none. */
  pidNamespace(): string
  /** Nothing can be learned of any process: /proc is not mounted, in a chroot for example. */
  isBlind(): boolean
  /** Programs that this backend runs and that cannot be run. */
  missingTools(): readonly string[]

  /** Undefined = no process has this PID. Linux: about 40 µs. Portable: 10 ms. */
  processStat(pid: number): ProcessStat | 'unreadable' | undefined
  /** Every process of this PID namespace that can be seen. Linux: about 10 µs a process. Portable: 20 ms. */
  processTable(): readonly TableEntry[]
  /** A number that grows with the start time of a {@link ProcessStat}. */
  startOrder(startTime: string): number
  /** ms between two looks at processes that are about to end: what a look costs decides. */
  readonly lookEveryMs: number

  /** The command line that a process was started with; undefined when it cannot be read. */
  commandLine(pid: number): string[] | undefined
  /** False where the arguments of a command line are only told apart by spaces: one that holds a space looks like several. */
  readonly keepsArguments: boolean
  /**
   * The user of a process whose user IDs are all the same; undefined when they differ, or the process is gone. The effective ID alone proves
   * nothing: any user can start a set-user-ID program, with any arguments.
   */
  userOf(pid: number): number | undefined
  /** The file that a process runs; undefined when it cannot be read. */
  executableOf(pid: number): string | undefined
  workingDirectoryOf(pid: number): string | undefined
  /** A variable of the environment that a process was started with; undefined when it has none, or that cannot be read. */
  environmentOf(pid: number, name: string): string | undefined

  /**
   * Bytes of memory that a process uses; undefined when it is gone. Linux: the proportional set size (PSS) and its swapped-out
   * part, which takes 0.5 ms to read. PSS divides a shared page among the processes that share it, so that the sum over the workers of a
   * forward is what they use together. Portable, and where PSS cannot be read: the resident set (RSS), which counts Node once for each worker.
   */
  memoryOf(pid: number): number | undefined
  /** Whether the figures for memory and CPU time are exact enough for resource limits. */
  readonly measuresUsage: boolean

  /** Threads and open descriptors of a process, for a person who asks. Portable: unknown. */
  figuresOf(pid: number): ProcessFigures

  /** Every listening TCP socket; undefined when the system does not tell, or no descriptor is free. */
  tcpListeners(): readonly TcpListener[] | undefined
  /**
   * The first listening TCP socket for which `isWanted` holds. It takes 0.15 ms when there is one. When there is none, the kernel also walks
   * the whole of its table of connections, however few there are: 0.3 ms with 800 sockets, 10 ms on a kernel with 262,144 hash buckets.
   * @returns null when there is none, undefined as for {@link tcpListeners}.
   */
  firstTcpListener(isWanted: (listener: TcpListener) => boolean): TcpListener | null | undefined
  /** Every listening Unix socket with a path; undefined as for {@link tcpListeners}. */
  unixListeners(): readonly UnixListener[] | undefined
  /** The listening sockets of a port and who holds them. 25 ms and more: every process's descriptors are read. */
  holdersOf(port: number): readonly HeldListener[]
  /** The TCP ports on which one of these processes listens, in ascending order; those of another user's are not seen. */
  listeningPorts(pids: readonly number[]): readonly number[]
  /** The TCP port that a descriptor of this process listens on. Undefined when it is no such socket, or the system does not tell. */
  listeningPortOf(descriptor: number): number | undefined
  /**
   * Connections of this network namespace whose peers have not acknowledged what was sent to them again: `LOCALPORT ADDRESS PORT` of each.
   * It costs what {@link firstTcpListener} does without a result, and more for each connection. Undefined when the system does not tell.
   */
  silentPeers(): ReadonlySet<string> | undefined
  /** Whether an accepted connection has TCP_NODELAY and SO_KEEPALIVE from its listener. */
  readonly inheritsSocketOptions: boolean
  /** The lowest port that a user without privileges may listen on. */
  lowestFreePort(): number

  /** The limit of descriptors of this process; undefined when only a shell tells it. */
  descriptorLimit(): number | undefined
  /** A symbolic link to what a descriptor of this process has open; undefined where the system has none. */
  pathOfDescriptor(descriptor: number): string | undefined
  /** Bytes of a Unix socket's path without the NUL behind it: unix(7), and sys/un.h of macOS. */
  readonly longestSocketPath: number
}
