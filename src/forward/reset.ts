import type { Socket } from 'node:net'

/** Closes a socket with a RST; whatever is not a plain TCP socket is just destroyed. */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return
  // libuv refuses to reset while a shutdown is under way, and Node then loses the descriptor and spins at its exit. It takes one turn.
  if (socket.writableEnded && !socket.writableFinished && socket.writableLength === 0) {
    socket.once('finish', () => resetSocket(socket))
    return
  }
  try {
    socket.resetAndDestroy()
  } catch {
    socket.destroy()
  }
}
