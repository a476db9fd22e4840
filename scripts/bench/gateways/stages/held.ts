// What clients cost that hold a stream and ask nothing, and what is left of those that vanish without a word.
import { setTimeout as sleep } from 'node:timers/promises'
import { processPssBytes, processRssBytes } from '../../forwarders/processes.ts'
import { Session } from '../client.ts'
import { childrenOf, keyOf, OURS, type Standing, startOurs } from '../contenders.ts'
import { upstreamCommand } from '../load.ts'
import type { Field } from '../rounds.ts'

export interface Held {
  readonly sessions: number
  /** Bytes of the gateway without its children, with all sessions open. */
  readonly pssBytes: number
  readonly rssBytes: number
  /** PSS that it has grown by. */
  readonly grownBytes: number
  readonly children: { readonly before: number; readonly most: number; readonly after: number }
}

/** Of one that starts a child for each session no more are opened: 1,000 would not fit into this machine. */
const mostWithChildren = 50

/** Sessions that one key of ours may have is 500. */
const sessionsOfKey = 250

/** Time for a gateway to see that its clients have gone. */
const goneMs = 3000

/** Sessions that have called a tool once and hold a stream. Then all of them vanish at once. */
export async function held(field: Field, sessions: number): Promise<ReadonlyMap<string, Held>> {
  const found = new Map<string, Held>()
  const taking = field.contenders.filter(({ kind }) => kind === 'ours' || kind === 'peer')
  await field.withAll(taking, async (run) => {
    await run('sessions', async ({ name, hasChildForSession }, standing) => {
      const count = hasChildForSession ? Math.min(Math.ceil(sessions / 20), mostWithChildren) : sessions
      const keys = name === OURS ? keysFor(standing, count) : [standing.headers]
      found.set(name, await holding(standing, count, keys))
    })
  })
  return found
}

/** The same where each session has a server of its own, which ends when it was not used for a while. */
export async function heldApart(field: Field, sessions: number): Promise<Held> {
  const idleMs = 2000
  const echo = { command: upstreamCommand(), isolation: 'session', idle: `${idleMs}ms` }
  const standing = await startOurs(field.folder(), { echo })
  try {
    return await holding(standing, sessions, [standing.headers], 3 * idleMs)
  } finally {
    await standing.group.stop()
  }
}

function keysFor({ headers, stateDirectory = '' }: Standing, sessions: number) {
  const keys = [headers]
  while (keys.length * sessionsOfKey < sessions) keys.push(keyOf(stateDirectory, `bench-${keys.length}`))
  return keys
}

async function holding(
  { url, tool, pid }: Standing,
  sessions: number,
  keys: readonly Readonly<Record<string, string>>[],
  afterMs = goneMs,
): Promise<Held> {
  const own = 'tool_0'
  const before = childrenOf(pid).length
  const pssBefore = processPssBytes(pid)
  const streams: Awaited<ReturnType<Session['stream']>>[] = []
  const begin = async (number: number) => {
    const session = await Session.open({ url, headers: keys[number % keys.length] ?? {} })
    await session.call(tool, own)
    streams.push(await session.stream())
  }
  for (let at = 0; at < sessions; at += 20) {
    const some = Array.from({ length: Math.min(20, sessions - at) }, (_, index) => begin(at + index))
    await Promise.all(some)
  }
  await sleep(1000)
  const most = childrenOf(pid).length
  const pssBytes = processPssBytes(pid)
  const rssBytes = processRssBytes(pid)
  for (const stream of streams) stream.destroy()
  const until = performance.now() + afterMs
  while (childrenOf(pid).length > before && performance.now() < until) await sleep(100)
  const after = childrenOf(pid).length
  return { sessions, pssBytes, rssBytes, grownBytes: pssBytes - pssBefore, children: { before, most, after } }
}
