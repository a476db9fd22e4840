import { type ProxyVersion, serializeOwnHeader, serializeProxyHeader } from './proxy-protocol.ts'
import type { TargetStep } from './steps.ts'

/** Tells the target who the client is, in the first bytes it gets: in the clear, before a TLS handshake, as HAProxy does. */
export function sendProxyHeader(version: ProxyVersion): TargetStep {
  return {
    name: 'PROXY header',
    side: 'target',
    timeoutMs: 0,
    run: (socket, { connection }, done) => {
      // Not waited for: it fits into the empty send buffer of a new connection, and the relay waits for what does not.
      socket.write(
        connection === undefined
          ? serializeOwnHeader(version)
          : serializeProxyHeader(version, connection.source, connection.destination),
      )
      done({ ok: true, socket })
      return () => {}
    },
  }
}
