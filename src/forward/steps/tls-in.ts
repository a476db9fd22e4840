import { constants } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { errorText } from '../../os/failure.ts'
import type { CertificateFacts } from '../../record/forwarder-health.ts'
import { carrierOf } from '../relay/libuv.ts'
import { setTransport } from '../relay/reset.ts'
import type { ClientStep, StepDone, StepFailure } from './steps.ts'
import {
  type CertificateFiles,
  type CertificateMaterial,
  followFiles,
  readCertificate,
  stampFiles,
} from './tls-files.ts'
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
 * @throws Failure when the files cannot be used; exit code 78.
 */
export async function acceptTls(
  files: CertificateFiles,
  timeoutMs: number,
  report: (event: CertificateEvent) => void,
): Promise<TlsIn> {
  const watched = [...new Set([files.cert, files.key, files.clientCa ?? files.cert])]
  const stamped = await stampFiles(watched)
  let material = await readCertificate(files)
  let problem: string | undefined
  let reloading: Promise<void> | undefined
  const server = createServer({ ...serverOptions(material), handshakeTimeout: never })
  report({ kind: 'certificate-loaded', certificate: material.facts })

  const reload = async () => {
    try {
      const fresh = await readCertificate(files)
      const isOther = !isSame(fresh, material)
      if (isOther) server.setSecureContext(serverOptions(fresh))
      material = fresh
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
    step: handshakeStep(server, timeoutMs),
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

/**
 * The sockets are handed to a TLS server of Node's that listens nowhere: it makes the handshake, verifies client certificates and
 * changes its certificate between two connections.
 */
function handshakeStep(server: Server, timeoutMs: number): ClientStep {
  const waiting = new Map<Socket, StepDone>()
  const finish = (tlsSocket: TLSSocket, result: Parameters<StepDone>[0]) => {
    const carrier = carrierOf(tlsSocket)
    const done = carrier && waiting.get(carrier)
    // Given up meanwhile: whoever gave up closes the carrier.
    if (carrier === undefined || done === undefined) return
    waiting.delete(carrier)
    setTransport(tlsSocket, carrier)
    done(result)
  }
  server.on('secureConnection', (tlsSocket) => {
    // Until whoever comes next listens.
    tlsSocket.on('error', () => {})
    tlsSocket.allowHalfOpen = true
    finish(tlsSocket, { ok: true, socket: tlsSocket })
  })
  server.on('tlsClientError', (error, tlsSocket) => {
    finish(tlsSocket, { ok: false, failure: { ...failureOf(error, tlsSocket), step } })
  })
  const step: ClientStep = {
    name: 'TLS handshake',
    side: 'client',
    timeoutMs,
    run: (socket, _connection, done) => {
      waiting.set(socket, done)
      // The TLS socket takes this over: one that was half-open would not mind a client that leaves within the handshake.
      socket.allowHalfOpen = false
      server.emit('connection', socket)
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
