import { system } from '../os/system.ts'
import { ownUid } from '../os/trusted-path.ts'
import type { ProcessIdentity } from '../process/identity.ts'
import { ownProcesses } from '../process/own-processes.ts'
import { writersDirectory } from '../record/usual-directories.ts'
import type { StartingMonitor } from './facts.ts'

/** From the answer to `identify` of a monitor that holds its control socket and has no state yet. */
export function startingByAnswer(answer: unknown): StartingMonitor | undefined {
  const { identity, version, startedAt } = (answer ?? {}) as {
    readonly identity?: ProcessIdentity
    readonly version?: string
    readonly startedAt?: string
  }
  if (typeof identity?.pid !== 'number') return undefined
  return { pid: identity.pid, version: version ?? null, startedAt: startedAt ?? null }
}

/** Options with which `proxy-monitor` does something else than to monitor. */
const otherTasks = [
  '--check',
  '--init',
  '--stop',
  '--test-alert',
  '--schema',
  '--help',
  '-h',
  '--version',
  '-V',
]

/**
 * A monitor of this user for this directory that does not hold its control socket yet. Node needs some 200 ms to come so far, on a busy
 * machine a second.
 */
export async function startingByProcess(stateDirectory: string): Promise<StartingMonitor | undefined> {
  const found = (await ownProcesses()).find(({ kind, pid, uid, words, stateDirectory: named }) => {
    const isOurs = kind === 'monitor' && (uid === undefined || uid === ownUid())
    if (!isOurs || words.some(isOtherTask)) return false
    const isNamed = words.some((word) => word.startsWith('--state-dir'))
    if (isNamed) return named === stateDirectory
    return writersDirectory(undefined).directory === stateDirectory && choosesAsWeDo(pid)
  })
  return found === undefined ? undefined : { pid: found.pid, version: null, startedAt: null }
}

/** What decides where a monitor keeps its records when nobody says so. */
const deciding = ['STATE_DIRECTORY', 'XDG_STATE_HOME', 'HOME']

/** By its environment, where that can be read: it would choose the directory that this process chooses. */
function choosesAsWeDo(pid: number): boolean {
  const theirs = deciding.map((name) => system.environmentOf(pid, name))
  if (theirs.every((value) => value === undefined)) return true
  return deciding.every((name, at) => (theirs[at] || undefined) === (process.env[name] || undefined))
}

function isOtherTask(word: string): boolean {
  return otherTasks.some((task) => word === task || word.startsWith(`${task}=`))
}
