/** Users and groups of this machine, as its name service knows them: files, LDAP, systemd. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { errorCode } from './failure.ts'

export interface UserAccount {
  readonly name: string
  readonly uid: number
  /** Of its first group. */
  readonly gid: number
  readonly home: string
  readonly shell: string
}

/** ms that the name service may take: one on the network may hang. */
const answerWithinMs = 5000

/**
 * The account of a user, by name or number; undefined = there is none.
 * @throws the system's error when the name service cannot be asked.
 */
export function userAccount(user: string): UserAccount | undefined {
  const [name, , uid, gid, , home = '/', shell = ''] = entryOf('passwd', user) ?? []
  if (name === undefined || !isId(uid) || !isId(gid)) return undefined
  return { name, uid: Number(uid), gid: Number(gid), home, shell: shell === '' ? '/bin/sh' : shell }
}

/** The number of a group, by name or number; undefined = there is none. @throws as `userAccount`. */
export function groupId(group: string): number | undefined {
  const [, , gid] = entryOf('group', group) ?? []
  return isId(gid) ? Number(gid) : undefined
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^\d+$/.test(text)
}

function entryOf(database: 'passwd' | 'group', key: string): readonly string[] | undefined {
  try {
    const printed = execFileSync('getent', [database, key], {
      encoding: 'utf8',
      timeout: answerWithinMs,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return printed.trimEnd().split(':')
  } catch (error) {
    // 2: it knows no such entry.
    if ((error as { readonly status?: number | null }).status === 2) return undefined
    if (errorCode(error) !== 'ENOENT') throw error
  }
  // A system without getent keeps its users in the file.
  const lines = readFileSync(`/etc/${database}`, 'utf8').split('\n')
  return lines.map((line) => line.split(':')).find(([name, , id]) => name === key || id === key)
}
