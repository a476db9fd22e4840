import { lstatSync } from 'node:fs'
import type { Server } from 'node:net'
import { removeQuietly } from '../os/atomic-file.ts'
import { socketName } from './socket-path.ts'

/** A listening socket, and the file that leads to it. */
export interface HeldSocket {
  readonly server: Server
  readonly inode: number
  readonly device: number
}

/** How many sockets this process has bound. */
let binds = 0

/**
 * Has a server listen under a name of its own, beside the file that is to lead to it: another one each time, because a socket that is closed
 * removes the name that it was bound to.
 * @returns that name. @throws the system's error.
 */
export async function listenUnderOwnName(server: Server, file: string): Promise<string> {
  const own = `${file}.${process.pid}-${++binds}`
  removeQuietly(own)
  await listen(server, own)
  return own
}

/**
 * A bind takes its permissions from the umask, and Node binds a path before `listen` returns: only this user can ever connect, whatever
 * becomes of the directory's mode.
 */
function listen(server: Server, file: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const name = socketName(file)
    server.once('error', reject)
    const umask = process.umask(0o177)
    try {
      server.listen(name.path, () => {
        server.removeListener('error', reject)
        server.on('error', () => {})
        resolve()
      })
    } finally {
      process.umask(umask)
      name.close()
    }
  })
}

/** Whether a file still leads to this socket. */
export function isNameOf({ inode, device }: HeldSocket, file: string): boolean {
  try {
    const { ino, dev } = lstatSync(file)
    return ino === inode && dev === device
  } catch {
    return false
  }
}

/** Closes the socket, and removes the file unless it is another one's by now. */
export function release(held: HeldSocket, file: string): void {
  held.server.close()
  if (isNameOf(held, file)) removeQuietly(file)
}
