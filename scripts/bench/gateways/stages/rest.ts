// What the gateway costs while nobody asks, with many connectors behind it.
import { type Rest, restOf } from '../../supervisors/stages/rest.ts'
import { startOurs } from '../contenders.ts'
import { upstreamCommand } from '../load.ts'
import type { Field } from '../rounds.ts'

/** Without its children. */
export async function atRest(field: Field, connectors: number, seconds: number): Promise<Rest> {
  const names = Array.from({ length: connectors }, (_, index) => `echo-${index}`)
  const command = upstreamCommand()
  const standing = await startOurs(
    field.folder(),
    Object.fromEntries(names.map((name) => [name, { command }])),
  )
  try {
    const [rest] = await restOf([[standing.pid]], seconds)
    if (rest === undefined) throw new Error('nothing was measured')
    return rest
  } finally {
    await standing.group.stop()
  }
}
