import { accessSync, constants, existsSync, lstatSync, readdirSync, statSync } from 'node:fs'
import { homedir, tmpdir, userInfo } from 'node:os'
import path from 'node:path'
import { exitCode, Failure } from '../os/failure.ts'
import { distrustOf, ownUid } from '../os/trusted-path.ts'
import { absolutePath } from '../os/working-directory.ts'
import { judgeProcess, type ProcessVerdict } from '../process/identity.ts'
import { judgePidFile, readPidFile } from './pid-file.ts'
import { readRuntimeState } from './runtime-state.ts'
import { fileNames, isServicesLink, refusal } from './state-directory.ts'

export interface WritersDirectory {
  readonly directory: string
  /** What a person should hear about the choice; undefined when there is nothing to say. */
  readonly note: string | undefined
}

/**
 * Where a command that writes keeps its records: the directory asked for, else systemd's own (`StateDirectory=`), else
 * `$XDG_STATE_HOME/port-watchdog`, else `~/.local/state/port-watchdog`, else, for a user without a home, a private folder under the temp
 * folder: places that outlive a logout. While forwarders or a monitor of this user still run in a place that earlier versions used, it goes
 * on there.
 */
export function writersDirectory(asked: string | undefined): WritersDirectory {
  if (asked !== undefined) return { directory: named(asked), note: undefined }
  const fromService = servicesDirectory()
  if (fromService !== undefined) return { directory: path.resolve(fromService), note: undefined }
  const usual = lastingDirectories().find(canBeUsed) ?? temporaryDirectory()
  const old = earlierDirectories().find((directory) => directory !== usual && isInUse(directory))
  if (old === undefined || isInUse(usual)) return { directory: usual, note: undefined }
  const note = `Going on in ${old}, because what an earlier version started still runs there; without it, ${usual} would be used`
  return { directory: old, note }
}

/**
 * Where a command that only reads looks: the directory asked for, else the usual one in which something runs, else the first one with
 * records (a service started by systemd keeps them elsewhere than one started by hand), else the writers' default.
 */
export function readersDirectory(asked: string | undefined): string {
  if (asked !== undefined) return named(asked)
  const places = [...lastingDirectories(), ...earlierDirectories(), ...servicesDirectories()]
  const fromService = servicesDirectory()
  const candidates = [...new Set(fromService === undefined ? places : [fromService, ...places])]
  const used = candidates.filter((directory) => hasRecords(directory) && !isPlanted(directory))
  const directory = used.find(isInUse) ?? used[0] ?? writersDirectory(undefined).directory
  if (existsSync(directory) && isPlanted(directory)) {
    throw refusal(directory, 'somebody else has put it there', 'name the right one with --state-dir')
  }
  return directory
}

/**
 * The readers' directory where only this process's environment tells it: what somebody else starts, with other variables, has to be told.
 * Undefined = everybody of this user finds it.
 */
export function unusualDirectory(): string | undefined {
  const directory = readersDirectory(undefined)
  const home = homeDirectory()
  return home !== undefined && directory === path.join(home, '.local', 'state', 'port-watchdog')
    ? undefined
    : directory
}

/** An unset variable in a script must not scatter files in the working folder. */
function named(asked: string): string {
  if (asked === '') throw new Failure('--state-dir: a folder is wanted, not an empty text', exitCode.usage)
  return absolutePath(asked)
}

/** systemd gives several, separated by colons, when the unit names several; the first one is ours. */
function servicesDirectory(): string | undefined {
  return process.env.STATE_DIRECTORY?.split(':')[0] || undefined
}

/** Those that outlive a logout and a cleaned temp folder. */
function lastingDirectories(): string[] {
  const { XDG_STATE_HOME } = process.env
  const home = homeDirectory()
  // The specification says that a relative one counts for nothing.
  const own = XDG_STATE_HOME && path.isAbsolute(XDG_STATE_HOME) ? [XDG_STATE_HOME] : []
  if (home !== undefined) own.push(path.join(home, '.local', 'state'))
  return own.map((directory) => path.join(directory, 'port-watchdog'))
}

/** Where versions before 0.2 kept their records; the last one still is the place of those who have no other. */
function earlierDirectories(): string[] {
  const { XDG_RUNTIME_DIR } = process.env
  // `su` leaves the variable as it was; the specification says that its owner alone may use it.
  const runtime =
    XDG_RUNTIME_DIR && isOwn(XDG_RUNTIME_DIR) ? [path.join(XDG_RUNTIME_DIR, 'port-watchdog')] : []
  return [...runtime, temporaryDirectory()]
}

function servicesDirectories(): string[] {
  const { XDG_CONFIG_HOME } = process.env
  const home = homeDirectory()
  const configuration = XDG_CONFIG_HOME || (home === undefined ? undefined : path.join(home, '.config'))
  const ofUser = configuration === undefined ? [] : [path.join(configuration, 'port-watchdog')]
  return [...ofUser, '/var/lib/port-watchdog']
}

/** By the environment or the user database; undefined for a user who is in neither, as with an arbitrary UID in a container. */
export function homeDirectory(): string | undefined {
  for (const find of [() => process.env.HOME, () => userInfo().homedir, homedir]) {
    try {
      const home = find()
      if (home !== undefined && path.isAbsolute(home) && existsSync(home)) return home
    } catch {
      // This user is not in the database.
    }
  }
  return undefined
}

function temporaryDirectory(): string {
  return path.join(tmpdir(), `port-watchdog-${ownUid()}`)
}

/** It is there, or can be made: the nearest folder above it that exists can be written, and nobody else can change the way to it. */
function canBeUsed(directory: string): boolean {
  let existing = directory
  while (!existsSync(existing)) existing = path.dirname(existing)
  try {
    accessSync(existing, constants.W_OK | constants.X_OK)
    return distrustOf(existing) === undefined
  } catch {
    return false
  }
}

function hasRecords(directory: string): boolean {
  return namesIn(directory).some((name) => name === fileNames.runtimeState || isOfForwarder.test(name))
}

const isOfForwarder = /^tcp_proxy_\d+\.(?:pid|sock)$/

/** A monitor or a forwarder of ours is alive there. */
function isInUse(directory: string): boolean {
  if (!existsSync(directory) || isPlanted(directory)) return false
  const reading = readRuntimeState(path.join(directory, fileNames.runtimeState))
  if (reading.kind === 'read' && reading.state.stopped === null) {
    if (isThere(judgeProcess(reading.state.writer.identity))) return true
  }
  return namesIn(directory)
    .filter((name) => isOfForwarder.test(name) && name.endsWith('.pid'))
    .map((name) => readPidFile(path.join(directory, name)))
    .some((file) => file.kind === 'identified' && isThere(judgePidFile(file)))
}

function isThere(verdict: ProcessVerdict | undefined): boolean {
  return verdict === 'alive' || verdict === 'stopped'
}

/**
 * What another user may have put there under our name tells lies, or never ends when it is read. The state of a service that runs as a
 * user of its own lies behind root's own link.
 */
function isPlanted(directory: string): boolean {
  const facts = lstatSync(directory)
  if (isServicesLink(directory, facts.uid)) return false
  if (directory === temporaryDirectory() && facts.isSymbolicLink()) return true
  return distrustOf(directory) !== undefined || !statSync(directory).isDirectory()
}

function isOwn(directory: string): boolean {
  return (
    statSync(directory, { throwIfNoEntry: false })?.uid === ownUid() && distrustOf(directory) === undefined
  )
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
