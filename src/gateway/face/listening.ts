import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, Server as NetServer } from 'node:net'
import type { HttpOptions } from '../../config/http-options.ts'
import { parseHostAndPort } from '../../config/values.ts'
import type { LeftSocket } from '../../control/replacement.ts'
import { errorCode, exitCode, Failure, errorText as wordsOf } from '../../os/failure.ts'
import { hostAndPort } from '../../os/interfaces.ts'
import type { InheritedSocket } from '../../process/inheritance.ts'
import { certificateFiles } from '../../web/certificate-files.ts'
import type { Scheme } from '../../web/hosts.ts'
import { readCertificate } from '../../web/tls-files.ts'

// The server of HTTP itself: how it is made, where it listens, and how it leaves that to the next process.

/** ms for a head. */
const headMs = 10_000

/** @throws Failure when the certificate cannot be used. */
export async function makeServer(
  http: HttpOptions,
  stateDirectory: string,
  scheme: Scheme,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const limits = {
    headersTimeout: headMs,
    requestTimeout: 0,
    connectionsCheckingInterval: 1000,
    keepAliveTimeout: 65_000,
    maxHeaderSize: 16 * 1024,
    // Refused with the others that name no host.
    requireHostHeader: false,
  }
  const files = await certificateFiles(http, stateDirectory)
  if (scheme === 'http' || files === undefined) return createServer(limits, listener)
  const { cert, key, clientCa: ca } = await readCertificate(files)
  const clients = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }
  return createTlsServer({ ...limits, cert, key, ...clients }, listener)
}

/**
 * Listens where the configuration says: on the socket of the process before, where that listens there, and else on one of its own.
 * @returns where it serves, without the scheme: `127.0.0.1:8080`. @throws Failure
 */
export async function listen(
  server: Server,
  { listen: wanted }: HttpOptions,
  inherited: readonly InheritedSocket[],
): Promise<string> {
  const parsed = parseHostAndPort(wanted)
  const { host: given, port } = parsed.ok ? parsed.value : { host: wanted, port: 0 }
  const host = given === 'localhost' ? '127.0.0.1' : given
  const place = hostAndPort(host, port)
  const socket = inherited.find(({ name }) => name === place)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const next =
        errorCode(error) === 'EADDRINUSE'
          ? '; give another port with --http, or end the process that listens there'
          : ''
      reject(
        new Failure(`the gateway cannot listen on ${place}: ${wordsOf(error)}${next}`, exitCode.unavailable),
      )
    })
    if (socket === undefined) server.listen(port, host, () => resolve())
    else server.listen({ fd: socket.descriptor }, () => resolve())
  })
  return hostAndPort(host, (server.address() as AddressInfo).port)
}

/** The listening socket, for the process that takes over. @param place as `listen` has returned it. */
export function socketOf(server: Server, place: string): readonly LeftSocket[] {
  const { _handle: handle } = server as unknown as { readonly _handle?: { readonly fd?: number } | null }
  const descriptor = handle?.fd
  return descriptor === undefined || descriptor < 0 ? [] : [{ place, descriptor }]
}

/** Takes no more connections. Those that are open go on: Node's own `close` of HTTP would end the idle ones, in the moment of a request. */
export function stopListening(server: Server): void {
  NetServer.prototype.close.call(server)
}

/** How many connections are open. */
export function openConnections(server: Server): Promise<number> {
  return new Promise((resolve) => server.getConnections((error, count) => resolve(error ? 0 : count)))
}
