import type { GatewayConnector } from '../../../record/shapes/gateway-state.ts'
import { ownPrograms } from '../../../report/own-programs.ts'
import { type Check, type Finding, failed, type GatewayPatient, note, ok, warning } from '../../check.ts'

/** Tools beyond which many models choose worse, and those that some clients take at most. */
const manyTools = { advised: 40, possible: 128 }

/** ms by which a sign of life may lie in the future. */
const clockSlackMs = 5000

/** Judges the gateway by what it wrote last. @param now wall ms. */
export function judgeRunning({ standing, configuration }: GatewayPatient, now: number): Finding[] {
  const { gateway } = ownPrograms()
  const start = `${gateway} start --all`
  if (standing.kind === 'none') return [note('gateway-absent', 'the gateway has never run here', start)]
  if (standing.kind === 'unreadable') {
    const what = `${standing.file} cannot be read, so that nobody knows how the gateway is`
    return [warning('gateway-unreadable', what, 'start the gateway again: it writes the file anew')]
  }
  const { state, shown } = standing
  const { pid, heartbeat, mode } = state.proxy
  if (shown === 'STOPPED') return [note('gateway-stopped', 'the gateway does not run', start)]
  const silentMs = now - Date.parse(heartbeat)
  if (shown === 'STALE') {
    const what = `the gateway, PID ${pid}, has given no sign of life for ${Math.round(silentMs / 1000)} s: it has died or hangs`
    // One on stdin and stdout goes with its client, who starts it again.
    const level = mode === 'stdio' ? warning : failed
    return [level('gateway-stale', what, `end PID ${pid} if it is still there, then: ${start}`)]
  }
  const clock =
    silentMs < -clockSlackMs
      ? [
          warning(
            'gateway-clock',
            `the last sign of life of the gateway lies ${Math.round(-silentMs / 1000)} s in the future: the clock was set back`,
            'expiry of keys and tokens depends on it: let the system set its clock (timedatectl set-ntp true)',
          ),
        ]
      : []
  const down = state.connectors.flatMap(judgeDown)
  return [
    ok(
      'gateway-running',
      `the gateway runs, PID ${pid}, with ${state.connectors.length} ${state.connectors.length === 1 ? 'connector' : 'connectors'}`,
    ),
    ...clock,
    ...down,
    ...(configuration.lazy ? [] : judgeCount(state.connectors)),
  ]
}

function judgeDown({ id, state, error, nextTryAt, lastError }: GatewayConnector): Finding[] {
  if (state !== 'error') return []
  const { gateway } = ownPrograms()
  const said = lastError?.stderr.at(-1)
  const words = said === undefined || error?.includes(said) === true ? '' : `; it said last: ${said}`
  const next = nextTryAt === null ? '' : `, then: ${gateway} retry ${id}`
  return [
    failed(
      'connector-down',
      `connector ${id} is down: ${error ?? 'unknown'}${words}`,
      `${gateway} test ${id}${next}`,
    ),
  ]
}

function judgeCount(connectors: readonly GatewayConnector[]): Finding[] {
  const count = connectors.reduce((sum, { toolCount }) => sum + toolCount, 0)
  if (count <= manyTools.advised) return []
  const cure = 'offer fewer (tools.allow and deny of a connector, profiles), or have them found: gateway.lazy'
  if (count > manyTools.possible) {
    const what = `clients are offered ${count} tools; some take ${manyTools.possible} at most and leave the others out`
    return [warning('tools-too-many', what, cure)]
  }
  const what = `clients are offered ${count} tools; beyond ${manyTools.advised} many models choose worse`
  return [note('tools-many', what, cure)]
}

export const running: Check = {
  name: 'gateway',
  run: ({ gateway }) => (gateway === undefined ? [] : judgeRunning(gateway, Date.now())),
}
