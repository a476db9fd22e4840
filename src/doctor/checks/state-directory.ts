import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { errorText } from '../../os/failure.ts'
import { distrustCure, distrustOf, distrustText, ownUid } from '../../os/trusted-path.ts'
import { shellWord } from '../../report/own-programs.ts'
import { type Check, type Finding, failed, note, ok, warning } from '../check.ts'

/** Bytes below which logs and records soon find no room. */
const littleSpace = 64 << 20

/** Network file systems by their number in statfs(2). Locks, sockets and renames are not what they are on a disk there. */
const networkFileSystems: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x517b, 'SMB'],
  [0x01021997, '9p'],
  [0x73757245, 'Coda'],
  [0x5346414f, 'AFS'],
])

export const stateDirectory: Check = {
  name: 'state-directory',
  run: ({ stateDirectory: directory }) => {
    try {
      return existsSync(directory) ? judge(directory) : judgeMissing(directory)
    } catch (error) {
      return [
        failed(
          'state-directory-unreadable',
          `the state directory ${directory} cannot be looked at: ${errorText(error)}`,
        ),
      ]
    }
  },
}

function judge(directory: string): Finding[] {
  const findings = [...trust(directory), ...room(directory), ...lasting(directory)]
  return findings.some(({ level }) => level !== 'note')
    ? findings
    : [ok('state-directory', `the state directory is ${directory}`), ...findings]
}

function judgeMissing(directory: string): Finding[] {
  const parent = nearest(directory)
  const problem = distrustOf(parent)
  if (problem !== undefined) {
    return [
      failed(
        'state-directory-untrusted',
        `the state directory ${directory} cannot be made: ${distrustText(problem)}`,
        distrustCure(problem),
      ),
    ]
  }
  try {
    accessSync(parent, constants.W_OK)
  } catch {
    return [
      failed(
        'state-directory-unwritable',
        `the state directory ${directory} cannot be made: ${parent} is not writable`,
        'name another one with --state-dir',
      ),
    ]
  }
  const missing = note(
    'state-directory-missing',
    `the state directory ${directory} will be made at the first start`,
  )
  return [missing, ...room(parent), ...lasting(directory)]
}

/** The nearest folder above that exists. */
function nearest(directory: string): string {
  const parent = path.dirname(directory)
  return existsSync(parent) ? parent : nearest(parent)
}

function trust(directory: string): Finding[] {
  const facts = statSync(directory)
  const place = shellWord(directory)
  if (!facts.isDirectory())
    return [
      failed(
        'state-directory-no-folder',
        `${directory} is not a folder`,
        'name another one with --state-dir',
      ),
    ]
  if (facts.uid !== ownUid()) {
    return [
      note(
        'state-directory-of-another',
        `the state directory ${directory} belongs to another user (uid ${facts.uid})`,
        'run doctor as that user to check the rest',
      ),
    ]
  }
  const problem = distrustOf(directory)
  if (problem !== undefined)
    return [
      failed(
        'state-directory-untrusted',
        `the state directory: ${distrustText(problem)}`,
        distrustCure(problem),
      ),
    ]
  if ((facts.mode & 0o077) !== 0) {
    return [
      failed(
        'state-directory-open',
        `other users can enter the state directory ${directory}`,
        `chmod 700 ${place}`,
      ),
    ]
  }
  try {
    accessSync(directory, constants.W_OK)
    return []
  } catch {
    return [
      failed(
        'state-directory-unwritable',
        `the state directory ${directory} cannot be written`,
        `chmod u+rwx ${place}, or mount its disk for writing`,
      ),
    ]
  }
}

function room(directory: string): Finding[] {
  const { bavail, bsize, type } = statfsSync(directory)
  const network = networkFileSystems.get(type)
  const findings: Finding[] = []
  if (bavail * bsize < littleSpace) {
    const megabytes = Math.round((bavail * bsize) / (1 << 20))
    findings.push(
      warning(
        'disk-nearly-full',
        `the disk of ${directory} has ${megabytes} MB left`,
        `free some space: df -h ${shellWord(directory)}`,
      ),
    )
  }
  if (network !== undefined) {
    findings.push(
      warning(
        'state-directory-on-network',
        `the state directory ${directory} is on a network file system (${network}), where locks and sockets are not reliable`,
        'name a folder of a local disk with --state-dir',
      ),
    )
  }
  return findings
}

/** Whether it is still there tomorrow. */
function lasting(directory: string): Finding[] {
  const { XDG_RUNTIME_DIR } = process.env
  const isBelow = (folder: string | undefined) =>
    folder && `${path.resolve(directory)}/`.startsWith(`${path.resolve(folder)}/`)
  const place = isBelow(XDG_RUNTIME_DIR)
    ? 'when you log out'
    : isBelow(tmpdir())
      ? 'at a reboot, or by whatever cleans the temp folder'
      : undefined
  if (place === undefined) return []
  return [
    note(
      'state-directory-volatile',
      `the state directory ${directory} is removed ${place}; history and the gate's token go with it`,
      'name a lasting one: --state-dir ~/.local/state/port-watchdog',
    ),
  ]
}
