import { errorCode } from '../os/failure.ts'
import { judgeProcess, type ProcessIdentity } from './identity.ts'

/** ms between two looks by kill(2) with signal 0. One look takes 2 µs a process. */
const lookEveryMs = 50

/**
 * ms of rest for each process between two looks at its state, which takes 40 µs: so that these take 1 % of a core at most, however many there
 * are. A process that nobody waits for stays a zombie (in a container whose first process does not reap), and for kill(2) that is still there.
 */
const stateRestMs = 4

interface Watch {
  readonly identity: ProcessIdentity
  readonly died: () => void
}

const watches = new Set<Watch>()
let timer: NodeJS.Timeout | undefined
let stateSeenAt = Number.NEGATIVE_INFINITY

/**
 * Calls back when a process that is no child of this one is gone: the system sends no event for it, and Node has no pidfd (pidfd_open(2)), so
 * that all of them are looked at together.
 * @returns what ends that.
 */
export function onDeath(identity: ProcessIdentity, died: () => void): () => void {
  const watch = { identity, died }
  watches.add(watch)
  timer ??= setInterval(look, lookEveryMs).unref()
  return () => {
    watches.delete(watch)
    rest()
  }
}

function rest(): void {
  if (watches.size > 0) return
  clearInterval(timer)
  timer = undefined
}

function look(): void {
  const now = performance.now()
  const isStateDue = now - stateSeenAt >= watches.size * stateRestMs
  if (isStateDue) stateSeenAt = now
  for (const watch of [...watches]) {
    if (isThere(watch.identity, isStateDue) || !watches.delete(watch)) continue
    watch.died()
  }
  rest()
}

function isThere(identity: ProcessIdentity, isStateDue: boolean): boolean {
  try {
    process.kill(identity.pid, 0)
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false
  }
  if (!isStateDue) return true
  const verdict = judgeProcess(identity)
  return verdict !== 'gone' && verdict !== 'zombie' && verdict !== 'reused'
}
