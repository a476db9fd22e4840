import { parseClientHello } from './client-hello.ts'
import { type ClientStep, watchClient } from './steps.ts'

/**
 * Reads which protocols a TLS client offers, and answers nothing yet: the target is asked first, and what it chooses is what the client
 * is answered.
 * @param handshake takes over at once from who does not speak TLS: it has the words for that.
 */
export function readHelloFirst(handshake: ClientStep): ClientStep {
  const step: ClientStep = {
    name: handshake.name,
    side: 'client',
    timeoutMs: handshake.timeoutMs,
    run: (socket, connection, done) => {
      const read: Buffer[] = []
      let cancelHandshake = () => {}
      const giveBack = () => {
        stop()
        if (read.length > 0) socket.unshift(Buffer.concat(read))
      }
      const look = () => {
        for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) read.push(chunk as Buffer)
        const hello = parseClientHello(Buffer.concat(read))
        if (hello.kind === 'more') return
        giveBack()
        if (hello.kind === 'not-tls') {
          cancelHandshake = handshake.run(socket, connection, done)
          return
        }
        connection.protocols = hello.alpn
        done({ ok: true, socket })
      }
      const gone = () => {
        done({
          ok: false,
          failure: { reason: 'gone', step, message: 'it closed in the middle of the handshake' },
        })
      }
      const stop = watchClient(socket, look, gone)
      return () => {
        stop()
        cancelHandshake()
      }
    },
  }
  return step
}
