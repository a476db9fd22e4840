// Many connectors and tools, and several clients at once: that each call reaches its tool, and what it takes.
import { processPssBytes } from '../../forwarders/processes.ts'
import { callBody, Session } from '../client.ts'
import { childrenOf, startOurs } from '../contenders.ts'
import { type Loaded, load, upstreamCommand } from '../load.ts'
import type { Field } from '../rounds.ts'

export interface Size {
  readonly connectors: number
  readonly tools: number
  readonly clients: number
  /** ms from the start of the program until the last connector is ready. */
  readonly startMs: number
  readonly listMs: number
  readonly listBytes: number
  /** Calls whose answer was checked. */
  readonly checked: number
  readonly load: Loaded
  /** Of the gateway without its children. */
  readonly pssBytes: number
  readonly children: number
}

const toolsEach = 10

/** Calls that each client makes and checks. */
const callsEach = 100

/** The tools that a client calls: the first clients together call all of them, and each begins elsewhere. */
function own(names: readonly string[], client: number): readonly string[] {
  return Array.from(
    { length: callsEach },
    (_, index) => names[(client * callsEach + index * 7) % names.length] ?? '',
  )
}

export async function size(
  field: Field,
  connectors: number,
  clients: number,
  seconds: number,
): Promise<Size> {
  const ids = Array.from({ length: connectors }, (_, index) => `c${index}`)
  const command = upstreamCommand('--tools', String(toolsEach))
  const began = performance.now()
  const standing = await startOurs(field.folder(), Object.fromEntries(ids.map((id) => [id, { command }])))
  const startMs = performance.now() - began
  try {
    const { url, headers, pid } = standing
    const sessions = await Promise.all(Array.from({ length: clients }, () => Session.open({ url, headers })))
    const asked = performance.now()
    const lists = await Promise.all(
      sessions.map((session) => session.ask<{ tools: { name: string }[] }>('tools/list')),
    )
    const listMs = performance.now() - asked
    const names = lists[0]?.tools.map(({ name }) => name) ?? []
    if (names.length !== connectors * toolsEach || lists.some(({ tools }) => tools.length !== names.length))
      throw new Error(`${names.length} tools are listed, not ${connectors * toolsEach}`)
    await Promise.all(
      sessions.map(async (session, index) => {
        for (const name of own(names, index)) await session.call(name, name.split('__')[1] ?? '')
      }),
    )
    const [first] = sessions
    if (first === undefined) throw new Error('no client')
    // As many different bodies as fit into an environment.
    const bodies = names.filter((_name, index) => index % Math.ceil(names.length / 100) === 0)
    const loaded = await load({
      url,
      headers: first.headers,
      bodies: bodies.map((name) => callBody('legacy', name)),
      connections: clients,
      seconds,
      pid,
    })
    return {
      connectors,
      tools: names.length,
      clients,
      startMs,
      listMs,
      listBytes: JSON.stringify(lists[0]).length,
      checked: own(names, 0).length * clients,
      load: loaded,
      pssBytes: processPssBytes(pid),
      children: childrenOf(pid).length,
    }
  } finally {
    await standing.group.stop()
  }
}
