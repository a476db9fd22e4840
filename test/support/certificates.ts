import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './tools.ts'

export interface Pair {
  readonly cert: string
  readonly key: string
}

export interface CertificateRequest {
  readonly name: string
  /** As in `subjectAltName`; empty = none. */
  readonly alternatives?: string
  /** Days it is good for; below zero it has expired. */
  readonly days?: number
}

/** A certificate authority of a test's own, made by the openssl command; its files are PEM. */
export class Authority {
  readonly directory = mkdtempSync(join(tmpdir(), 'pw-ca-'))
  readonly ca: Pair = { cert: this.file('ca.crt'), key: this.file('ca.key') }
  #made = 0

  static async create(name = 'Test authority'): Promise<Authority> {
    const authority = new Authority()
    await openssl(
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '30',
      ],
      ...['-subj', `/CN=${name}`, '-keyout', authority.ca.key, '-out', authority.ca.cert],
    )
    return authority
  }

  file(name: string): string {
    return join(this.directory, name)
  }

  /** A new key with a certificate signed by this authority. */
  async issue({ name, alternatives = '', days = 7 }: CertificateRequest): Promise<Pair> {
    const base = this.file(`${++this.#made}`)
    const pair = { cert: `${base}.crt`, key: `${base}.key` }
    writeFileSync(`${base}.ext`, alternatives === '' ? '' : `subjectAltName=${alternatives}\n`)
    await openssl(
      ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-subj', `/CN=${name}`, '-keyout', pair.key, '-out', `${base}.csr`],
    )
    await openssl(
      ...['x509', '-req', '-in', `${base}.csr`, '-CA', this.ca.cert, '-CAkey', this.ca.key],
      ...['-days', String(days), '-set_serial', String(Date.now() + this.#made), '-out', pair.cert],
      ...['-extfile', `${base}.ext`],
    )
    return pair
  }

  /** A certificate for the names under which tests reach this machine. */
  issueLocal(name = 'local'): Promise<Pair> {
    return this.issue({ name, alternatives: 'DNS:localhost,IP:127.0.0.1' })
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** What is in the files of a pair. */
export function contents({ cert, key }: Pair): Pair {
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
}

async function openssl(...words: readonly string[]): Promise<void> {
  const { code, stderr } = await run(['openssl', ...words])
  if (code !== 0) throw new Error(`openssl ${words[0]}: ${stderr}`)
}
