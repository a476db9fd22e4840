/** Tools about health: get_status, forward_status. */
import type { z as Zod } from 'zod'
import * as z from '../../config/zod.ts'
import { duration } from '../../os/duration.ts'
import { oneLine } from '../../os/printable.ts'
import type { ForwardStatus, ProgramStatus, StatusReport } from '../../record/shapes/status-report.ts'
import { severity } from '../../report/status.ts'
import { fitting } from './budget.ts'
import { callText } from './next-call.ts'
import { type HowMany, programLines } from './program-lines.ts'
import { failure, type Give, readsOnly, type Tool, type ToolOutcome } from './tool.ts'
import { given } from './unit-text.ts'

const units = z
  .array(z.string())
  .default([])
  .describe(
    'names of units; with names the answer has the last log lines and events of each; none = all units',
  )

const cursor = z.string().optional().describe('nextCursor of the answer before, for what it left out')

const input = z.strictObject({ units, cursor })

const status = z.object({
  name: z.string(),
  kind: z.string().describe('program or forward'),
  state: z.string(),
  reason: z.string().optional(),
  failingForMs: z.number().optional(),
  advice: z.string().optional(),
  pid: z.number().optional(),
  uptimeMs: z.number().optional(),
  restarts: z.number(),
  ports: z.array(z.number()),
  openAt: z.array(z.string()).optional().describe('addresses to open'),
  target: z.string().optional().describe('where a forward leads'),
  command: z.string().optional().describe('what a program runs'),
  log: z.array(z.string()).optional().describe('last lines; of a program also the last errors'),
  events: z.array(z.string()).optional(),
})

const output = z.object({
  monitor: z.object({
    state: z.string(),
    reason: z.string().optional(),
    pid: z.number().optional(),
    uptimeMs: z.number().optional(),
  }),
  summary: z
    .record(z.string(), z.number())
    .describe('how many units are healthy, waiting, degraded, down, stopped …'),
  units: z.array(status),
  next: z.array(z.string()).describe('what to do about what is wrong; most urgent first'),
  leftOut: z.number(),
  nextCursor: z.string().optional(),
})

type Status = Zod.infer<typeof status>

export const statusTools: readonly Tool[] = [
  {
    name: 'get_status',
    title: 'Health report',
    description:
      'Judges the health of the watchdog and of its units: what is wrong, since when, why, and what to do next. Programs that are wrong come with their last lines; name a unit to get more lines and its events.',
    orders: ['status'],
    annotations: readsOnly,
    isLarge: true,
    schemas: () => ({ input, output }),
    run: (given, give) => reported(given, give, ({ programs, forwards }) => [...programs, ...forwards]),
  },
  {
    name: 'forward_status',
    title: 'Health of port forwards',
    description:
      'Judges the health of TCP port forwards: whether clients get through to the target, at which addresses, and what is wrong. Without names all forwards.',
    orders: ['status'],
    annotations: readsOnly,
    isLarge: true,
    schemas: () => ({ input, output }),
    run: (given, give) => reported(given, give, ({ forwards }) => forwards),
  },
]

type UnitStatus = ForwardStatus | ProgramStatus

/** Lines of a program that was asked for by name, and of one that is wrong. */
const namedLines: HowMany = { newest: 15, errors: 5 }
const wrongLines: HowMany = { newest: 6, errors: 3 }

/** Programs that are wrong and show their lines without having been named. */
const mostWrong = 10

async function reported(
  asked: Readonly<Record<string, unknown>>,
  give: Give,
  choose: (report: StatusReport) => readonly UnitStatus[],
): Promise<ToolOutcome> {
  const answer = await give('status', { units: asked.units ?? [] })
  if ('error' in answer) return failure(answer.error)
  const report = answer.output as StatusReport
  const from = Number(asked.cursor ?? 0)
  const chosen = choose(report).slice(from)
  const isNamed = report.details.length > 0
  const told = chosen
    .filter((unit) => isProgram(unit) && (isNamed || severity(unit.state) > 0))
    .slice(0, isNamed ? undefined : mostWrong)
  const printed = new Map(
    await Promise.all(
      told.map(async ({ name }) => {
        return [name, await programLines(name, isNamed ? namedLines : wrongLines, give)] as const
      }),
    ),
  )
  const rest = chosen.map((unit) => statusOf(unit, report, printed.get(unit.name) ?? []))
  const shown = fitting(rest)
  const left = rest.length - shown.length
  const { state, reason, pid, uptimeMs } = report.monitor
  const next = nextOf(report)
  const summary = Object.fromEntries(Object.entries(report.summary).filter(([, count]) => count > 0))
  const counts = Object.entries(summary).map(([what, count]) => `${count} ${what}`)
  const head = `watchdog ${state}${reason === null ? '' : `: ${reason}`}; units: ${counts.join(', ') || 'none'}`
  return {
    text: [
      head,
      ...shown.flatMap(statusLines),
      ...(left === 0 ? [] : [`[${left} units left out; call again with cursor "${from + shown.length}"]`]),
      ...next.map((one) => `next: ${one}`),
    ].join('\n'),
    structured: {
      monitor: { state, ...given({ reason, pid, uptimeMs }) },
      summary,
      units: shown,
      next,
      leftOut: left,
      ...(left === 0 ? {} : { nextCursor: String(from + shown.length) }),
    },
  }
}

/** What to do next, as an agent does it. */
function nextOf({ next, steps }: StatusReport): string[] {
  if (steps === undefined) return [...next]
  return steps.map(({ text, order, units }) => (order === null ? text : (callText({ order, units }) ?? text)))
}

function isProgram(unit: UnitStatus): unit is ProgramStatus {
  return 'command' in unit
}

function statusOf(unit: UnitStatus, report: StatusReport, printed: readonly string[]): Status {
  const { name, state, reason, failingForMs, advice, pid, uptimeMs, restarts, port } = unit
  const detail = report.details.find((one) => one.name === name)
  // What a program printed is told once, without its traces.
  const entries = printed.length > 0 ? [] : (detail?.log ?? [])
  const own = entries.map(({ time, level, message }) => `${time} ${level} ${message}`)
  const log = [...own, ...printed]
  const events = detail?.events.map(({ time, saw, decided }) => `${time} ${saw}; ${decided}`) ?? []
  const ofKind = isProgram(unit)
    ? { command: unit.command }
    : {
        openAt: state === 'down' || unit.openAt.length === 0 ? null : unit.openAt.slice(0, 2),
        target: unit.target,
      }
  return {
    name,
    kind: isProgram(unit) ? 'program' : 'forward',
    state,
    ...given({ reason, failingForMs, advice, pid, uptimeMs }),
    restarts,
    ports: port === null ? [] : [port],
    ...given(ofKind),
    ...given({ log: log.length === 0 ? null : log, events: events.length === 0 ? null : events }),
  }
}

function statusLines(unit: Status): string[] {
  const { name, kind, state, reason, failingForMs, advice, pid, uptimeMs, restarts, ports, openAt, target } =
    unit
  const facts = [
    reason === undefined ? [] : reason,
    failingForMs === undefined ? [] : `for ${duration(failingForMs)}`,
    pid === undefined ? [] : `pid ${pid}`,
    uptimeMs === undefined ? [] : `up ${duration(uptimeMs)}`,
    restarts === 0 ? [] : `restarts ${restarts}`,
    ports.length === 0 ? [] : `port ${ports.join(', ')}${target === undefined ? '' : ` -> ${target}`}`,
    openAt === undefined ? [] : `open ${openAt[0]}`,
  ].flat()
  return [
    oneLine(`${name} (${kind}) ${state}${facts.length === 0 ? '' : `: ${facts.join(', ')}`}`),
    ...(advice === undefined ? [] : [`  advice: ${oneLine(advice)}`]),
    ...(unit.log ?? []).map((line) => `  log: ${oneLine(line)}`),
    ...(unit.events ?? []).map((line) => `  event: ${oneLine(line)}`),
  ]
}
