import { randomBytes } from 'node:crypto'
import { closeSync, constants, existsSync, openSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { removeQuietly } from '../os/atomic-file.ts'
import { system } from '../os/system.ts'

/** A name of a socket that the system takes. It holds until `close`, which is called once the socket is bound or connected. */
export interface SocketName {
  readonly path: string
  close(): void
}

/**
 * Finds a name that is short enough for a socket in a directory with a long path. The socket itself always lies in that directory, so
 * that everybody finds it there, whatever the environment.
 * @throws the system's error when the directory cannot be opened.
 */
export function socketName(file: string): SocketName {
  if (Buffer.byteLength(file) <= system.longestSocketPath) return { path: file, close: () => {} }
  const directory = path.dirname(file)
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  const opened = system.pathOfDescriptor(descriptor)
  if (opened !== undefined && existsSync(opened)) {
    return { path: path.join(opened, path.basename(file)), close: () => closeSync(descriptor) }
  }
  closeSync(descriptor)
  // Nobody can have put something else there before: symlink(2) never replaces, and nobody guesses the name.
  const link = path.join(tmpdir(), `pw-${randomBytes(6).toString('base64url')}`)
  symlinkSync(directory, link)
  return { path: path.join(link, path.basename(file)), close: () => removeQuietly(link) }
}
