import { type ClientStep, watchClient } from './steps.ts'

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
      const look = () => {
        if (socket.readableLength === 0) return
        stop()
        done({ ok: true, socket })
      }
      const gone = () => {
        done({
          ok: false,
          failure: { reason: 'gone', step, message: 'the client left without a word' },
        })
      }
      const stop = watchClient(socket, look, gone)
      return stop
    },
  }
  return step
}
