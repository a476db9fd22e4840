import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { renameSync, unlinkSync } from 'node:fs'
import path from 'node:path'
import { gateTokenVariable } from '../../config/forward-options.ts'
import { errorCode, errorText, exitCode, Failure } from '../../os/failure.ts'
import { readRegularFile, readSecretFile } from '../../os/regular-file.ts'
import { createFileAtomically } from '../../record/atomic-file.ts'
import { fileNames } from '../../record/state-directory.ts'

/** A token of one's own must have so many characters: with fewer, guessing it would be a plan. */
const shortestToken = 16

/** One that is as long as ours need not be protected from guesses by keeping people out. */
const longEnough = 32

/** Ours have 64. With none at all, whoever knows the token could sign sessions for any address and any time. */
const shortestKey = 32

/** What a gate knows and its visitors do not. */
export interface GateSecrets {
  /** What visitors type. */
  readonly token: string
  /** Somebody chose it, and made it so short that guesses must be limited for everybody. */
  readonly isGuessable: boolean
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
 * a cookie does not help to guess a short token, and emptying or replacing either file ends every session at the next restart.
 * @param tokenFile a file with a token of one's own; '' = none.
 * @throws Failure when the token that was asked for, or the key, cannot be used; exit code 78.
 */
export function loadSecrets(stateDirectory: string, tokenFile: string): GateSecrets {
  const { token, tokenPlace } = findToken(stateDirectory, tokenFile)
  const keyFile = path.join(stateDirectory, fileNames.gateKey)
  const ownKey = readOrCreate(keyFile, () => randomBytes(32).toString('hex'))
  if (ownKey.length < shortestKey) {
    throw new Failure(
      `the gate's key in ${keyFile} is damaged; empty it (: >${keyFile}), and a new one is made, which ends every session`,
      exitCode.configuration,
    )
  }
  const key = Buffer.from(hkdfSync('sha256', ownKey, token, 'port-watchdog gate session', 32))
  const group = createHmac('sha256', key).update('cookie name').digest('hex').slice(0, 8)
  return {
    token,
    isGuessable: token.length < longEnough,
    tokenPlace,
    key,
    cookieName: `port_watchdog_${group}`,
  }
}

function findToken(stateDirectory: string, tokenFile: string): Pick<GateSecrets, 'token' | 'tokenPlace'> {
  if (tokenFile !== '') return { token: ownToken(readToken(tokenFile), tokenFile), tokenPlace: tokenFile }
  const given = process.env[gateTokenVariable]
  if (given !== undefined && given !== '') {
    const tokenPlace = `the environment variable ${gateTokenVariable}`
    return { token: ownToken(given, tokenPlace), tokenPlace }
  }
  const file = path.join(stateDirectory, fileNames.gateToken)
  const token = readOrCreate(file, () => randomBytes(24).toString('base64url'))
  return { token: ownToken(token, file), tokenPlace: file }
}

function readToken(file: string): string {
  try {
    return readSecretFile(file)
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

/**
 * Several forwarders may start at once: one of them is the author, and the rest read what it wrote. An empty file asks for a new secret: a
 * file that is removed is written again by the gates that run, as it was.
 */
function readOrCreate(file: string, create: () => string): string {
  const found = readIfThere(file)
  if (found !== undefined && found !== '') return found
  if (found === '') removeEmpty(file)
  createFileAtomically(file, `${create()}\n`)
  return readRegularFile(file).trim()
}

function readIfThere(file: string): string | undefined {
  try {
    return readRegularFile(file).trim()
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    return undefined
  }
}

/** Another forwarder may have done the same a moment ago, and written a secret: that one is put back. */
function removeEmpty(file: string): void {
  const aside = `${file}.empty-${process.pid}`
  try {
    renameSync(file, aside)
    const secret = readRegularFile(aside)
    if (secret.trim() !== '') createFileAtomically(file, secret)
    unlinkSync(aside)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}
