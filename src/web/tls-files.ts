import { X509Certificate } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { readSecretFile, readTrustedFile } from '../os/regular-file.ts'
import type { CertificateFacts } from '../record/shapes/forwarder-health.ts'

/** Where a server's own certificate is; both may be one file. */
export interface CertificateFiles {
  /** PEM: the certificate, then those that lead to a root. */
  readonly cert: string
  /** PEM, not encrypted. */
  readonly key: string
  /** PEM: who may have signed the certificates of clients. Undefined = clients are not asked for one. */
  readonly clientCa: string | undefined
}

/** A certificate that works with its key. */
export interface CertificateMaterial {
  readonly cert: string
  readonly key: string
  readonly clientCa: string | undefined
  readonly facts: CertificateFacts
}

/**
 * Reads a certificate with its key and proves that they belong together.
 * @throws Failure that names the file and what is wrong with it; exit code 78.
 */
export async function readCertificate(files: CertificateFiles): Promise<CertificateMaterial> {
  const [cert, key, clientCa] = await Promise.all([
    readText(files.cert),
    readText(files.key, readSecretFile),
    files.clientCa === undefined ? undefined : readText(files.clientCa),
  ])
  const facts = factsOf(cert, files.cert)
  if (clientCa !== undefined && files.clientCa !== undefined) factsOf(clientCa, files.clientCa)
  try {
    createSecureContext({ cert, key, ca: clientCa })
  } catch (error) {
    throw unusable(files.key, keyProblem(error, key, files.cert))
  }
  return { cert, key, clientCa, facts }
}

/**
 * Reads certificates of authorities.
 * @throws Failure as {@link readCertificate}.
 */
export async function readAuthorities(file: string): Promise<string> {
  const text = await readText(file)
  factsOf(text, file)
  return text
}

async function readText(file: string, read = readTrustedFile): Promise<string> {
  try {
    return read(file)
  } catch (error) {
    throw new Failure(`${file} cannot be read: ${errorText(error)}`, exitCode.configuration)
  }
}

function factsOf(text: string, file: string): CertificateFacts {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(text)
  } catch {
    throw unusable(file, 'it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)')
  }
  return {
    subject: oneLine(certificate.subject ?? ''),
    names: certificate.subjectAltName ?? '',
    validFrom: new Date(certificate.validFrom).toISOString(),
    validTo: new Date(certificate.validTo).toISOString(),
    fingerprint: certificate.fingerprint256,
  }
}

function oneLine(subject: string): string {
  return subject.replaceAll('\n', ', ')
}

function keyProblem(error: unknown, key: string, certificateFile: string): string {
  if (errorCode(error) === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') {
    return `it is not the key of the certificate in ${certificateFile}`
  }
  if (key.includes('ENCRYPTED')) return 'the key is encrypted; nobody can be asked for its passphrase'
  if (!key.includes('PRIVATE KEY-----')) return 'it holds no private key in PEM (-----BEGIN PRIVATE KEY-----)'
  return errorText(error)
}

function unusable(file: string, why: string): Failure {
  return new Failure(`${file} cannot be used: ${why}`, exitCode.configuration)
}

/** ms between two looks at the files. Events of the file system miss files behind links, as certbot and Kubernetes make them. */
const followIntervalMs = 1000

/** What files are now, for `followFiles`: to be taken before they are read, or a change in between would never be noticed. */
export async function stampFiles(files: readonly string[]): Promise<string> {
  return (await Promise.all(files.map(stamp))).join(' ')
}

/**
 * Calls back after one of the files has become another or has got other contents.
 * @param stamped what they were before they were read.
 * @returns a function that ends it.
 */
export function followFiles(files: readonly string[], stamped: string, onChange: () => void): () => void {
  let before = stamped
  let looking = false
  const look = async () => {
    if (looking) return
    looking = true
    const now = await stampFiles(files)
    looking = false
    const changed = before !== now
    before = now
    if (changed) onChange()
  }
  const timer = setInterval(() => void look(), followIntervalMs)
  timer.unref()
  return () => clearInterval(timer)
}

async function stamp(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(file)
    return [dev, ino, size, mtimeMs, ctimeMs].join(':')
  } catch (error) {
    return errorCode(error) ?? 'unreadable'
  }
}
