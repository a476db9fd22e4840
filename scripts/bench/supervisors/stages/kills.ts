// kill -9 of the forwarder, again and again: how long until somebody is served, how many were refused meanwhile.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Served, untilServed } from '../client.ts'
import { type Forward, forwarderPid } from '../forwards.ts'
import type { Post } from '../supervisor.ts'

/** A kill that is not made good within this is a failure of its supervisor. */
const RECOVERY_LIMIT_MS = 60_000

/**
 * Supervisors take a program that lived shorter than a second for one that cannot be started (supervisord's startsecs, pm2's
 * min_uptime) and wait before the next try. Here it is killed by the bench, so it lives a little longer than that.
 */
const LIFE_MS = 1500

export interface Contestant {
  readonly post: Post
  readonly kills: Served[]
  readonly failures: string[]
}

/** In turn, round after round; who begins is another one in every round. Stops with those that fail twice. */
export async function killInRounds(
  contestants: readonly Contestant[],
  wanted: number,
  say: (text: string) => void,
): Promise<void> {
  const servedAt = new Map<Forward, number>()
  for (let round = 0; round < wanted; round++) {
    if (round % 10 === 0) say(`kills, round ${round + 1} of ${wanted}`)
    const first = round % contestants.length
    for (const contestant of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      const { post, kills, failures } = contestant
      // One with several lanes takes as many kills at once, in every so many rounds.
      const { lanes, name } = post.supervisor
      if (failures.length > 1 || round % lanes !== 0) continue
      const victims = post.forwards.filter((_, index) => lanes > 1 || index === round % post.forwards.length)
      const outcomes = await Promise.all(victims.map((victim) => killOne(victim, post, servedAt)))
      for (const outcome of outcomes) {
        if (typeof outcome !== 'string') kills.push(outcome)
        else failures.push(outcome)
        if (typeof outcome === 'string') say(`FAILED ${name}: ${outcome}`)
      }
    }
  }
}

async function killOne(
  victim: Forward,
  { supervisor }: Post,
  servedAt: Map<Forward, number>,
): Promise<Served | string> {
  await sleep(Math.random() * (supervisor.looksEvery ?? 0))
  await sleep(Math.max(0, (servedAt.get(victim) ?? performance.now()) + LIFE_MS - performance.now()))
  const pid = forwarderPid(victim)
  if (pid === undefined) return `nobody serves port ${victim.port} before the kill`
  process.kill(pid, 'SIGKILL')
  const served = await untilServed(victim.port, { limitMs: RECOVERY_LIMIT_MS })
  servedAt.set(victim, performance.now())
  return served ?? `not back within ${RECOVERY_LIMIT_MS / 1000} s`
}
