import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { renameSync, unlinkSync } from 'node:fs'
import { createFileAtomically } from '../os/atomic-file.ts'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { readRegularFile, readSecretFile } from '../os/regular-file.ts'

/** A token of one's own must have so many characters: with fewer, guessing it would be a plan. */
const shortestToken = 16

/** One that is as long as ours need not be protected from guesses by keeping people out. */
const longEnough = 32

/** Ours have 64. With an empty key, anybody with the token could sign sessions for any address and time. */
const shortestKey = 32

/** What a login knows and its visitors do not. */
export interface LoginSecrets {
  /** What visitors type. */
  readonly token: string
  /** A person chose it, and it is so short that guesses of all sources together must be limited. */
  readonly isGuessable: boolean
  /** In words where a person finds the token. Never the token itself: this may be logged. */
  readonly tokenPlace: string
  /** Signs sessions, and holds for every process with the same token and key file. */
  readonly key: Buffer
  /** Cookie name: the same for ports that share a login, and another for everybody else's on this host. */
  readonly cookieName: string
}

/** Whose login it is, and where its secrets are. */
export interface LoginPlace {
  /** In messages, and in what keys are derived from: `gate`. */
  readonly name: string
  /** A file with a token of one's own; '' = none. */
  readonly tokenFile: string
  /** An environment variable that may hold one, when there is no such file. */
  readonly tokenVariable: string
  /** Holds the token that is made when there is neither. */
  readonly ownTokenFile: string
  readonly keyFile: string
}

/**
 * Reads or makes the secrets of a login. Whatever uses the same files shares it: a visitor logs in once.
 *
 * Two secrets: the token, which people copy, and a key that never leaves its file. Sessions are signed with both:
 * a cookie does not help to guess a short token, and emptying or replacing either file ends every session at the next restart.
 * @throws Failure when the token that was asked for, or the key, cannot be used; exit code 78.
 */
export function loadLoginSecrets(place: LoginPlace): LoginSecrets {
  const { name, keyFile } = place
  const { token, tokenPlace } = findToken(place)
  const ownKey = readOrCreate(keyFile, () => randomBytes(32).toString('hex'))
  if (ownKey.length < shortestKey) {
    throw new Failure(
      `the ${name}'s key in ${keyFile} is damaged; empty it (: >${keyFile}), and a new one is made, which ends every session`,
      exitCode.configuration,
    )
  }
  const key = Buffer.from(hkdfSync('sha256', ownKey, token, `port-watchdog ${name} session`, 32))
  const group = createHmac('sha256', key).update('cookie name').digest('hex').slice(0, 8)
  return {
    token,
    isGuessable: token.length < longEnough,
    tokenPlace,
    key,
    cookieName: `port_watchdog_${group}`,
  }
}

function findToken(place: LoginPlace): Pick<LoginSecrets, 'token' | 'tokenPlace'> {
  const { name, tokenFile, tokenVariable, ownTokenFile } = place
  if (tokenFile !== '') return tokenOf(name, readToken(name, tokenFile), tokenFile)
  const given = process.env[tokenVariable]
  if (given !== undefined && given !== '')
    return tokenOf(name, given, `the environment variable ${tokenVariable}`)
  return tokenOf(
    name,
    readOrCreate(ownTokenFile, () => randomBytes(24).toString('base64url')),
    ownTokenFile,
  )
}

function readToken(name: string, file: string): string {
  try {
    return readSecretFile(file)
  } catch (error) {
    throw new Failure(`the ${name}'s token cannot be read: ${errorText(error)}`, exitCode.configuration)
  }
}

function tokenOf(name: string, text: string, tokenPlace: string): Pick<LoginSecrets, 'token' | 'tokenPlace'> {
  const token = text.trim()
  if (/^[\x21-\x7e]+$/.test(token) && token.length >= shortestToken && token.length <= 512)
    return { token, tokenPlace }
  throw new Failure(
    `the ${name}'s token in ${tokenPlace} cannot be used: it must be one line of ${shortestToken} to 512 letters, digits and signs ` +
      'without spaces; "openssl rand -base64 24" makes one',
    exitCode.configuration,
  )
}

/**
 * Several processes may start at once: one of them is the author, and the rest read what it wrote. An empty file asks for a new secret: a
 * file that is removed is written again by the processes that run, as it was.
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

/** Another process may have done the same a moment ago, and written a secret: that one is put back. */
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
