import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  type Stats,
  statSync,
} from 'node:fs'
import path from 'node:path'
import { errorCode } from './failure.ts'
import { system } from './system.ts'
import { distrustCure, distrustOf, distrustText } from './trusted-path.ts'

const { O_RDONLY, O_RDWR, O_APPEND, O_CREAT, O_NONBLOCK, O_NOFOLLOW } = constants

/** Told instead of waiting for ever: what stands there is no regular file (`ENOTFILE`), or a symbolic link that is not followed (`ELOOP`). */
class NotAFile extends Error {
  readonly code: 'ENOTFILE' | 'ELOOP'

  constructor(message: string, code: 'ENOTFILE' | 'ELOOP') {
    super(message)
    this.code = code
  }
}

export interface ReadingOptions {
  /** Follow a symbolic link at the end of the path. For files that people name, not for our own records. */
  readonly follow?: boolean
}

/**
 * Opens a file to read it. A FIFO, a device or a socket of that name, which could keep a reader waiting for ever, is refused.
 * @throws the system's error; `ENOTFILE` for what is no regular file, `ELOOP` for a symbolic link.
 */
export function openRegularFile(file: string, { follow = false }: ReadingOptions = {}): number {
  let descriptor: number
  try {
    descriptor = openSync(file, O_RDONLY | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW))
  } catch (error) {
    throw inWords(file, error)
  }
  try {
    demandFile(file, fstatSync(descriptor))
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

/** The text of a file, in UTF-8. @throws as `openRegularFile`. */
export function readRegularFile(file: string, options: ReadingOptions = {}): string {
  return readRegularBytes(file, options).toString('utf8')
}

/**
 * Reads a file for another user, with rights that he does not have. Where he, or somebody else, could have put a link there, it may lead to what
 * he must not see: then a link is followed to his own files alone.
 * @param uid his.
 * @throws as `readRegularBytes`; `ELOOP` for a link to a file of somebody else.
 */
export function readFileForUser(file: string, uid: number): string {
  const descriptor = openRegularFile(file, { follow: true })
  try {
    const { size, uid: owner } = fstatSync(descriptor)
    if (owner !== uid && !isBelieved(file)) demandNoLink(file, descriptor)
    demandSize(file, size)
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

/** More than any file of ours has. A sparse file of any size costs whoever plants it nothing, and its reader all of its memory. */
const mostBytes = 256 * 1024 * 1024

/** The bytes of a file. @throws as `openRegularFile`; `EFBIG` for one that is too large to be ours. */
export function readRegularBytes(file: string, options: ReadingOptions = {}): Buffer {
  const descriptor = openRegularFile(file, options)
  try {
    const { size } = fstatSync(descriptor)
    demandSize(file, size)
    return readFileSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function demandSize(file: string, size: number): void {
  if (size <= mostBytes) return
  throw Object.assign(new Error(`${file} is too large (${size} bytes)`), { code: 'EFBIG' })
}

/**
 * Reads a file that a person has named and that this program acts on: a configuration, a token, a key, certificates. Links are followed.
 * @throws as `openRegularFile`, and `EUNTRUSTED` with the cure when somebody other than root and this user could have written it.
 */
export function readTrustedFile(file: string): string {
  const descriptor = openTrusted(file)
  try {
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

/** Times that a file may be replaced while it is opened. */
const mostReplacements = 3

/**
 * In a folder such as /tmp, a file that was not there when its path was checked may be another user's an instant later. What was opened must
 * be what a second check finds trusted.
 */
function openTrusted(file: string): number {
  for (let replaced = 0; ; replaced++) {
    demandTrust(file)
    const descriptor = openRegularFile(file, { follow: true })
    try {
      demandTrust(file)
      const opened = fstatSync(descriptor)
      const found = statSync(file, { throwIfNoEntry: false })
      if (found?.ino === opened.ino && found.dev === opened.dev) return descriptor
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
    closeSync(descriptor)
    if (replaced === mostReplacements)
      throw Object.assign(new Error(`${file} is replaced again and again; try again`), { code: 'EUNTRUSTED' })
  }
}

/** Where containers find the secrets they are given. Nobody outside of the container sees these files, whatever their mode. */
const containerSecrets = ['/run/secrets/', '/var/run/secrets/']

/**
 * As `readTrustedFile`, for a secret: its mode must keep other users out. A file of root's may be read by its group, as ssl-cert's keys are.
 * @throws as `readTrustedFile`, and `EUNTRUSTED` with the cure when others can read it.
 */
export function readSecretFile(file: string): string {
  const descriptor = openTrusted(file)
  try {
    const { mode, uid } = fstatSync(descriptor)
    const isContainers = containerSecrets.some((folder) => path.resolve(file).startsWith(folder))
    const forbidden = uid === 0 ? 0o007 : 0o077
    if ((mode & forbidden) !== 0 && !isContainers) {
      const why = `other users can read ${file} (mode 0${(mode & 0o777).toString(8)}), so it is no secret`
      throw Object.assign(new Error(`${why}; chmod 600 ${file}`), { code: 'EUNTRUSTED' })
    }
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

/** @throws `EUNTRUSTED` with the cure when somebody other than root and this user can change what this path leads to. */
export function demandTrust(file: string): void {
  const distrust = distrustOf(file)
  if (distrust === undefined) return
  const why = `${distrustText(distrust)}, so ${file} cannot be trusted; ${distrustCure(distrust)}`
  throw Object.assign(new Error(why), { code: 'EUNTRUSTED' })
}

/**
 * Opens a file to append to it and to read it, and makes it (0600) when there is none. A symbolic link is followed only where nobody but
 * root and this user could have put it.
 * @throws the system's error; `ELOOP` for a link that may be another user's.
 */
export function openForAppending(file: string): number {
  const flags = O_RDWR | O_APPEND | O_CREAT
  if (isBelieved(file)) return openSync(file, flags, 0o600)
  let descriptor: number
  try {
    descriptor = openSync(file, flags | O_NOFOLLOW | O_NONBLOCK, 0o600)
  } catch (error) {
    throw inWords(file, error)
  }
  try {
    demandFile(file, fstatSync(descriptor))
    demandNoLink(file, descriptor)
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

function isBelieved(file: string): boolean {
  try {
    return distrustOf(file) === undefined
  } catch {
    return false
  }
}

/** The last step of the path is no link; this finds links in the folders above it, and those that were put there meanwhile. */
function demandNoLink(file: string, descriptor: number): void {
  const link = system.pathOfDescriptor(descriptor)
  if (link === undefined || readlinkSync(link) === path.resolve(file)) return
  throw new NotAFile(`a symbolic link that another user may have made leads to ${file}`, 'ELOOP')
}

function inWords(file: string, error: unknown): unknown {
  switch (errorCode(error)) {
    case 'ELOOP':
      return new NotAFile(`${file} is a symbolic link`, 'ELOOP')
    // A socket cannot be opened at all.
    case 'ENXIO':
      return new NotAFile(`${file} is not a regular file`, 'ENOTFILE')
    default:
      return error
  }
}

function demandFile(file: string, facts: Stats): void {
  if (facts.isFile()) return
  if (facts.isDirectory()) throw Object.assign(new Error(`${file} is a folder`), { code: 'EISDIR' })
  const what = facts.isFIFO() ? 'a FIFO' : facts.isSocket() ? 'a socket' : 'a device'
  throw new NotAFile(`${file} is ${what}, not a regular file`, 'ENOTFILE')
}
