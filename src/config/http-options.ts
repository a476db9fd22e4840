import { isLoopback } from '../os/interfaces.ts'
import { certificateContradiction } from './contradiction.ts'
import type { CertificateOptions } from './forward-options.ts'
import { parseHostAndPort } from './values.ts'

/** Where a monitor serves its HTTP API, and how. */
export interface HttpOptions extends CertificateOptions {
  /** ADDRESS:PORT, already checked. */
  readonly listen: string
  /** Names by which clients may call this host, beside addresses and localhost. */
  readonly hosts: readonly string[]
  /** Keys may be sent over the network without TLS. */
  readonly insecure: boolean
}

export const httpDefaults: Omit<HttpOptions, 'listen'> = {
  hosts: [],
  tlsCert: '',
  tlsKey: '',
  tlsSelfSigned: false,
  tlsClientCa: '',
  insecure: false,
}

/**
 * What is wrong with these options taken together, in words; undefined = nothing.
 * @param nameOf what an option is called where it was written: its flag, or its key in a file.
 */
export function httpProblem(
  options: HttpOptions,
  nameOf: (option: keyof CertificateOptions | 'insecure') => string,
): string | undefined {
  const problem = certificateContradiction(options, nameOf)
  if (problem !== undefined) return problem
  if (speaksTls(options) || options.insecure || isLoopback(hostOf(options.listen))) return undefined
  const tls = `${nameOf('tlsCert')} and ${nameOf('tlsKey')}, or ${nameOf('tlsSelfSigned')}`
  return `${options.listen} is open to the network, where keys must not be sent in the clear: give ${tls}, listen on 127.0.0.1, or accept that with ${nameOf('insecure')}`
}

export function speaksTls({ tlsCert, tlsSelfSigned }: HttpOptions): boolean {
  return tlsCert !== '' || tlsSelfSigned
}

function hostOf(place: string): string {
  const parsed = parseHostAndPort(place)
  const host = parsed.ok ? parsed.value.host : place
  return host === 'localhost' ? '127.0.0.1' : host
}
