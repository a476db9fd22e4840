import type { z as Zod } from 'zod'
import * as z from '../../config/zod.ts'
import type { UnitState } from '../../orders/unit-state.ts'
import { duration } from '../../os/duration.ts'
import { oneLine } from '../../os/printable.ts'

/** A unit in few tokens: what is unknown or nothing is left out. */
export const briefUnit = z.object({
  name: z.string(),
  kind: z.string(),
  state: z
    .string()
    .describe(
      'as in get_status: healthy, waiting (for its target), degraded, starting, backoff, flapping, blocked, draining, down …',
    ),
  reason: z.string().optional().describe('why it does not run, or what was last wrong'),
  pid: z.number().optional(),
  uptimeMs: z.number().optional(),
  restarts: z.number().describe('after failures'),
  failures: z.number().optional().describe('in a row'),
  ports: z.array(z.number()),
  target: z.string().optional().describe('where a forward leads'),
  targetState: z.string().optional(),
  nextTryInMs: z.number().optional(),
  stoppedBy: z.string().optional().describe('whose order keeps it down'),
  lastLine: z.string().optional().describe('the last error, or the last line, of a program in trouble'),
})

export type BriefUnit = Zod.infer<typeof briefUnit>

/** What became of an order for one unit. */
export const briefResult = z.object({
  outcome: z.enum(['done', 'already', 'ordered', 'failed']),
  unit: briefUnit,
  error: z.object({ code: z.string(), message: z.string(), next: z.string().nullable() }).optional(),
  lines: z.array(z.string()).optional().describe('the last lines of its log, when it failed'),
})

export type BriefResult = Zod.infer<typeof briefResult>

export function briefOf(state: UnitState): BriefUnit {
  const { name, kind, reason, pid, runningForMs, restarts, failures, port, target } = state
  return {
    name,
    kind,
    state: state.state,
    ...given({ reason, pid, uptimeMs: runningForMs }),
    restarts,
    ...given({ failures: failures > 0 ? failures : null }),
    ports: port === null ? [] : [port],
    ...given({ target, targetState: state.targetState, nextTryInMs: state.nextTryInMs }),
    ...given({ stoppedBy: state.stopped === null ? null : (state.stopped.by ?? 'an order') }),
  }
}

/** Only what is known. */
export function given<Fields extends Readonly<Record<string, unknown>>>(
  fields: Fields,
): { [Key in keyof Fields]?: NonNullable<Fields[Key]> } {
  const known = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)
  return Object.fromEntries(known) as { [Key in keyof Fields]?: NonNullable<Fields[Key]> }
}

/** A unit on one line: `web healthy pid 4250, up 3 h 7 min, 1 restart, port 8080 -> localhost:3000`. */
export function unitLine(unit: BriefUnit): string {
  const { name, kind, state, reason, pid, uptimeMs, restarts, ports, target, targetState } = unit
  const { nextTryInMs, stoppedBy, lastLine } = unit
  const facts = [
    pid === undefined ? [] : `pid ${pid}`,
    uptimeMs === undefined ? [] : `up ${duration(uptimeMs)}`,
    restarts === 0 ? [] : `${restarts} ${restarts === 1 ? 'restart' : 'restarts'}`,
    ports.length === 0 ? [] : `port ${ports.join(', ')}${target === undefined ? '' : ` -> ${target}`}`,
    targetState === undefined || targetState === 'reachable' ? [] : `target ${targetState}`,
    reason === undefined ? [] : `reason: ${reason}`,
    nextTryInMs === undefined ? [] : `next try in ${duration(nextTryInMs)}`,
    stoppedBy === undefined ? [] : `stopped by ${stoppedBy}`,
    lastLine === undefined ? [] : `last line: ${lastLine}`,
  ].flat()
  return oneLine(`${name} (${kind}) ${state}${facts.length === 0 ? '' : `: ${facts.join(', ')}`}`)
}
