// Calls of one tool, by a number of clients at once that each wait for their answer before they ask again.
import { processPssBytes } from '../../forwarders/processes.ts'
import { callBody, callHeaders, type Era } from '../client.ts'
import { type Contender, childrenOf, type Standing } from '../contenders.ts'
import { type Loaded, load } from '../load.ts'
import type { Field } from '../rounds.ts'

export interface Calls {
  /** By the number of connections. */
  readonly by: Map<number, Loaded[]>
  /** Of the gateway without its children, after the load. Bytes of PSS. */
  pssBytes?: number
  children?: number
}

/** Calls after which a program is compiled as well as it will be, and loads that may be taken for them on a slow machine. */
const warmCalls = 4000
const mostWarmUps = 3

/** Everybody takes the load in turn, round after round. */
export async function calls(
  field: Field,
  era: Era,
  connections: readonly number[],
  rounds: number,
  seconds: number,
): Promise<ReadonlyMap<string, Calls>> {
  const found = new Map<string, Calls>()
  const taking = field.contenders.filter(({ eras }) => eras.includes(era))
  await field.withAll(taking, async (run) => {
    const measure = async ({ name }: Contender, standing: Standing, count: number, forSeconds: number) => {
      const { url, tool, pid } = standing
      // One session for all connections: supergateway starts a child for each.
      const headers = await callHeaders(era, standing, tool)
      const bodies = [callBody(era, tool)]
      const loaded = await load({ url, headers, bodies, connections: count, seconds: forSeconds, pid })
      return { loaded, own: of(name) }
    }
    const of = (name: string) => {
      const known = found.get(name) ?? { by: new Map<number, Loaded[]>() }
      found.set(name, known)
      return known
    }
    await run('warming up', async (contender, standing) => {
      let made = 0
      for (let time = 0; time < mostWarmUps && made < warmCalls; time++)
        made += (await measure(contender, standing, 16, seconds)).loaded.calls
    })
    for (let round = 0; round < rounds; round++) {
      for (const count of connections) {
        await run(`round ${round + 1} of ${rounds}, c = ${count}`, async (contender, standing) => {
          const { loaded, own } = await measure(contender, standing, count, seconds)
          own.by.set(count, [...(own.by.get(count) ?? []), loaded])
        })
      }
    }
    await run('memory', async ({ name }, { pid }) => {
      of(name).pssBytes = processPssBytes(pid)
      of(name).children = childrenOf(pid).length
    })
  })
  return found
}
