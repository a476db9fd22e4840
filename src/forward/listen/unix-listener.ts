import { existsSync, lstatSync, type Stats, unlinkSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'
import { errorCode } from '../../os/failure.ts'

/**
 * Listens on a Unix socket. A socket that a dead process has left at that path refuses connections and is removed; one that
 * answers, and anything that is no socket, is left alone.
 * @param mode permissions, in force from the first moment the path is there.
 * @throws NodeJS.ErrnoException EADDRINUSE when somebody listens there; EEXIST when something else is there.
 */
export async function listenOnPath(server: Server, path: string, mode: number): Promise<void> {
  const before = statusOf(path)
  if (before !== undefined) {
    if (!before.isSocket()) throw systemError('EEXIST', path, 'there is something else that is no socket')
    if (await answers(path)) throw systemError('EADDRINUSE', path, 'somebody listens there already')
    // Not another process's, which may have done the same in this very moment.
    if (statusOf(path)?.ino === before.ino) unlinkSync(path)
  }
  try {
    await bind(server, path, mode)
  } catch (error) {
    // libuv says EACCES for it.
    if (!existsSync(dirname(path))) throw systemError('ENOENT', path, 'its folder does not exist')
    throw Object.assign(error as Error, { path })
  }
}

function statusOf(path: string): Stats | undefined {
  try {
    return lstatSync(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** True unless the kernel says that nobody listens: whoever is merely slow to answer is alive. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error) => {
      const code = errorCode(error)
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT')
    })
  })
}

/** A bind takes its permissions from the umask, and Node binds a path before `listen` returns: nobody slips in before a chmod. */
function bind(server: Server, path: string, mode: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const umask = process.umask(0o777 & ~mode)
    try {
      server.listen({ path, exclusive: true }, () => {
        server.removeListener('error', reject)
        resolve()
      })
    } finally {
      process.umask(umask)
    }
  })
}

function systemError(code: string, path: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code, path, syscall: 'listen' })
}
