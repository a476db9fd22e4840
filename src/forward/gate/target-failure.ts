/** Why a target gave no answer that can be passed on, as page, log and health report show it. */
import type { Socket } from 'node:net'
import { errorCode, errorText } from '../../os/failure.ts'

export type TargetProblem =
  /** Nothing listens there. */
  | 'refused'
  /** It did not accept, or not answer an upgrade, in time. */
  | 'timed-out'
  /** No connection for another reason, a failed TLS handshake with it among them. */
  | 'unreachable'
  /** It expects TLS. */
  | 'speaks-tls'
  /** It closed the connection before it answered. */
  | 'closed'
  /** What it sends is no HTTP. */
  | 'not-http'
  /** It speaks HTTP, and its answer breaks the rules of it. */
  | 'malformed'
  | 'head-too-long'
  /** It switched to another protocol without being asked to. */
  | 'switched'

export interface TargetFailure {
  readonly problem: TargetProblem
  /** What was seen, in words. */
  readonly detail: string
}

/** The end of a dial of the gate. */
export class DialError extends Error {
  readonly problem: TargetProblem

  /** @param reason as the dialler reports it. */
  constructor(reason: string, message: string) {
    super(message)
    const problems: Readonly<Record<string, TargetProblem>> = {
      'target-refused': 'refused',
      'target-timeout': 'timed-out',
    }
    this.problem = problems[reason] ?? 'unreachable'
  }
}

/** The first bytes of a TLS record: an alert or a handshake of any version. */
export function isTlsRecord(bytes: Uint8Array): boolean {
  const [type = 0, major = 0, minor = 0] = bytes
  return (type === 0x15 || type === 0x16) && major === 3 && minor <= 4
}

/** Judges what a socket, or the dial, reports. */
export function failureOf(error: unknown): TargetFailure {
  if (error instanceof DialError) return { problem: error.problem, detail: error.message }
  const code = errorCode(error) ?? ''
  const detail = errorText(error)
  if (code === 'ECONNREFUSED') return { problem: 'refused', detail }
  if (code === 'ECONNRESET' || code === 'EPIPE')
    return { problem: 'closed', detail: 'it closed before its answer' }
  return { problem: 'unreachable', detail }
}

/** ms for a target's answer to the TLS handshake that tests why it closed. */
const probeMs = 2_000

/** Whether a target that closed a connection without a word expects TLS, as servers of Node do: it is asked for a handshake once. */
export async function expectsTls(
  connect: (done: (error: Error | undefined, socket: Socket | undefined) => void) => void,
): Promise<boolean> {
  const { connect: connectTls } = await import('node:tls')
  return await new Promise((resolve) => {
    connect((_error, socket) => {
      if (socket === undefined) return resolve(false)
      // The certificate does not matter: no data is sent.
      const handshake = connectTls({ socket, rejectUnauthorized: false })
      const finish = (isTls: boolean) => {
        clearTimeout(deadline)
        handshake.destroy()
        socket.destroy()
        resolve(isTls)
      }
      const deadline = setTimeout(() => finish(false), probeMs)
      // OpenSSL's code of an alert that the other side sent, such as ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE.
      handshake.on('error', (error) => finish(/_ALERT_/.test(errorCode(error) ?? '')))
      handshake.once('close', () => finish(false)).once('secureConnect', () => finish(true))
    })
  })
}

export interface FailureWords {
  readonly status: 502 | 504
  readonly title: string
  /** What happened and what to do, in one or two sentences. */
  readonly text: string
}

/** @param target as a person writes it: `localhost:3000`. */
export function failureWords({ problem, detail }: TargetFailure, target: string): FailureWords {
  const status = problem === 'timed-out' ? 504 : 502
  const words = (title: string, text: string) => ({ status, title, text }) as const
  switch (problem) {
    case 'refused':
      return words(
        'The target is not running',
        `${target} refused the connection: nothing listens there. Start the program, then try again.`,
      )
    case 'timed-out':
      return words(
        'The target does not answer',
        `${target} did not answer in time (${detail}). Check that it runs and that no firewall drops the connection.`,
      )
    case 'unreachable':
      return words('The target cannot be reached', `No connection to ${target}: ${detail}.`)
    case 'speaks-tls':
      return words(
        'The target speaks TLS',
        `${target} expects TLS, and the forward speaks plain HTTP to it. Add --target-tls to the forward.`,
      )
    case 'closed':
      return words(
        'The target closed the connection',
        `${target} accepted the connection and closed it without an answer. Its own log may say why; if it speaks TLS, add --target-tls to the forward.`,
      )
    case 'not-http':
      return words(
        'The target does not speak HTTP',
        `${target} answered with something that is not HTTP. A gate needs an HTTP target: check the port, or forward it without --gate.`,
      )
    case 'malformed':
      return words(
        'The target’s answer is malformed',
        `${target} sent an answer that breaks the rules of HTTP (${detail}). The program there must be corrected.`,
      )
    case 'head-too-long':
      return words(
        'The target’s answer is malformed',
        `${target} sent an answer with too many headers: ${detail}. The program there must send fewer.`,
      )
    case 'switched':
      return words(
        'The target’s answer is malformed',
        `${target} switched to another protocol, which the request did not ask for. The program there must be corrected.`,
      )
  }
}
