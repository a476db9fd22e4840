import { closeSync, fsyncSync, linkSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import path from 'node:path'
import { errorCode } from '../os/failure.ts'

/**
 * Replaces a file so that whoever reads it, and whoever finds it after a crash or a power loss at any instant, sees the old
 * content or the new one and never a mixture: temporary file, write, fsync, rename, fsync of the directory.
 * @param durable false leaves out both fsyncs (0.2 ms instead of 0.5 ms): still never a mixture for readers and after a
 *   crash of the process, but after a power loss the new content may be missing.
 * @throws the system's error (ENOSPC, EROFS, EACCES), with the temporary file removed.
 */
export function writeFileAtomically(file: string, content: string, durable = true): void {
  const temporary = temporaryFor(file)
  try {
    writeWhole(temporary, content, durable)
    renameSync(temporary, file)
  } catch (error) {
    removeQuietly(temporary)
    throw error
  }
  if (durable) syncDirectory(path.dirname(file))
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

function temporaryFor(file: string): string {
  return `${file}.${process.pid}.tmp`
}

function writeWhole(file: string, content: string, durable: boolean): void {
  const descriptor = openSync(file, 'w', 0o600)
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
