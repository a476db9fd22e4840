/**
 * record/: what the processes of this package write down for each other, and the files it is kept in.
 *
 *   value -> shapes/ (interface and reader) -> runtime-state.ts, journal.ts, pid-file.ts, … -> a file of the state directory
 *
 * Writers replace whole files or append whole lines, so that a reader never sees half of one. A new file gets its name in `fileNames`, its
 * shape in shapes/ and a module that reads and writes it.
 */
import { accessSync, constants, existsSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { distrustOf, distrustText, ownUid } from '../os/trusted-path.ts'

/**
 * The names inside the state directory. Operators know the first ones by heart from the shell scripts that came before,
 * so they stay.
 */
export const fileNames = {
  pidFile: (port: number) => `tcp_proxy_${port}.pid`,
  failures: (port: number) => `tcp_proxy_${port}_failures`,
  forwarderLog: (port: number) => `tcp_proxy_${port}.log`,
  forwarderSocket: (port: number) => `tcp_proxy_${port}.sock`,
  workers: (port: number) => `tcp_proxy_${port}.workers`,
  gate: (port: number) => `tcp_proxy_${port}.gate`,
  /** What a program prints, as it prints it; its index stands beside it. */
  programLog: (name: string) => `program_${name}.log`,
  programIndex: (name: string) => `program_${name}.index`,
  /** A line of it that has no end yet. */
  programOpenLine: (name: string, stream: 'stdout' | 'stderr') => `program_${name}.open-${stream}`,
  programPidFile: (name: string) => `program_${name}.pid`,
  /** The word of a start whose process is not named by the PID file yet. */
  programStart: (name: string) => `program_${name}.start`,
  /** Of a program that outlives the monitor: which process it is, what it prints, how far that was read, and a pipe to its stdin. */
  keptProgram: (name: string) => `program_${name}.kept`,
  keptStream: (name: string, stream: 'stdout' | 'stderr') => `program_${name}.${stream}`,
  keptPosition: (name: string) => `program_${name}.position`,
  keptInput: (name: string) => `program_${name}.stdin`,
  gateToken: 'gate_token',
  gateKey: 'gate_key',
  monitorLog: 'proxy_monitor.log',
  monitorSocket: 'control.sock',
  runtimeState: 'runtime-state.json',
  logRing: 'proxy-logs.jsonl',
  journal: 'events.jsonl',
  audit: 'audit.jsonl',
  apiKeys: 'api_keys.json',
  desiredState: 'desired-state.json',
  /** What orders have changed of the configuration. */
  configurationChanges: 'configuration-changes.json',
  /** The valid configurations that were in force last. */
  configurationHistory: 'configuration-history.json',
  /** What stood in the configuration file, and was never in force, when an order wrote another one. */
  displacedConfiguration: 'configuration-displaced',
  /** Incidents, and changes that wait to be told. */
  alerts: 'alerts.json',
  /** The queue and health of one channel. */
  alertChannel: (channel: string) => `alert_${channel}.json`,
  selfSigned: 'tls_self_signed.pem',
  /** The MCP gateway's: what it is and does, its log for programs and for people, its sockets, its keys. */
  gatewayState: 'mcp-proxy-runtime-state.json',
  gatewayRing: 'mcp-proxy-logs.jsonl',
  gatewayLog: 'mcp_proxy.log',
  gatewayPidFile: 'mcp_proxy.pid',
  /** What its connectors offered last. */
  gatewayOfferings: 'mcp-proxy-offerings.json',
  gatewayTap: 'mcp-proxy-tap.jsonl',
  /** How the tools of its connectors were when they were trusted. */
  gatewayPins: 'mcp-proxy-pins.json',
  gatewaySocket: 'mcp-proxy.sock',
  gatewayClients: 'mcp-proxy-clients.sock',
  gatewayKeys: 'mcp_proxy_keys.json',
  gatewayFirstKey: 'mcp_proxy_key',
  /** Of its authorization server: clients, grants and keys; and what registers clients. */
  gatewayOauth: 'mcp_proxy_oauth.json',
  gatewayRegistrationToken: 'mcp_proxy_registration_token',
  /** Its login at one server, and the lock that goes with it. */
  gatewayLogin: (server: string) => `mcp_proxy_login_${server}.json`,
  gatewayLoginLock: (server: string) => `mcp_proxy_login_${server}.lock`,
} as const

/**
 * Makes the state directory, private to this user (0700), or checks the one that is there: a directory, no symlink, owned
 * by this user, open to nobody else. Anything less would let another user plant a PID file or a socket.
 * @throws Failure with the cure, exit code 78.
 */
export function prepareStateDirectory(directory: string): void {
  demandTrustedParents(directory)
  try {
    makeDirectory(directory)
  } catch (error) {
    throw refusal(directory, errorText(error), 'choose another --state-dir')
  }
  demandOwnDirectory(directory)
  demandClosed(directory)
  demandWritable(directory)
}

function demandTrustedParents(directory: string): void {
  const distrust = distrustOf(path.dirname(path.resolve(directory)))
  if (distrust !== undefined) {
    // Who owns a folder above it can put another one in its place at any time.
    const why = `${distrustText(distrust)}, who could put another folder in its place`
    throw refusal(directory, why, 'choose another --state-dir')
  }
}

/**
 * The same for a process that runs already: makes a directory that was removed, and goes on in one that somebody has opened to others.
 * @returns whether other users can enter it.
 * @throws Failure when it cannot be made or is not ours.
 */
export function keepStateDirectory(directory: string): boolean {
  demandTrustedParents(directory)
  try {
    makeDirectory(directory)
  } catch (error) {
    throw refusal(directory, errorText(error), 'it is tried again')
  }
  demandOwnDirectory(directory)
  return (statSync(directory).mode & 0o077) !== 0
}

/** What a person should hear of a state directory that other users can enter. */
export function openToOthersInWords(directory: string): string {
  return `Other users can enter the state directory ${directory}: chmod 700 ${directory}`
}

/**
 * Checks a state directory without making it: a directory, no symlink, owned by this user.
 * @throws Failure with the cure, exit code 78; the system's error when there is none.
 */
export function demandOwnDirectory(directory: string): void {
  const facts = lstatSync(directory)
  if (facts.isSymbolicLink() && !isServicesLink(directory, facts.uid)) {
    throw refusal(directory, 'it is a symbolic link', 'name the directory itself with --state-dir')
  }
  const target = statSync(directory)
  if (!target.isDirectory()) throw refusal(directory, 'it is not a directory', 'choose another --state-dir')
  if (target.uid !== ownUid()) {
    throw refusal(directory, `it belongs to another user (uid ${target.uid})`, 'choose another --state-dir')
  }
}

/** The failure has the system's code, because a disk that is read-only for a while is a shortage of this machine. */
function demandWritable(directory: string): void {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK)
  } catch (error) {
    const failure = refusal(directory, errorText(error), 'choose another --state-dir')
    throw Object.assign(failure, { code: errorCode(error) })
  }
}

function demandClosed(directory: string): void {
  if ((statSync(directory).mode & 0o077) === 0) return
  const cure = readdirSync(directory).every(isOurs)
    ? `chmod 700 ${directory}`
    : `name a folder of its own, for example --state-dir ${path.join(directory, 'port-watchdog')}`
  throw refusal(directory, 'other users can enter it', cure)
}

/** Parents first, each by itself: asked for all at once below /proc, Node's mkdir never returns. */
function makeDirectory(directory: string): void {
  if (existsSync(directory)) return
  makeDirectory(path.dirname(directory))
  mkdirSync(directory, { mode: 0o700 })
}

/** True for a name that only this program gives a file: a folder with anything else in it serves others, too. */
function isOurs(name: string): boolean {
  return /^(tcp_proxy_|program_|proxy_monitor\.log|proxy-logs|runtime-state|desired-state|events|audit|api_keys|alert|gate_|mcp[_-]proxy|control\.sock)/.test(
    name,
  )
}

/** With DynamicUser= systemd itself links /var/lib/NAME to /var/lib/private/NAME; root's own link is no trap. */
export function isServicesLink(directory: string, linkOwner: number): boolean {
  return linkOwner === 0 && path.dirname(directory) === '/var/lib'
}

/** What is wrong with a state directory and how to cure it; exit code 78. */
export function refusal(directory: string, why: string, cure: string): Failure {
  return new Failure(`state directory ${directory} cannot be used: ${why}; ${cure}`, exitCode.configuration)
}
