import { existsSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { errorText, exitCode, Failure } from '../os/failure.ts'
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
  gateToken: 'gate_token',
  gateKey: 'gate_key',
  monitorLog: 'proxy_monitor.log',
  monitorSocket: 'control.sock',
  runtimeState: 'runtime-state.json',
  logRing: 'proxy-logs.jsonl',
  journal: 'events.jsonl',
  desiredState: 'desired-state.json',
  /** Incidents, and changes that wait to be told. */
  alerts: 'alerts.json',
  /** The queue and health of one channel. */
  alertChannel: (channel: string) => `alert_${channel}.json`,
  selfSigned: 'tls_self_signed.pem',
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
 * @returns what a person should hear about it; undefined when all is well.
 * @throws Failure when it cannot be made or is not ours.
 */
export function keepStateDirectory(directory: string): string | undefined {
  demandTrustedParents(directory)
  try {
    makeDirectory(directory)
  } catch (error) {
    throw refusal(directory, errorText(error), 'it is tried again')
  }
  demandOwnDirectory(directory)
  return (statSync(directory).mode & 0o077) === 0
    ? undefined
    : `Other users can enter the state directory ${directory}: chmod 700 ${directory}`
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
  return /^(tcp_proxy_|proxy_monitor\.log|proxy-logs|runtime-state|desired-state|events|alert|gate_|control\.sock)/.test(
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
