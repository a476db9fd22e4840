import type { CertificateOptions } from '../config/forward-options.ts'
import type { CertificateFiles } from './tls-files.ts'

/** Where a server's own certificate is; undefined when its clients speak without TLS. */
export async function certificateFiles(
  { tlsCert, tlsKey, tlsSelfSigned, tlsClientCa }: CertificateOptions,
  stateDirectory: string,
): Promise<CertificateFiles | undefined> {
  const clientCa = tlsClientCa === '' ? undefined : tlsClientCa
  if (tlsCert !== '') return { cert: tlsCert, key: tlsKey, clientCa }
  if (!tlsSelfSigned) return undefined
  const { selfSignedCertificate } = await import('./tls-self-signed.ts')
  const pair = await selfSignedCertificate(stateDirectory)
  return { cert: pair, key: pair, clientCa }
}
