/**
 * The order `config-restore`: a configuration of the history becomes the file again. It is the owner's alone: what a person has taken out of
 * the file, such as a program or a login left open, no key may bring back.
 */
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import * as z from '../config/zod.ts'
import { replaceFile, writeFileAtomically } from '../os/atomic-file.ts'
import { errorText } from '../os/failure.ts'
import { isSameSource } from '../record/configuration-history.ts'
import { fileNames } from '../record/state-directory.ts'
import { demandFile, entryOf, judge, onDisk } from './configuration-reading.ts'
import { actorInWords, type Order, OrderRefusal, row } from './order.ts'

export const configRestoreOrder: Order = row({
  name: 'config-restore',
  summary: 'Write a configuration of the history to the configuration file again, and let it take effect.',
  scope: 'owner',
  changes: true,
  input: z.strictObject({ id: z.number().int().min(1).describe('its number in config-history') }),
  output: z.object({
    file: z.string(),
    restored: z.number(),
    change: z.string().nullable().describe('in words; null = nothing has changed'),
    undo: z.number().nullable().describe('the configuration that was in force before, to be restored'),
    displaced: z
      .string()
      .nullable()
      .describe('where the text of the file went that was never in force; null = there was none'),
  }),
  carryOut: async ({ id }, { monitor, actor }) => {
    const { source, history, changes } = demandFile(monitor)
    const entry = entryOf(history, id)
    const { file } = source
    if (entry.file !== file) {
      const message = `configuration ${id} is of the file ${entry.file}, and the monitor uses ${file}`
      throw new OrderRefusal('unknown-configuration', message, `proxy-monitor --config ${entry.file}`)
    }
    const judged = await judge(entry)
    if ('problems' in judged) {
      const [first] = judged.problems
      const message = `configuration ${id} is not valid any more: ${first?.message ?? ''}`
      throw new OrderRefusal('invalid-configuration', message, 'choose another one: proxy-ctl config history')
    }
    const displaced = displace(file, source.text, monitor.stateDirectory)
    try {
      replaceFile(file, entry.text)
      const programs = entry.changes ?? []
      if (!isDeepStrictEqual(programs, source.changes ?? [])) changes.write({ programs, undo: [] })
    } catch (error) {
      const message = `${file} cannot be written by the monitor: ${errorText(error)}`
      throw new OrderRefusal('file-not-writable', message, 'let the user of the monitor write it')
    }
    const reloaded = await monitor.reload('config-restore', actorInWords(actor))
    if (reloaded.kind !== 'read') {
      const problem = reloaded.kind === 'refused' ? reloaded.problem : 'there is no file'
      throw new OrderRefusal('invalid-configuration', problem, 'proxy-ctl config check')
    }
    const before = history.find((one) => isSameSource(one, source))
    return { file, restored: id, change: reloaded.words ?? null, undo: before?.id ?? null, displaced }
  },
})

/** Keeps what a person has begun to write, which no history has. @returns where. */
function displace(file: string, inForce: string, stateDirectory: string): string | null {
  const text = onDisk(file)
  if (typeof text !== 'string' || text === inForce) return null
  const kept = path.join(stateDirectory, fileNames.displacedConfiguration)
  writeFileAtomically(kept, text)
  return kept
}
