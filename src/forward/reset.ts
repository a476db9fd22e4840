import type { Socket } from 'node:net'

/** Closes a socket with a RST; whatever is not a plain TCP socket, or has none any more, is just destroyed. */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return
  try {
    socket.resetAndDestroy()
  } catch {
    socket.destroy()
  }
}
