import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { chmodSync, linkSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { errorText, exitCode, Failure } from '../../os/failure.ts'
import { removeQuietly } from '../../record/atomic-file.ts'
import { fileNames } from '../../record/state-directory.ts'

/** The variable that brings a token of one's own. */
export const tokenVariable = 'PORT_WATCHDOG_GATE_TOKEN'

/** A token of one's own must have so many characters: with fewer, guessing it would be a plan. */
const shortestToken = 16

/** What a gate knows and its visitors do not. */
export interface GateSecrets {
  /** What visitors type. */
  readonly token: string
  /** In words where a person finds the token. Never the token itself: this may be logged. */
  readonly tokenPlace: string
  /** Signs sessions, and holds for every gate with the same token and state directory. */
  readonly key: Buffer
  /** Cookie name: the same for gates that share a login, and another for everybody else's on this host. */
  readonly cookieName: string
}

/**
 * Reads or makes what the gates of one state directory share, so that a visitor logs in once for all of their ports.
 *
 * Two secrets: the token, which people copy, and a key that never leaves the directory. Sessions are signed with both:
 * a cookie does not help to guess a short token, and replacing either file ends every session at the next restart.
 * @param tokenFile a file with a token of one's own; '' = none.
 * @throws Failure when a token that was asked for cannot be used, exit code 78.
 */
export function loadSecrets(stateDirectory: string, tokenFile: string): GateSecrets {
  const { token, tokenPlace } = findToken(stateDirectory, tokenFile)
  const ownKey = readOrCreate(path.join(stateDirectory, fileNames.gateKey), () =>
    randomBytes(32).toString('hex'),
  )
  const key = Buffer.from(hkdfSync('sha256', ownKey, token, 'port-watchdog gate session', 32))
  const group = createHmac('sha256', key).update('cookie name').digest('hex').slice(0, 8)
  return { token, tokenPlace, key, cookieName: `port_watchdog_${group}` }
}

function findToken(stateDirectory: string, tokenFile: string): Pick<GateSecrets, 'token' | 'tokenPlace'> {
  if (tokenFile !== '') return { token: ownToken(readToken(tokenFile), tokenFile), tokenPlace: tokenFile }
  const given = process.env[tokenVariable]
  if (given !== undefined && given !== '') {
    const tokenPlace = `the environment variable ${tokenVariable}`
    return { token: ownToken(given, tokenPlace), tokenPlace }
  }
  const file = path.join(stateDirectory, fileNames.gateToken)
  const token = readOrCreate(file, () => randomBytes(24).toString('base64url'))
  return { token: ownToken(token, file), tokenPlace: file }
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Failure(`the gate's token cannot be read: ${errorText(error)}`, exitCode.configuration)
  }
}

function ownToken(text: string, place: string): string {
  const token = text.trim()
  if (/^[\x21-\x7e]+$/.test(token) && token.length >= shortestToken && token.length <= 512) return token
  throw new Failure(
    `the gate's token in ${place} cannot be used: it must be one line of ${shortestToken} to 512 letters, digits and signs ` +
      'without spaces; "openssl rand -base64 24" makes one',
    exitCode.configuration,
  )
}

/** Several forwarders may start at once: the link makes one of them the author, and the rest read what it wrote. */
function readOrCreate(file: string, create: () => string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const draft = `${file}.${process.pid}.tmp`
  writeFileSync(draft, `${create()}\n`, { mode: 0o600 })
  chmodSync(draft, 0o600)
  try {
    linkSync(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    removeQuietly(draft)
  }
  return readFileSync(file, 'utf8').trim()
}
