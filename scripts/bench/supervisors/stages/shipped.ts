// As each comes, without a limit lifted: the forwarder is killed as soon as it serves, until its supervisor tires of it.
import { untilServed } from '../client.ts'
import { forwarderPid } from '../forwards.ts'
import type { Post } from '../supervisor.ts'

export interface Endurance {
  /** ms to the first served connection after each kill that was made good. */
  readonly backMs: readonly number[]
  /** How long the last kill was waited for in vain, in seconds; undefined when every kill was made good. */
  readonly gaveUpSeconds: number | undefined
}

export async function endure({ forwards }: Post, kills: number, limitMs: number): Promise<Endurance> {
  const backMs: number[] = []
  const until = performance.now() + limitMs
  const [victim] = forwards
  while (victim !== undefined && backMs.length < kills) {
    const pid = forwarderPid(victim)
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
    const killedAt = performance.now()
    const served = await untilServed(victim.port, { limitMs: until - killedAt, pauseMs: 5 })
    if (served === undefined) return { backMs, gaveUpSeconds: (performance.now() - killedAt) / 1000 }
    backMs.push(served.ms)
  }
  return { backMs, gaveUpSeconds: undefined }
}
