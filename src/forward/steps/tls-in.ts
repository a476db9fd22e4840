import { AsyncLocalStorage } from 'node:async_hooks'
import { constants } from 'node:crypto'
import { Socket } from 'node:net'
import { createServer, type Server, TLSSocket } from 'node:tls'
import { errorText } from '../../os/failure.ts'
import type { CertificateFacts } from '../../record/shapes/forwarder-health.ts'
import {
  type CertificateFiles,
  type CertificateMaterial,
  followFiles,
  readCertificate,
  stampFiles,
} from '../../web/tls-files.ts'
import type { ConnectionState } from '../connection-state.ts'
import { carrierOf } from '../relay/libuv.ts'
import { setTransport } from '../relay/reset.ts'
import type { ClientStep, StepDone, StepFailure } from './steps.ts'
import { clientProblem } from './tls-words.ts'

export type CertificateEvent =
  | { readonly kind: 'certificate-loaded'; readonly certificate: CertificateFacts }
  /** The new files are of no use; the certificate from before stays. */
  | { readonly kind: 'certificate-kept'; readonly problem: string }

/** The forward's side of TLS with clients: its certificate, kept up to date, and the handshake. */
export interface TlsIn {
  readonly step: ClientStep
  /** Of the certificate in use. */
  readonly certificate: CertificateFacts
  /** Why the files as they are now could not be taken over, in words; undefined when they could. */
  readonly problem: string | undefined
  /** Reads the files again; connections that exist go on with what they have. Never rejects: the report tells how it went. */
  reload(): Promise<void>
  /** Follows the files no longer. */
  close(): void
}

/** Longest time Node's timers hold, in ms: the deadline is the pipeline's to keep. */
const never = 0x7fff_ffff

/**
 * @param protocols offered to clients by ALPN, the best first. Empty = the one that the connection's target has chosen, if any.
 * @throws Failure when the files cannot be used; exit code 78.
 */
export async function acceptTls(
  files: CertificateFiles,
  timeoutMs: number,
  protocols: readonly string[],
  report: (event: CertificateEvent) => void,
): Promise<TlsIn> {
  const watched = [...new Set([files.cert, files.key, files.clientCa ?? files.cert])]
  const stamped = await stampFiles(watched)
  let material = await readCertificate(files)
  let problem: string | undefined
  let reloading: Promise<void> | undefined
  const servers = new HandshakeServers(protocols, () => serverOptions(material))
  report({ kind: 'certificate-loaded', certificate: material.facts })

  const reload = async () => {
    try {
      const fresh = await readCertificate(files)
      const isOther = !isSame(fresh, material)
      material = fresh
      if (isOther) servers.renew()
      if (isOther || problem !== undefined) {
        report({ kind: 'certificate-loaded', certificate: fresh.facts })
      }
      problem = undefined
    } catch (error) {
      const said = problem
      problem = errorText(error)
      if (problem !== said) report({ kind: 'certificate-kept', problem })
    }
  }
  // One after the other, and each asker gets a reading that began after the asking.
  const reloadInTurn = () => {
    reloading = (reloading ?? Promise.resolve()).then(reload)
    return reloading
  }
  const stop = followFiles(watched, stamped, () => void reloadInTurn())
  return {
    step: handshakeStep(servers, timeoutMs),
    get certificate() {
      return material.facts
    },
    get problem() {
      return problem
    },
    reload: reloadInTurn,
    close: stop,
  }
}

function serverOptions({ cert, key, clientCa }: CertificateMaterial) {
  if (clientCa === undefined) return { cert, key }
  // A resumed session is not verified again: neither a certificate that has expired meanwhile nor a new authority would count.
  const secureOptions = constants.SSL_OP_NO_TICKET
  return { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: true, secureOptions }
}

function isSame(a: CertificateMaterial, b: CertificateMaterial): boolean {
  return a.cert === b.cert && a.key === b.key && a.clientCa === b.clientCa
}

/** Protocols that targets may choose before the server of one is made anew each time. */
const mostServers = 16

/**
 * TLS servers of Node's that listen nowhere: they make the handshake, verify client certificates and change their certificate between
 * two connections. There is one for each protocol that a target has chosen, because a server has one list for all its clients.
 */
class HandshakeServers {
  readonly #protocols: readonly string[]
  readonly #options: () => ReturnType<typeof serverOptions>
  readonly #servers = new Map<string, Server>()
  #ended: ((tlsSocket: TLSSocket, error: Error | undefined) => void) | undefined

  constructor(protocols: readonly string[], options: () => ReturnType<typeof serverOptions>) {
    this.#protocols = protocols
    this.#options = options
    // Made now: a certificate of no use is told at the start.
    this.for(undefined)
  }

  /** @param chosen by the target; undefined = none. */
  for(chosen: string | undefined): Server {
    const key = this.#protocols.length > 0 ? '' : (chosen ?? '')
    const known = this.#servers.get(key)
    if (known !== undefined) return known
    const ALPNProtocols = key === '' ? [...this.#protocols] : [key]
    const alpn = ALPNProtocols.length > 0 ? { ALPNProtocols } : {}
    const server = createServer({ ...this.#options(), ...alpn, handshakeTimeout: never })
    server.on('secureConnection', (tlsSocket) => this.#ended?.(tlsSocket, undefined))
    server.on('tlsClientError', (error, tlsSocket) => this.#ended?.(tlsSocket, error))
    const [first] = this.#servers.values()
    if (first !== undefined) server.setTicketKeys(first.getTicketKeys())
    if (this.#servers.size < mostServers) this.#servers.set(key, server)
    return server
  }

  /** The certificate is another one. */
  renew(): void {
    for (const server of this.#servers.values()) server.setSecureContext(this.#options())
  }

  /** Tells how handshakes end; an error when they failed. */
  onEnd(ended: (tlsSocket: TLSSocket, error: Error | undefined) => void): void {
    this.#ended = ended
  }
}

function handshakeStep(servers: HandshakeServers, timeoutMs: number): ClientStep {
  // Where this Node does not tell which socket a TLS one is made around, the context in which it was made does.
  const carriers =
    carrierOf(new TLSSocket(new Socket())) === undefined ? new AsyncLocalStorage<Socket>() : undefined
  const waiting = new Map<Socket, { readonly connection: ConnectionState; readonly done: StepDone }>()
  servers.onEnd((tlsSocket, error) => {
    const carrier = carriers === undefined ? carrierOf(tlsSocket) : carriers.getStore()
    const waiter = carrier && waiting.get(carrier)
    // Until whoever comes next listens.
    tlsSocket.on('error', () => {})
    // Given up meanwhile: whoever gave up closes the carrier.
    if (carrier === undefined || waiter === undefined) return
    waiting.delete(carrier)
    setTransport(tlsSocket, carrier)
    if (error !== undefined) {
      return waiter.done({ ok: false, failure: { ...failureOf(error, tlsSocket), step } })
    }
    tlsSocket.allowHalfOpen = true
    const { alpnProtocol } = tlsSocket
    if (alpnProtocol !== false && alpnProtocol !== null) waiter.connection.protocol = alpnProtocol
    waiter.done({ ok: true, socket: tlsSocket })
  })
  const step: ClientStep = {
    name: 'TLS handshake',
    side: 'client',
    timeoutMs,
    run: (socket, connection, done) => {
      waiting.set(socket, { connection, done })
      // The TLS socket takes this over: one that was half-open would not mind a client that leaves within the handshake.
      socket.allowHalfOpen = false
      const server = servers.for(connection.protocol)
      if (carriers === undefined) server.emit('connection', socket)
      else carriers.run(socket, () => server.emit('connection', socket))
      socket.allowHalfOpen = true
      return () => void waiting.delete(socket)
    },
  }
  return step
}

function failureOf(error: Error, tlsSocket: TLSSocket): Omit<StepFailure, 'step'> {
  // Node closes a client that it does not trust without an error, and leaves the reason here.
  const distrust = tlsSocket.authorizationError as unknown as string | null
  return clientProblem(error, distrust ?? undefined)
}
