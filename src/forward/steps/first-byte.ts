import type { ClientStep } from './steps.ts'

/**
 * Lets a client in only once it has sent a byte, so that silent visitors (port scanners, slow attackers) never reach the target.
 * Not for protocols in which the server speaks first.
 * @param timeoutMs greater than 0.
 */
export function waitForFirstByte(timeoutMs: number): ClientStep {
  const step: ClientStep = {
    side: 'client',
    name: 'first byte',
    timeoutMs,
    run: (socket, _connection, done) => {
      const stop = () => {
        socket.removeListener('readable', look)
        socket.removeListener('end', gone)
        socket.removeListener('close', gone)
      }
      const look = () => {
        if (socket.readableLength === 0) return
        stop()
        done({ ok: true, socket })
      }
      const gone = () => {
        stop()
        done({
          ok: false,
          failure: { reason: 'gone', step, message: 'the client left without a word' },
        })
      }
      socket.on('end', gone)
      socket.on('close', gone)
      // Begins to read, into the socket's own buffer and no further than that holds.
      socket.on('readable', look)
      return stop
    },
  }
  return step
}
