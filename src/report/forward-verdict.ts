import { describeProcess } from '../process/summary.ts'
import type { WantedDown } from '../record/desired-state.ts'
import type { ForwarderHealth, TargetFacts } from '../record/shapes/forwarder-health.ts'
import type { ForwardRecord, UnitRecord } from '../record/shapes/runtime-state.ts'
import type { ForwardStatus, ForwardStatusState } from '../record/shapes/status-report.ts'
import { adviceFor } from './advice.ts'
import type { ForwardFacts, StatusFacts } from './facts.ts'
import { judgeInspector, refusedOrigins } from './inspector-verdict.ts'
import { openAddresses } from './open-address.ts'
import { ratesBetween, sampleOf } from './rates.ts'
import { excessInStatus, resourceStatus } from './resource-status.ts'
import { severity } from './status.ts'

/** Monotonic times of the records say something only in the boot in which they were written. */
export interface Times {
  readonly now: number
  readonly sameBoot: boolean
  /** A living monitor looks after the forwards. */
  readonly watched: boolean
  /** It ended in order. */
  readonly monitorEnded: boolean
  /** The monitor starts, and has not finished its first round of checks. */
  readonly isFirstRound: boolean
}

/** What can be said of one forward. Pure. */
export function assessForward(
  facts: ForwardFacts,
  times: Times,
  { machineAddresses, lastDay, reading }: Pick<StatusFacts, 'machineAddresses' | 'lastDay' | 'reading'>,
): ForwardStatus {
  const { record, health } = facts
  const { now, sameBoot, watched } = times
  const { state, reason } = forwardVerdict(facts, times)
  const lastCheckAt = sameBoot ? (record?.lastCheckAt ?? null) : null
  const nextTryAt = watched ? (record?.nextTryAt ?? null) : null
  const name = record?.name ?? String(facts.port)
  // Of a forward that does not answer: where it was open when it last did.
  const opened = health ?? record?.health ?? undefined
  return {
    name,
    port: facts.port,
    state,
    reason,
    failingForMs: failingForMs(facts, state, times),
    advice: adviceFor(state, facts, reading),
    monitored: watched && record !== undefined,
    openAt: opened === undefined ? [] : openAddresses(opened, machineAddresses),
    lastRestartAgeMs: ageOf(record?.lastRestartAt ?? null, times),
    plannedRestarts: record?.plannedRestarts ?? 0,
    bytesPerSecond: health === undefined ? null : ratesBetween(facts.bytesBefore, sampleOf(health, now)),
    lastDay: lastDay.get(name) ?? null,
    listen: health === undefined ? [] : listenOf(health),
    notListening:
      health?.listen.failed.map(({ address, port, error }) => ({ address: joined(address, port), error })) ??
      [],
    target: record?.target ?? (health === undefined ? null : joined(health.target.host, health.target.port)),
    targetAddress: health?.target.address ?? null,
    targetError: health === undefined ? null : targetErrorOf(health),
    targetKnown: health === undefined ? null : targetKnownOf(health),
    pid: health?.identity.pid ?? (isThere(facts) ? (facts.process?.pid ?? null) : null),
    uptimeMs: health?.uptimeMs ?? null,
    restarts: record?.restarts ?? 0,
    failures: record?.failures ?? 0,
    connections: health === undefined ? null : connectionsOf(health),
    bytes: health?.bytes ?? null,
    admission: health?.admission ?? null,
    gateToken: health?.gate?.tokenPlace ?? null,
    gateWrongTokens: wrongTokensOf(health),
    ...resourceStatus(facts, times),
    lastCheckAgeMs: lastCheckAt === null ? null : Math.max(0, Math.round(now - lastCheckAt)),
    nextTryInMs: nextTryAt === null ? null : Math.max(0, Math.round(nextTryAt - now)),
    orderedDownAt: state === 'down' ? (facts.wantedDown?.since ?? null) : null,
  }
}

function failingForMs(
  { record, health }: ForwardFacts,
  state: ForwardStatusState,
  times: Times,
): number | null {
  if (record === undefined || severity(state) === 0) return null
  const isTargets = health !== undefined && state === 'unreachable'
  return ageOf(isTargets ? record.targetMemory.failingSince : record.failingSince, times)
}

/** Since a monotonic time of the records; null when it says nothing in this boot. */
export function ageOf(at: number | null, { now, sameBoot }: Times): number | null {
  return at === null || !sameBoot ? null : Math.max(0, Math.round(now - at))
}

function wrongTokensOf(health: ForwarderHealth | undefined): ForwardStatus['gateWrongTokens'] {
  const { lastHour, lastFrom } = health?.gate?.wrongTokens ?? {}
  return lastHour === undefined ? null : { lastHour, lastFrom: lastFrom ?? null }
}

function listenOf({ listen }: ForwarderHealth): string[] {
  const paths = listen.paths.map((path) => (path.startsWith('unix:') ? path : `unix:${path}`))
  return [...listen.addresses.map(({ address, port }) => joined(address, port)), ...paths]
}

function connectionsOf({ connections }: ForwarderHealth): ForwardStatus['connections'] {
  const { open, total, limit, refused } = connections
  const sum = Object.values(refused).reduce((all, count) => all + count, 0)
  return { open, total, limit, refused: sum, refusedBy: refused }
}

/** null for a forwarder of an earlier version, which does not report it. */
function targetKnownOf({ target }: ForwarderHealth): ForwardStatus['targetKnown'] {
  const { state, knownBy, knownAgeMs, stateForMs }: Partial<TargetFacts> & Pick<TargetFacts, 'state'> = target
  if (knownBy == null || knownAgeMs == null) return null
  return { state, by: knownBy, ageMs: Math.max(0, knownAgeMs), stateForMs: Math.max(0, stateForMs ?? 0) }
}

function targetErrorOf({ target }: ForwarderHealth): ForwardStatus['targetError'] {
  const { lastError, lastErrorAgeMs } = target
  return lastError === null || lastErrorAgeMs === null
    ? null
    : { message: lastError, ageMs: Math.max(0, Math.round(lastErrorAgeMs)) }
}

function isThere({ process }: ForwardFacts): boolean {
  return process !== undefined && process.verdict !== 'gone' && process.verdict !== 'reused'
}

/** A Unix socket has no port. */
function joined(host: string, port: number): string {
  if (port === 0) return host
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** How a unit is, and why. */
export interface Verdict {
  readonly state: ForwardStatusState
  readonly reason: string | null
}

/** How a forward is, and why. */
export function forwardVerdict(facts: ForwardFacts, times: Times): Verdict {
  if (facts.health !== undefined) {
    return withExcess(
      answeringVerdict(facts.health, facts.record, times.sameBoot),
      excessInStatus(resourceStatus(facts, times)),
    )
  }
  const doing = monitorsDoing(facts, times)
  const { process, control } = facts
  switch (process?.verdict) {
    case 'alive':
      return control === 'silent'
        ? { state: 'hung', reason: `PID ${process.pid} does not answer` }
        : { state: 'hung', reason: `PID ${process.pid} has no control socket` }
    case 'stopped':
      return { state: 'suspended', reason: `PID ${process.pid} is suspended (SIGSTOP)` }
    case 'unverifiable':
      return unverifiable(control, process, doing)
    case 'zombie':
      return (
        doing ?? {
          state: 'dead',
          reason: `PID ${process.pid} has ended; its parent has not collected it yet (zombie)`,
        }
      )
    case 'gone':
      return doing ?? { state: 'dead', reason: `PID ${process.pid} is gone` }
    case 'reused':
      return doing ?? { state: 'dead', reason: `PID ${process.pid} is another process now` }
    case undefined:
      if (control === 'silent') {
        return {
          state: 'hung',
          reason:
            'a process holds its control socket but does not answer, and there is no PID file to say which one',
        }
      }
      return doing ?? { state: 'dead', reason: 'no process' }
  }
}

/** One of ours that lives holds its control socket, whatever PID namespace it is in. */
function unverifiable(
  control: ForwardFacts['control'],
  { pid, isElsewhere }: NonNullable<ForwardFacts['process']>,
  doing: Verdict | undefined,
): Verdict {
  const where = isElsewhere === true ? ' of another PID namespace' : ''
  if (control === 'silent')
    return { state: 'hung', reason: `PID ${pid}${where} holds its control socket and does not answer` }
  if (isElsewhere === true)
    return doing ?? { state: 'dead', reason: `PID ${pid}${where} does not hold its control socket any more` }
  return {
    state: 'unverifiable',
    reason: `PID ${pid} may be the forwarder, but its identity cannot be verified`,
  }
}

/** A forward that uses more than it may is no more than degraded: connections get through. */
function withExcess(verdict: Verdict, excess: string | undefined): Verdict {
  if (excess === undefined) return verdict
  const reason = verdict.reason === null ? excess : `${verdict.reason}; ${excess}`
  const { state } = verdict
  return { state: state === 'healthy' || state === 'waiting' ? 'degraded' : state, reason }
}

/**
 * What a living monitor is doing about a unit that does not answer; undefined when it does not know yet. That it is wanted down holds
 * without a monitor too.
 */
export function monitorsDoing(
  {
    record,
    wantedDown,
  }: { readonly record: UnitRecord | undefined; readonly wantedDown: WantedDown | undefined },
  { watched, monitorEnded, isFirstRound }: Times,
): Verdict | undefined {
  if (record?.phase === 'down' && (wantedDown !== undefined || !isFirstRound)) {
    const held = record.heldBy == null ? '' : `; its port is still held by ${describeProcess(record.heldBy)}`
    if (wantedDown !== undefined) {
      const { by, since, why } = wantedDown
      // Orders of the version before have no name.
      const who = by === undefined ? `an order: ${why}` : `${by} at ${since}`
      return { state: 'down', reason: `stopped by ${who}${held}` }
    }
    return {
      state: 'down',
      reason: `${monitorEnded ? 'stopped with the monitor' : 'stopped by an order'}${held}`,
    }
  }
  const notChecked = {
    state: 'starting',
    reason: 'the monitor is starting and has not checked it yet',
  } as const
  if (!watched) return isFirstRound ? notChecked : undefined
  switch (record?.phase) {
    case 'starting':
    case 'backoff':
    case 'flapping':
    case 'blocked':
    case 'detached':
      return { state: record.phase, reason: record.reason ?? 'not ready yet' }
    case 'awaiting':
      return { state: record.failures > 1 ? 'dead' : 'starting', reason: record.reason ?? 'systemd runs it' }
    case 'stopping':
      return { state: 'draining', reason: record.reason ?? 'the monitor is stopping it' }
    case 'unknown':
    case 'down':
      return isFirstRound ? notChecked : undefined
    case 'running':
    case undefined:
      return undefined
  }
}

function answeringVerdict(
  health: ForwarderHealth,
  record: ForwardRecord | undefined,
  sameBoot: boolean,
): Verdict {
  const { listen, target, draining } = health
  const to = joined(target.host, target.port)
  if (draining) return { state: 'draining', reason: `finishing ${health.connections.open} connections` }
  if (listen.addresses.length === 0 && listen.paths.length === 0) {
    const why = listen.failed.map(({ address, error }) => `${address}: ${error}`).join(', ')
    return { state: 'degraded', reason: why === '' ? 'this machine has no address but loopback' : why }
  }
  if (health.shortage != null) return { state: 'degraded', reason: health.shortage.message }
  const answeredBefore = sameBoot && record?.targetMemory.everAnswered === true
  if (health.program !== undefined && target.state !== 'reachable' && health.program.ready.length === 0)
    return {
      state: answeredBefore || target.state === 'unreachable' ? 'unreachable' : 'waiting',
      reason: target.lastError,
    }
  if (target.state === 'unreachable' || (target.state === 'waiting' && answeredBefore)) {
    return {
      state: 'unreachable',
      reason: `target ${to} does not answer${target.lastError === null ? '' : `: ${target.lastError}`}`,
    }
  }
  if (target.state === 'waiting') return { state: 'waiting', reason: `nothing is listening on ${to} yet` }
  if (target.state === 'unknown') return { state: 'waiting', reason: `target ${to} has not been tried yet` }
  const shortcoming = shortcomingOf(health)
  if (shortcoming !== undefined) return { state: 'degraded', reason: shortcoming }
  const inspector = judgeInspector(health)
  if (inspector !== undefined) return { state: inspector.state, reason: inspector.reason }
  const warnings = health.admission === 'any' ? ['any source may connect (--allow any)'] : []
  warnings.push(...health.warnings)
  const refused = refusedOrigins(health)
  if (refused !== undefined) warnings.push(refused)
  return { state: 'healthy', reason: warnings.length === 0 ? null : warnings.join('; ') }
}

/** What is not as it should be although connections get through; undefined when all is. */
function shortcomingOf({ listen, targets, connections }: ForwarderHealth): string | undefined {
  const [missing] = listen.failed
  if (missing !== undefined) return `does not listen on ${missing.address}: ${missing.error}`
  if (connections.full !== null) {
    return `turns connections away (${connections.full}): ${connections.open} of ${connections.limit} are open`
  }
  const away = targets.filter(({ state }) => state === 'unreachable')
  if (away.length === 0) return undefined
  const names = away.map(({ host, port }) => joined(host, port)).join(', ')
  return `${away.length} of ${targets.length} targets do not answer: ${names}`
}
