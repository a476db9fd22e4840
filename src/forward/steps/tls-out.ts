import { isIP, type Socket } from 'node:net'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import type { ForwardOptions } from '../../config/forward-options.ts'
import { alpnNames, unixPath } from '../../config/values.ts'
import { errorText } from '../../os/failure.ts'
import { withoutZone } from '../../os/interfaces.ts'
import { followFiles, readAuthorities, stampFiles } from '../../web/tls-files.ts'
import type { ConnectionState } from '../connection-state.ts'
import { setTransport } from '../relay/reset.ts'
import type { TargetStep } from './steps.ts'
import type { CertificateEvent } from './tls-in.ts'
import { brokenPromise, type TlsProblem, targetProblem } from './tls-words.ts'

export type TlsOutOptions = Pick<
  ForwardOptions,
  'targetTlsCa' | 'targetTlsName' | 'targetTlsInsecure' | 'tlsHandshakeTimeoutMs' | 'targetAlpn' | 'gate'
>

/** The forward's side of TLS with its target. */
export interface TlsOut {
  readonly step: TargetStep
  /** Why the file as it is now could not be taken over, in words; undefined when it could. */
  readonly problem: string | undefined
  /** Reads the authorities again. Never rejects: the report tells when it could not. */
  reload(): Promise<void>
  /** Follows the file no longer. */
  close(): void
}

/**
 * @throws Failure when the authorities cannot be read; exit code 78.
 */
export async function dialTls(
  options: TlsOutOptions,
  report: (event: CertificateEvent) => void,
): Promise<TlsOut> {
  const { targetTlsCa: file } = options
  const stamped = await stampFiles([file])
  let context = await contextOf(file)
  let problem: string | undefined
  const reload = async () => {
    try {
      context = await contextOf(file)
      problem = undefined
    } catch (error) {
      const said = problem
      problem = errorText(error)
      if (problem !== said) report({ kind: 'certificate-kept', problem })
    }
  }
  const step: TargetStep = {
    name: 'TLS handshake',
    side: 'target',
    timeoutMs: options.tlsHandshakeTimeoutMs,
    run: (socket, { host, connection }, done) => {
      const name = options.targetTlsName === '' ? nameOf(host) : options.targetTlsName
      const promised = connection?.protocol
      const protocols = protocolsToOffer(options, connection)
      const verify = !options.targetTlsInsecure
      return handshake({ name, context, verify, protocols }, socket, (outcome) => {
        if ('reason' in outcome) return done({ ok: false, failure: { ...outcome, step } })
        const chosen = outcome.alpnProtocol || undefined
        if (promised !== undefined && chosen !== promised && options.targetAlpn.length === 0) {
          return done({ ok: false, failure: { ...brokenPromise(promised, chosen), step } })
        }
        if (connection !== undefined) connection.protocol ??= chosen
        done({ ok: true, socket: outcome })
      })
    },
  }
  return {
    step,
    get problem() {
      return problem
    },
    reload,
    close: file === '' ? () => {} : followFiles([file], stamped, () => void reload()),
  }
}

/** One for all connections: making one reads every root that Node trusts. */
async function contextOf(file: string): Promise<SecureContext> {
  return createSecureContext(file === '' ? {} : { ca: await readAuthorities(file) })
}

/** What stands on the other side of a Unix socket is this machine. */
function nameOf(host: string): string {
  return unixPath(host) === undefined ? withoutZone(host) : 'localhost'
}

/** What the client agreed to, or would like; a gate speaks HTTP/1.1 with its target. */
function protocolsToOffer(
  { targetAlpn, gate }: TlsOutOptions,
  connection: ConnectionState | undefined,
): readonly string[] {
  if (gate !== '') return ['http/1.1']
  if (targetAlpn.length > 0) return alpnNames(targetAlpn)
  return connection?.protocol === undefined ? (connection?.protocols ?? []) : [connection.protocol]
}

interface HandshakeOptions {
  /** The name or address that the certificate must hold. */
  readonly name: string
  readonly context: SecureContext
  readonly verify: boolean
  /** Offered by ALPN; empty = none. */
  readonly protocols: readonly string[]
}

function handshake(
  { name, context, verify, protocols }: HandshakeOptions,
  socket: Socket,
  done: (outcome: TlsProblem | TLSSocket) => void,
): () => void {
  const tlsSocket = connect({
    socket,
    secureContext: context,
    host: name,
    // An IP address is no name that can be asked for (RFC 6066 section 3).
    servername: isIP(name) === 0 ? name : '',
    rejectUnauthorized: verify,
    ...(protocols.length > 0 ? { ALPNProtocols: [...protocols] } : {}),
  })
  setTransport(tlsSocket, socket)
  const failed = (error: Error) => {
    stop()
    done(targetProblem(error, protocols))
  }
  const closed = () => failed(Object.assign(new Error('closed'), { code: 'ECONNRESET' }))
  const secured = () => {
    stop()
    done(tlsSocket)
  }
  const stop = () => {
    tlsSocket.off('error', failed)
    tlsSocket.off('close', closed)
    tlsSocket.off('secureConnect', secured)
    tlsSocket.on('error', () => {})
  }
  tlsSocket.once('error', failed)
  tlsSocket.once('close', closed)
  tlsSocket.once('secureConnect', secured)
  return stop
}
