import { lstatSync, readFileSync, readlinkSync, type Stats } from 'node:fs'
import path from 'node:path'
import { errorCode } from './failure.ts'

/**
 * Why a path cannot be believed: somebody other than root and this user can change what stands there.
 * - `owner`: it belongs to another user.
 * - `writable`: its mode lets other users write it (or, for a folder, replace what is in it).
 * - `links`: its symbolic links lead in a circle.
 */
export interface Distrust {
  /** The file, the folder above it, or the link on the way, that is at fault. */
  readonly path: string
  readonly kind: 'owner' | 'writable' | 'links'
  /** Who owns it. */
  readonly uid: number
  readonly isDirectory: boolean
}

/** As many as Linux follows. */
const mostLinks = 40

/** Where an owner that this user namespace does not know is shown as this user. */
const overflowUid = 65_534

/**
 * Checks a path as sshd's StrictModes does: the file, every folder above it and every symbolic link on the way belong to root or to this
 * user, and nobody else may write them; a folder with the sticky bit, such as /tmp, may be everybody's. What passes can be acted on by
 * name, because nobody else can put another thing there meanwhile. What does not exist is left out: its nearest folder decides.
 * @param file absolute, or relative to the working folder.
 * @returns undefined when it can be believed.
 * @throws the system's error when it cannot be looked at (EACCES, ENOTDIR).
 */
export function distrustOf(file: string, own = ownUid()): Distrust | undefined {
  const rest = steps(path.resolve(file))
  let at = '/'
  let links = 0
  for (;;) {
    const facts = lstatSync(at, { throwIfNoEntry: false })
    if (facts === undefined) return undefined
    const problem = problemOf(facts, own)
    if (problem !== undefined)
      return { path: at, kind: problem, uid: facts.uid, isDirectory: facts.isDirectory() }
    if (facts.isSymbolicLink()) {
      if (++links > mostLinks) return { path: at, kind: 'links', uid: facts.uid, isDirectory: false }
      rest.unshift(...steps(path.resolve(path.dirname(at), readlinkSync(at))))
      at = '/'
    }
    const step = rest.shift()
    if (step === undefined) return undefined
    at = path.join(at, step)
  }
}

/** What is wrong, in words: `/x belongs to another user (uid 1000)`. */
export function distrustText({ path: at, kind, uid }: Distrust): string {
  switch (kind) {
    case 'owner':
      return `${at} belongs to another user (uid ${uid})`
    case 'writable':
      return `other users can write ${at}`
    case 'links':
      return `${at} is a symbolic link that leads back to itself`
  }
}

/** The command that mends it. */
export function distrustCure({ path: at, kind }: Distrust, own = ownUid()): string {
  switch (kind) {
    case 'owner':
      return `chown ${own} ${quoted(at)}`
    case 'writable':
      return `chmod go-w ${quoted(at)}`
    case 'links':
      return `rm ${quoted(at)}`
  }
}

/** The user this process acts as; 0 where the system knows no users. */
export function ownUid(): number {
  return process.geteuid?.() ?? 0
}

function steps(absolute: string): string[] {
  return absolute.split('/').filter((step) => step !== '')
}

function problemOf(facts: Stats, own: number): 'owner' | 'writable' | undefined {
  if (facts.uid !== 0 && facts.uid !== own && !isFromOutside(facts.uid)) return 'owner'
  // A link's own mode means nothing.
  if (facts.isSymbolicLink()) return undefined
  const isSticky = facts.isDirectory() && (facts.mode & 0o1000) !== 0
  if ((facts.mode & 0o002) !== 0 && !isSticky && !isDevice(facts)) return 'writable'
  if ((facts.mode & 0o020) !== 0 && !isSticky && !isDevice(facts) && hasOthers(facts.gid, own))
    return 'writable'
  return undefined
}

/** /dev/null and /dev/stdout are everybody's, and nothing is stored in them. */
function isDevice(facts: Stats): boolean {
  return facts.isCharacterDevice() || facts.isFIFO() || facts.isSocket()
}

/**
 * In a user namespace (bubblewrap, rootless containers) all of the system may belong to an owner that is not mapped. Nobody inside can be
 * that user, so that only somebody outside, who rules here anyway, can change it. Where the number is mapped, as in most rootless
 * containers, somebody inside may be that user.
 */
function isFromOutside(uid: number): boolean {
  if (uid !== overflowUid) return false
  isOverflowMapped ??= mapsUser(textOf('/proc/self/uid_map') ?? '0 0 4294967295', overflowUid)
  return !isOverflowMapped
}

let isOverflowMapped: boolean | undefined

/** Whether a user namespace has a user of this number; `map` is the text of its `uid_map` (user_namespaces(7)). */
export function mapsUser(map: string, uid: number): boolean {
  return map.split('\n').some((line) => {
    const [inside = Number.NaN, , count = 0] = line.trim().split(/\s+/).map(Number)
    return uid >= inside && uid < inside + count
  })
}

/** Whether a group has members besides root and this user. Many systems give each user a group of their own, and a umask of 002. */
function hasOthers(gid: number, own: number): boolean {
  const group = entriesOf('/etc/group').find(([, , id]) => id === String(gid))
  if (group === undefined) return true
  const users = entriesOf('/etc/passwd').map(([name, , uid, primary]) => ({
    name,
    uid: Number(uid),
    primary,
  }))
  const isUs = (uid: number) => uid === 0 || uid === own
  const members = (group[3] ?? '').split(',').filter((name) => name !== '')
  return (
    members.some((member) => !users.some(({ name, uid }) => name === member && isUs(uid))) ||
    users.some(({ uid, primary }) => primary === String(gid) && !isUs(uid))
  )
}

function entriesOf(file: string): string[][] {
  return (textOf(file) ?? '').split('\n').map((line) => line.split(':'))
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    return undefined
  }
}

/** A path as a shell takes it. */
function quoted(text: string): string {
  return /^[\w./+:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
