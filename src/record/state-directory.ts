import { existsSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
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
 * Where a command that writes keeps its records: the directory asked for, else systemd's own (`StateDirectory=`), else
 * `$XDG_RUNTIME_DIR/port-watchdog`, else a private folder of this user under the temp folder.
 */
export function writersDirectory(asked: string | undefined): string {
  return path.resolve(asked ?? defaultDirectories()[0] ?? temporaryDirectory())
}

/**
 * Where a command that only reads looks: the directory asked for, else the first of the usual ones in which a monitor has
 * left its state (a service started by systemd keeps it elsewhere than one started by hand), else the writers' default.
 */
export function readersDirectory(asked: string | undefined): string {
  if (asked !== undefined) return path.resolve(asked)
  const candidates = [...defaultDirectories(), ...serviceDirectories()]
  const used = candidates.find((directory) => {
    return existsSync(path.join(directory, fileNames.runtimeState)) && !isPlanted(directory)
  })
  const directory = used ?? writersDirectory(undefined)
  if (existsSync(directory) && isPlanted(directory)) {
    throw refusal(directory, 'somebody else has put it there', 'name the right one with --state-dir')
  }
  return directory
}

/**
 * What another user may have put there under our name tells lies, or never ends when it is read. The state of a service that runs as a
 * user of its own lies behind root's own link.
 */
function isPlanted(directory: string): boolean {
  const facts = lstatSync(directory)
  if (isOwnersLink(directory, facts.uid)) return false
  if (directory === temporaryDirectory() && facts.isSymbolicLink()) return true
  return distrustOf(directory) !== undefined || !statSync(directory).isDirectory()
}

function defaultDirectories(): string[] {
  const { STATE_DIRECTORY, XDG_RUNTIME_DIR } = process.env
  const directories: string[] = []
  // systemd gives several, separated by colons, when the unit names several; the first one is ours.
  const fromService = STATE_DIRECTORY?.split(':')[0]
  if (fromService) directories.push(fromService)
  // `su` leaves it as it was; the specification says that its owner alone may use it.
  if (XDG_RUNTIME_DIR && isOwn(XDG_RUNTIME_DIR)) directories.push(path.join(XDG_RUNTIME_DIR, 'port-watchdog'))
  directories.push(temporaryDirectory())
  return directories
}

function serviceDirectories(): string[] {
  const { XDG_STATE_HOME, XDG_CONFIG_HOME } = process.env
  return [
    path.join(XDG_STATE_HOME || path.join(homedir(), '.local', 'state'), 'port-watchdog'),
    path.join(XDG_CONFIG_HOME || path.join(homedir(), '.config'), 'port-watchdog'),
    '/var/lib/port-watchdog',
  ]
}

function temporaryDirectory(): string {
  return path.join(tmpdir(), `port-watchdog-${ownUid()}`)
}

function isOwn(directory: string): boolean {
  return (
    statSync(directory, { throwIfNoEntry: false })?.uid === ownUid() && distrustOf(directory) === undefined
  )
}

/**
 * Makes the state directory, private to this user (0700), or checks the one that is there: a directory, no symlink, owned
 * by this user, open to nobody else. Anything less would let another user plant a PID file or a socket.
 * @throws Failure with the cure, exit code 78.
 */
export function prepareStateDirectory(directory: string): void {
  const distrust = distrustOf(path.dirname(path.resolve(directory)))
  if (distrust !== undefined) {
    // Who owns a folder above it can put another one in its place at any time.
    const why = `${distrustText(distrust)}, who could put another folder in its place`
    throw refusal(directory, why, 'choose another --state-dir')
  }
  try {
    makeDirectory(directory)
  } catch (error) {
    throw refusal(directory, errorText(error), 'choose another --state-dir')
  }
  demandOwnDirectory(directory)
  demandClosed(directory)
}

/**
 * The same for a process that runs already: makes a directory that was removed, and goes on in one that somebody has opened to others.
 * @returns what a person should hear about it; undefined when all is well.
 * @throws Failure when it cannot be made or is not ours.
 */
export function keepStateDirectory(directory: string): string | undefined {
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
  if (facts.isSymbolicLink() && !isOwnersLink(directory, facts.uid)) {
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
function isOwnersLink(directory: string, linkOwner: number): boolean {
  return linkOwner === 0 && path.dirname(directory) === '/var/lib'
}

function refusal(directory: string, why: string, cure: string): Failure {
  return new Failure(`state directory ${directory} cannot be used: ${why}; ${cure}`, exitCode.configuration)
}
