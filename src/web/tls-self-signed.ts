import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { isLinkLocal, machineAddresses } from '../os/interfaces.ts'
import { fileNames } from '../record/state-directory.ts'

/** How long a certificate is good for, and how long before its end it is made anew, in days. */
const validDays = 397
const renewDays = 30

/**
 * The file with a certificate for this machine, signed by itself, and its key: the one in the state directory, or a new one when
 * there is none, or it is about to expire, or the machine has got a name or address that it does not hold. Node can read
 * certificates but not write them, hence the `openssl` command: a library for it would be some twenty packages.
 * @throws Failure when there is no `openssl`, or it fails; exit code 78.
 */
export async function selfSignedCertificate(stateDirectory: string): Promise<string> {
  const file = path.join(stateDirectory, fileNames.selfSigned)
  const names = machineNames()
  if (await isGood(file, names)) return file
  const folder = await mkdtemp(`${file}.`)
  const made = (name: string) => path.join(folder, name)
  const temporary = { config: made('cnf'), key: made('key'), cert: made('crt'), pair: made('pair') }
  try {
    await writeFile(temporary.config, opensslConfiguration(names), { mode: 0o600 })
    await openssl(
      ...['req', '-x509', '-config', temporary.config, '-days', String(validDays), '-nodes', '-sha256'],
      ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
      ...['-keyout', temporary.key, '-out', temporary.cert],
    )
    const parts = await Promise.all([readFile(temporary.cert, 'utf8'), readFile(temporary.key, 'utf8')])
    // Both in one file, put there at once: another forward of this machine may be doing the same.
    await writeFile(temporary.pair, parts.join(''), { mode: 0o600 })
    await rename(temporary.pair, file)
    return file
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Names {
  readonly dns: readonly string[]
  readonly ip: readonly string[]
}

/** Under what a browser on the network may reach this machine. */
function machineNames(): Names {
  const host = hostname().toLowerCase()
  const isName = host.length <= 63 && /^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(host)
  // By multicast DNS (RFC 6762) a machine is NAME.local.
  const own = isName ? [host, ...(host.includes('.') ? [] : [`${host}.local`])] : []
  const addresses = machineAddresses().map(({ address }) => address)
  const ip = addresses.filter((address) => !isLinkLocal(address))
  return { dns: [...new Set(['localhost', ...own])], ip: [...new Set(ip)] }
}

async function isGood(file: string, names: Names): Promise<boolean> {
  try {
    const certificate = new X509Certificate(await readFile(file))
    const renewAt = new Date(certificate.validTo).getTime() - renewDays * 86_400_000
    return (
      Date.now() < renewAt &&
      names.dns.every((name) => certificate.checkHost(name) !== undefined) &&
      names.ip.every((address) => certificate.checkIP(address) !== undefined)
    )
  } catch {
    return false
  }
}

/** Good for this one purpose: whoever comes to trust it trusts no other certificate by it. */
function opensslConfiguration({ dns, ip }: Names): string {
  const alternatives = [...dns.map((name) => `DNS:${name}`), ...ip.map((address) => `IP:${address}`)]
  return [
    '[req]\nprompt = no\ndistinguished_name = subject\nx509_extensions = extensions',
    `[subject]\nO = port-watchdog\nCN = ${dns[1] ?? 'localhost'}`,
    '[extensions]\nbasicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature',
    `extendedKeyUsage = serverAuth\nsubjectAltName = ${alternatives.join(', ')}\n`,
  ].join('\n')
}

function openssl(...words: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('openssl', words, { timeout: 30_000 }, (error, _stdout, stderr) => {
      if (error === null) return resolve()
      const why =
        errorCode(error) === 'ENOENT' ? 'there is no openssl command here' : stderr || errorText(error)
      reject(
        new Failure(
          `no certificate can be made: ${why.trim()}; install openssl, or give --tls-cert and --tls-key`,
          exitCode.configuration,
        ),
      )
    })
  })
}
