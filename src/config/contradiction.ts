import type { ForwardOptions } from './forward-options.ts'
import { alpnNames } from './values.ts'

/** What is wrong with these options taken together, in words. */
export function contradictionIn(options: ForwardOptions): string | undefined {
  const { tlsCert, tlsKey, tlsSelfSigned, tlsClientCa } = options
  if (tlsCert !== '' && tlsKey === '') return '--tls-cert needs its private key: --tls-key FILE'
  if (tlsKey !== '' && tlsCert === '') return '--tls-key needs its certificate: --tls-cert FILE'
  if (tlsSelfSigned && tlsCert !== '') return '--tls-self-signed and --tls-cert exclude each other'
  if (tlsClientCa !== '' && tlsCert === '' && !tlsSelfSigned) {
    return '--tls-client-ca needs a certificate of its own: --tls-cert and --tls-key, or --tls-self-signed'
  }
  const { tlsAlpn, targetAlpn, gate } = options
  if (tlsAlpn.length > 0 && tlsCert === '' && !tlsSelfSigned) {
    return '--tls-alpn needs a certificate: --tls-cert and --tls-key, or --tls-self-signed'
  }
  if (gate !== '' && alpnNames([...tlsAlpn, ...targetAlpn]).some((name) => name !== 'http/1.1')) {
    return '--gate speaks HTTP/1.1 only: leave out --tls-alpn and --target-alpn'
  }
  if (!options.targetTls) {
    if (targetAlpn.length > 0) return '--target-alpn needs --target-tls'
    const { targetTlsCa, targetTlsName, targetTlsInsecure } = options
    if (targetTlsCa !== '') return '--target-tls-ca needs --target-tls'
    if (targetTlsName !== '') return '--target-tls-name needs --target-tls'
    if (targetTlsInsecure) return '--target-tls-insecure needs --target-tls'
  } else if (options.targetTlsInsecure && options.targetTlsCa !== '') {
    return '--target-tls-insecure and --target-tls-ca exclude each other'
  }
  if (options.gate !== '' && options.sendProxy !== '') {
    return '--gate and --send-proxy exclude each other: one connection to the target serves several visitors'
  }
  return undefined
}
