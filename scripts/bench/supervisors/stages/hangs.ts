// SIGSTOP of the forwarder: it is there, its port accepts, and nobody is served.
import { untilServed } from '../client.ts'
import { type Forward, forwarderPid } from '../forwards.ts'
import type { Post } from '../supervisor.ts'

/** Seconds until each hang was mended; 'never' ends the list when one was not within the limit. */
export async function hangs({ forwards }: Post, limitMs: number): Promise<(number | 'never')[]> {
  const [victim] = forwards
  if (victim === undefined) return []
  const found: (number | 'never')[] = []
  const until = performance.now() + limitMs
  while (performance.now() < until) {
    const began = performance.now()
    const mended = await hangOnce(victim, until)
    if (mended) found.push((performance.now() - began) / 1000)
    // One that was begun when the time was nearly over says nothing.
    else if (found.length === 0) found.push('never')
  }
  return found
}

async function hangOnce(victim: Forward, until: number): Promise<boolean> {
  const pid = forwarderPid(victim)
  if (pid === undefined) return false
  process.kill(pid, 'SIGSTOP')
  while (performance.now() < until) {
    await untilServed(victim.port, { limitMs: until - performance.now(), pauseMs: 20, answerMs: 200 })
    // Woken to be ended, the old one may serve once more.
    const now = forwarderPid(victim)
    if (now !== undefined && now !== pid) return true
  }
  return false
}
