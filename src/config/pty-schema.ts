/** What `pty` of a program may say in a configuration file. */
import type { z as Zod } from 'zod'
import type { Problem } from './problems.ts'
import { type ProgramConfiguration, programDefaults } from './program-configuration.ts'
import * as z from './zod.ts'

const side = z.number().int().min(1).max(1000)

const size = z.strictObject({
  columns: side.optional().describe('characters in a line; default 80'),
  rows: side.optional().describe('lines; default 24'),
})

export const pty = z.union([z.boolean(), size])

export const ptyKeys: readonly string[] = Object.keys(size.shape)

export function terminalSize(entry: Zod.output<typeof pty> | undefined): ProgramConfiguration['pty'] {
  if (entry === undefined || entry === false) return undefined
  const { columns, rows } = entry === true ? {} : entry
  const usual = programDefaults.pty
  return { columns: columns ?? usual.columns, rows: rows ?? usual.rows }
}

/** A terminal is the monitor's, and has no room for other descriptors. */
export function ptyProblems(
  programs: readonly {
    readonly pty?: Zod.output<typeof pty> | undefined
    readonly keep?: boolean | undefined
    readonly socket?: unknown
  }[],
): Problem[] {
  return programs.flatMap((program, index): Problem[] => {
    if (terminalSize(program.pty) === undefined) return []
    const place = ['programs', index, 'pty']
    const name = `programs[${index}].pty`
    if (program.keep === true)
      return [
        { place, text: `${name}: a program with keep cannot have a terminal, which ends with the monitor` },
      ]
    if (program.socket !== undefined)
      return [
        { place, text: `${name}: a program with socket cannot have a terminal, which passes no sockets on` },
      ]
    return []
  })
}
