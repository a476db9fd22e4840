import { monotonicMs } from '../os/clock.ts'
import { judgeProcess, type ProcessIdentity, type ProcessVerdict } from '../process/identity.ts'

/** So many processes are judged anew at every look: that takes less than 2 ms. */
const fewProcesses = 40

/** ms for which one that was alive counts as such, at most; each gets a part of it by chance, so that not all are judged in one look. */
const holdsMs = 1000

const alive = new Map<string, number>()

/**
 * Judges processes for one who looks again and again: of many, `alive` may be a second old.
 * @param count how many are judged in this look.
 */
export function recentVerdict(identity: ProcessIdentity, count: number): ProcessVerdict {
  if (count <= fewProcesses) return judgeProcess(identity)
  const key = `${identity.pid} ${identity.startTime}`
  const now = monotonicMs()
  const until = alive.get(key)
  if (until !== undefined && now < until) return 'alive'
  const verdict = judgeProcess(identity)
  alive.delete(key)
  if (verdict === 'alive') alive.set(key, now + (holdsMs * (1 + Math.random())) / 2)
  // Those that are gone are asked about no more.
  const [oldest] = alive
  if (oldest !== undefined && alive.size > 2 * count) alive.delete(oldest[0])
  return verdict
}
