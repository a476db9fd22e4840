import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { errorCode } from './failure.ts'

/**
 * Replaces a file so that whoever reads it, and whoever finds it after a crash or a power loss at any instant, sees the old
 * content or the new one and never a mixture: temporary file, write, fsync, rename, fsync of the directory.
 * @param durable false leaves out both fsyncs (0.2 ms instead of 0.5 ms): still never a mixture for readers and after a
 *   crash of the process, but after a power loss the new content may be missing.
 * @param mode who may read the file; nobody but its owner unless it says more.
 * @throws the system's error (ENOSPC, EROFS, EACCES), with the temporary file removed.
 */
export function writeFileAtomically(file: string, content: string, durable = true, mode = 0o600): void {
  const temporary = temporaryFor(file)
  try {
    writeWhole(temporary, content, durable)
    if (mode !== 0o600) chmodSync(temporary, mode)
    renameSync(temporary, file)
  } catch (error) {
    removeQuietly(temporary)
    throw error
  }
  if (durable) syncDirectory(path.dirname(file))
}

/**
 * Replaces the content of a person's file as durably as `writeFileAtomically`: mode and owner stay, and a link stays a link.
 * @throws the system's error, ENOENT when there is no such file.
 */
export function replaceFile(file: string, content: string): void {
  const real = realpathSync(file)
  const { mode, uid, gid } = statSync(real)
  writeFileAtomically(real, content, true, mode & 0o777)
  // Only root can; a file of this user stays this user's anyway.
  if (process.getuid?.() === 0) chownSync(real, uid, gid)
}

/**
 * Makes a file unless there is one, as durably as `writeFileAtomically`. Of several who try at once one makes it, and none finds it
 * before it is whole.
 * @returns false when there is one already; it is left as it is.
 * @throws the system's error, with the temporary file removed.
 */
export function createFileAtomically(file: string, content: string): boolean {
  const temporary = temporaryFor(file)
  try {
    writeWhole(temporary, content, true)
    // Unlike rename(2), link(2) never replaces.
    linkSync(temporary, file)
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  } finally {
    removeQuietly(temporary)
  }
  syncDirectory(path.dirname(file))
  return true
}

/** Temporary files that nobody has renamed within a minute belong to a process that was killed over them. */
const temporaryLivesMs = 60_000

/** Removes the temporary files that killed processes have left in a directory. Never fails. */
export function sweepTemporaries(directory: string): void {
  try {
    for (const name of readdirSync(directory)) {
      if (!/\.[\w-]{12}\.tmp$/.test(name)) continue
      const file = path.join(directory, name)
      const madeAt = lstatSync(file, { throwIfNoEntry: false })?.mtimeMs
      if (madeAt !== undefined && Date.now() - madeAt > temporaryLivesMs) removeQuietly(file)
    }
  } catch {
    // They cost nothing but room.
  }
}

/** Nobody can know the name beforehand, and put a link there. */
function temporaryFor(file: string): string {
  return `${file}.${randomBytes(9).toString('base64url')}.tmp`
}

function writeWhole(file: string, content: string, durable: boolean): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const descriptor = openSync(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    writeAll(descriptor, Buffer.from(content))
    if (durable) fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Writes the whole buffer: write(2) may take less than it was given, on a disk that is nearly full for example. */
export function writeAll(descriptor: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(descriptor, bytes, written)
  }
}

/** Removes a file if it is there and can be removed. */
export function removeQuietly(file: string): void {
  try {
    unlinkSync(file)
  } catch {
    // Not there, or not ours to remove: nothing depends on it.
  }
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
