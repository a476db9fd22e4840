// kill -9 of a forwarder whose port somebody else holds, under clients that never stop: is anybody refused?
import { setTimeout as sleep } from 'node:timers/promises'
import { tryOnce } from '../client.ts'
import { forwarderPid } from '../forwards.ts'
import type { Post } from '../supervisor.ts'

export interface Held {
  readonly kills: number
  readonly served: number
  /** Connects refused over all kills. */
  readonly refused: number
  /** Connections that were accepted and died with their forwarder, or had no answer in time. */
  readonly broken: number
}

/** Clients at once, each with one connection after another. */
const CLIENTS = 4

/** What a waiting connect may take until its forwarder is back. */
const ANSWER_MS = 10_000

/** Until another process must serve. */
const RECOVERY_LIMIT_MS = 30_000

/** Connections that each new forwarder serves before it is killed. */
const SERVES = 20

/** @throws Error when a kill is not made good in time. */
export async function killUnderClients({ forwards, supervisor }: Post, wanted: number): Promise<Held> {
  const [victim] = forwards
  if (victim === undefined) throw new Error('there is no forward')
  const counts = { served: 0, refused: 0, broken: 0 }
  let isOver = false
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!isOver) counts[await tryOnce(victim.port, ANSWER_MS)]++
  })
  let kills = 0
  try {
    for (let last = 0; kills < wanted; kills++) {
      const { served } = counts
      const limit = performance.now() + RECOVERY_LIMIT_MS
      for (;;) {
        const pid = forwarderPid(victim)
        if (pid !== undefined && pid !== last && counts.served >= served + SERVES) {
          process.kill(pid, 'SIGKILL')
          last = pid
          break
        }
        if (performance.now() > limit) {
          throw new Error(`${supervisor.name}: held port not served again after ${kills} kills`)
        }
        await sleep(10)
      }
    }
    // The last kill's connects are counted too.
    const { served } = counts
    for (
      const limit = performance.now() + RECOVERY_LIMIT_MS;
      counts.served < served + SERVES;
      await sleep(10)
    ) {
      if (performance.now() > limit)
        throw new Error(`${supervisor.name}: held port not served after the last kill`)
    }
  } finally {
    isOver = true
    await Promise.all(clients)
  }
  return { kills, ...counts }
}
