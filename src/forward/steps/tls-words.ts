import { errorCode, errorText } from '../../os/failure.ts'
import type { StepFailure } from './steps.ts'

/** What is wrong with a certificate, by the code of OpenSSL's verification (openssl-verification-options(1)). */
const certificateProblems: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet; are both clocks right?',
  CERT_REVOKED: 'is revoked',
  CERT_SIGNATURE_FAILURE: 'has a wrong signature',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is self-signed and not trusted here',
  SELF_SIGNED_CERT_IN_CHAIN: 'is signed by an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT: 'is signed by an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'is signed by an authority that is not trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'is signed by an authority that is not trusted here',
  INVALID_PURPOSE: 'is made for another purpose',
}

function certificateProblem(code: string): string | undefined {
  return certificateProblems[code]
}

export type TlsProblem = Omit<StepFailure, 'step'>

const refused = (message: string): TlsProblem => ({ reason: 'refused', message })

/** Why the handshake with a client failed. `distrust` is the code of what is wrong with its certificate. */
export function clientProblem(error: Error, distrust: string | undefined): TlsProblem {
  if (distrust !== undefined) {
    return refused(
      `its client certificate ${certificateProblem(distrust) ?? `is not accepted (${distrust})`}`,
    )
  }
  const code = errorCode(error) ?? ''
  if (code === 'ECONNRESET') return { reason: 'gone', message: 'it closed in the middle of the handshake' }
  const known = clientProblems.find(([pattern]) => pattern.test(code))
  return refused(known === undefined ? reasonOf(error) : known[1])
}

/** By Node's code for an error of OpenSSL's: ERR_SSL_ and OpenSSL's reason. */
const clientProblems: readonly (readonly [RegExp, string])[] = [
  [/HTTPS_PROXY_REQUEST/, 'it takes this port for an HTTP proxy'],
  [/HTTP_REQUEST/, 'it speaks plain HTTP to a TLS port; the address begins with https://'],
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE/, 'it showed no client certificate (--tls-client-ca asks for one)'],
  [
    /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|CERTIFICATE_EXPIRED)/,
    'it does not trust this forward’s certificate',
  ],
  [/UNSUPPORTED_PROTOCOL|UNKNOWN_PROTOCOL|VERSION_TOO_LOW/, 'it offers no TLS newer than 1.1'],
  [/NO_APPLICATION_PROTOCOL/, 'it offers no protocol by ALPN that is spoken here (--tls-alpn)'],
  [/NO_SHARED_CIPHER|NO_SUITABLE/, 'it offers no way of encrypting that is taken here'],
  [/WRONG_VERSION_NUMBER|PACKET_LENGTH|RECORD|UNEXPECTED_MESSAGE|LENGTH|DECODE/, 'what it sends is not TLS'],
]

/**
 * Why the handshake with the target failed.
 * @param protocols that it was offered by ALPN.
 */
export function targetProblem(error: Error, protocols: readonly string[]): TlsProblem {
  const code = errorCode(error) ?? ''
  if (/NO_APPLICATION_PROTOCOL/.test(code)) {
    const offered = protocols.length === 0 ? 'it was offered none' : `it was offered ${protocols.join(', ')}`
    return refused(
      `it supports none of the protocols offered by ALPN: ${offered}; --target-alpn names others`,
    )
  }
  const distrust = certificateProblem(code)
  if (distrust !== undefined) return refused(`its certificate ${distrust}${cures[code] ?? trustCure(code)}`)
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const { host, reason } = error as { host?: string; reason?: string }
    return refused(`its certificate is not for ${host}: ${reason}; --target-tls-name names another`)
  }
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    return { reason: 'gone', message: 'it closed in the middle of the handshake; does it speak TLS?' }
  }
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH|HTTP_REQUEST|RECORD/.test(code)) {
    return refused('what it answers is not TLS; without --target-tls it is spoken to in the clear')
  }
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/.test(code)) {
    return refused(`it refuses the handshake, perhaps for want of a client certificate (${reasonOf(error)})`)
  }
  return refused(reasonOf(error))
}

/** The client was answered with a protocol before the target was asked. */
export function brokenPromise(promised: string, chosen: string | undefined): TlsProblem {
  const instead = chosen === undefined ? 'names no protocol' : `chose ${chosen}`
  return refused(`the client was promised ${promised} (--tls-alpn), and the target ${instead}`)
}

const cures: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: '',
  CERT_NOT_YET_VALID: '',
  CERT_REVOKED: '',
}

function trustCure(code: string): string {
  return code === 'CERT_SIGNATURE_FAILURE' ? '' : '; --target-tls-ca FILE names the CA to trust'
}

/** OpenSSL's own words without its preamble of thread and source file. */
function reasonOf(error: Error): string {
  const { reason } = error as { reason?: string }
  return reason ?? errorText(error).trim()
}
