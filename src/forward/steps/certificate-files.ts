import type { ForwardOptions } from '../../config/forward-options.ts'
import type { CertificateFiles } from './tls-files.ts'

/** Where the forward's own certificate is; undefined when its clients speak plain TCP. */
export async function certificateFiles(
  { tlsCert, tlsKey, tlsSelfSigned, tlsClientCa }: ForwardOptions,
  stateDirectory: string,
): Promise<CertificateFiles | undefined> {
  const clientCa = tlsClientCa === '' ? undefined : tlsClientCa
  if (tlsCert !== '') return { cert: tlsCert, key: tlsKey, clientCa }
  if (!tlsSelfSigned) return undefined
  const { selfSignedCertificate } = await import('./tls-self-signed.ts')
  const pair = await selfSignedCertificate(stateDirectory)
  return { cert: pair, key: pair, clientCa }
}
