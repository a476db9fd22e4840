import type { CertificateOptions, ForwardOptions, TunableOptions } from './forward-options.ts'
import { alpnNames } from './values.ts'

/**
 * What is wrong with these options taken together, in words.
 * @param nameOf what an option is called where it was written: its flag, or its key in a file.
 */
export function contradictionIn(
  options: ForwardOptions,
  nameOf: (option: keyof TunableOptions) => string,
): string | undefined {
  const say = (words: TemplateStringsArray, ...named: (keyof TunableOptions)[]) =>
    String.raw({ raw: words }, ...named.map(nameOf))
  const problem = certificateContradiction(options, nameOf)
  if (problem !== undefined) return problem
  const { tlsAlpn, targetAlpn, gate, tlsCert, tlsSelfSigned } = options
  if (tlsAlpn.length > 0 && tlsCert === '' && !tlsSelfSigned) {
    return say`${'tlsAlpn'} needs a certificate: ${'tlsCert'} and ${'tlsKey'}, or ${'tlsSelfSigned'}`
  }
  if (gate !== '' && alpnNames([...tlsAlpn, ...targetAlpn]).some((name) => name !== 'http/1.1')) {
    return say`${'gate'} speaks HTTP/1.1 only: leave out ${'tlsAlpn'} and ${'targetAlpn'}`
  }
  if (!options.targetTls) {
    if (targetAlpn.length > 0) return say`${'targetAlpn'} needs ${'targetTls'}`
    const { targetTlsCa, targetTlsName, targetTlsInsecure } = options
    if (targetTlsCa !== '') return say`${'targetTlsCa'} needs ${'targetTls'}`
    if (targetTlsName !== '') return say`${'targetTlsName'} needs ${'targetTls'}`
    if (targetTlsInsecure) return say`${'targetTlsInsecure'} needs ${'targetTls'}`
  } else if (options.targetTlsInsecure && options.targetTlsCa !== '') {
    return say`${'targetTlsInsecure'} and ${'targetTlsCa'} exclude each other`
  }
  if (options.gate !== '' && options.sendProxy !== '') {
    return say`${'gate'} and ${'sendProxy'} exclude each other: behind a gate, X-Forwarded-For names the visitor to the target`
  }
  return undefined
}

/** The same of the options of a server's own certificate. */
export function certificateContradiction(
  { tlsCert, tlsKey, tlsSelfSigned, tlsClientCa }: CertificateOptions,
  nameOf: (option: keyof CertificateOptions) => string,
): string | undefined {
  const [cert, key, selfSigned] = [nameOf('tlsCert'), nameOf('tlsKey'), nameOf('tlsSelfSigned')]
  if (tlsCert !== '' && tlsKey === '') return `${cert} needs its private key: ${key} FILE`
  if (tlsKey !== '' && tlsCert === '') return `${key} needs its certificate: ${cert} FILE`
  if (tlsSelfSigned && tlsCert !== '') return `${selfSigned} and ${cert} exclude each other`
  if (tlsClientCa === '' || tlsCert !== '' || tlsSelfSigned) return undefined
  return `${nameOf('tlsClientCa')} needs a certificate of its own: ${cert} and ${key}, or ${selfSigned}`
}
