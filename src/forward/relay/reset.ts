import type { Socket } from 'node:net'

/** The TCP socket inside of a TLS one: only that one can be reset. */
const transports = new WeakMap<Socket, Socket>()

/** Says what carries a socket, so that {@link resetSocket} can reset it. */
export function setTransport(socket: Socket, transport: Socket): void {
  transports.set(socket, transport)
}

/** Closes a socket with a RST; whatever is not a TCP socket, carried by one, or connected any more, is just destroyed. */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return
  // libuv refuses to reset while a shutdown is under way, and Node then loses the descriptor and spins at its exit. It takes one turn.
  if (socket.writableEnded && !socket.writableFinished && socket.writableLength === 0) {
    socket.once('finish', () => resetSocket(socket))
    return
  }
  try {
    transports.get(socket)?.resetAndDestroy()
  } catch {
    // It is no TCP socket, or has lost its connection.
  }
  try {
    if (transports.has(socket)) socket.destroy()
    else socket.resetAndDestroy()
  } catch {
    socket.destroy()
  }
}
