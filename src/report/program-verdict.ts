import type { ProgramStatus } from '../record/shapes/status-report.ts'
import type { ProgramFacts, StatusFacts } from './facts.ts'
import { ageOf, monitorsDoing, type Times, type Verdict } from './forward-verdict.ts'
import { excessInStatus, resourceStatus } from './resource-status.ts'
import { severity } from './status.ts'

/** What can be said of one program. Pure. */
export function assessProgram(
  facts: ProgramFacts,
  times: Times,
  { lastDay }: Pick<StatusFacts, 'lastDay'>,
): ProgramStatus {
  const { record, process } = facts
  const { now, watched, sameBoot } = times
  const isThere = process?.verdict === 'alive' || process?.verdict === 'stopped'
  const identity = isThere ? process.identity : undefined
  const resources = resourcesOf(facts, times)
  const { state, reason } = programState(facts, times)
  const runningSince = sameBoot && isThere ? record.runningSince : null
  return {
    name: record.name,
    ...(record.group === undefined ? {} : { group: record.group }),
    state,
    reason,
    failingForMs: severity(state) === 0 ? null : ageOf(record.failingSince, times),
    advice: null,
    monitored: watched,
    port: record.readyPort,
    command: record.command,
    ...(record.kind === undefined ? {} : { kind: record.kind }),
    pid: identity?.pid ?? null,
    uptimeMs: runningSince === null ? null : Math.max(0, Math.round(now - runningSince)),
    restarts: record.restarts,
    lastRestartAgeMs: ageOf(record.lastRestartAt ?? null, times),
    plannedRestarts: record.plannedRestarts ?? 0,
    failures: record.failures,
    lastDay: lastDay.get(record.name) ?? null,
    lastCheckAgeMs: ageOf(record.lastCheckAt, times),
    nextTryInMs:
      watched && record.nextTryAt !== null ? Math.max(0, Math.round(record.nextTryAt - now)) : null,
    orderedDownAt: state === 'down' ? (facts.wantedDown?.since ?? null) : null,
    ...(state === 'detached' ? { leftBehind: record.leftBehind ?? [] } : {}),
    orderedKeys: record.ordered ?? [],
    ...resources,
  }
}

/** Those of its process, which is there. */
function resourcesOf({ record, process }: ProgramFacts, times: Times) {
  const isThere = process?.verdict === 'alive' || process?.verdict === 'stopped'
  return resourceStatus({ record, health: isThere ? { identity: process.identity } : undefined }, times)
}

/** How a program is, and why: one that runs and is not well, or uses more than it may, is no more than degraded. */
export function programState(facts: ProgramFacts, times: Times): Verdict {
  const verdict = programVerdict(facts, times)
  if (verdict.state !== 'healthy') return verdict
  const { unwell } = facts.record
  const ill = unwell == null ? undefined : `it is not healthy: ${unwell.problem}${inARow(unwell.failures)}`
  const reasons = [ill, excessInStatus(resourcesOf(facts, times))].filter((reason) => reason !== undefined)
  return reasons.length === 0 ? verdict : { state: 'degraded', reason: reasons.join('; ') }
}

function programVerdict(facts: ProgramFacts, times: Times): Verdict {
  const { record, process, wantedDown } = facts
  const doing = monitorsDoing(facts, times)
  switch (process?.verdict) {
    case 'alive':
      return aliveVerdict(facts, process.identity.pid, doing, times)
    case 'stopped':
      return { state: 'suspended', reason: `PID ${process.identity.pid} is suspended (SIGSTOP)` }
    case 'unverifiable':
      return (
        doing ?? {
          state: 'unverifiable',
          reason: `PID ${process.identity.pid} may be the ${record.kind ?? 'program'}, but its identity cannot be verified`,
        }
      )
    case 'zombie':
    case 'gone':
    case 'reused':
    case undefined: {
      if (
        record.phase === 'down' &&
        record.completed === true &&
        wantedDown === undefined &&
        !times.monitorEnded
      )
        return { state: 'down', reason: 'it runs once, and has done its work' }
      if (doing?.state === 'down' && wantedDown === undefined && !record.autostart && !times.monitorEnded)
        return { state: 'down', reason: 'not started: it waits for an order (autostart: false)' }
      const pid = process?.identity.pid
      return doing ?? { state: 'dead', reason: pid === undefined ? 'no process' : `PID ${pid} is gone` }
    }
  }
}

function aliveVerdict(
  { record: { keep, kind } }: ProgramFacts,
  pid: number,
  doing: Verdict | undefined,
  { watched, isFirstRound }: Times,
): Verdict {
  if (doing !== undefined && doing.state !== 'down') return doing
  if (watched || isFirstRound) return { state: 'healthy', reason: null }
  if (kind === 'gateway') return { state: 'healthy', reason: `PID ${pid} serves on without a monitor` }
  if (keep === true) return { state: 'healthy', reason: `PID ${pid} goes on without a monitor (keep)` }
  return {
    state: 'degraded',
    reason: `PID ${pid} runs on without the monitor that started it: nothing restarts it, and its output is lost`,
  }
}

function inARow(failures: number): string {
  return failures < 2 ? '' : ` (${failures} times in a row)`
}
