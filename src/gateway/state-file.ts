import path from 'node:path'
import { ringLines } from '../log/ring-log.ts'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { wallTime } from '../os/clock.ts'
import type { GatewayCondition } from '../record/shapes/gateway-conditions.ts'
import type { GatewayConnector, GatewayState } from '../record/shapes/gateway-state.ts'
import { fileNames } from '../record/state-directory.ts'
import type { GatewayCore } from './gateway-core.ts'
import type { Upstream } from './upstream/index.ts'

export interface StateFacts {
  readonly mode: GatewayState['proxy']['mode']
  readonly startedAt: string
  readonly url: string | null
  readonly keyFile: string | null
  readonly store: GatewayState['store']
  readonly level: string
  readonly bufferedLines: number
  readonly problems: readonly GatewayCondition[]
}

/** What the gateway is and does now. */
export function gatewayState(core: GatewayCore, facts: StateFacts, isStopped = false): GatewayState {
  const { mode, startedAt, url, keyFile, store, level, bufferedLines, problems } = facts
  return {
    version: 1,
    proxy: {
      state: isStopped ? 'STOPPED' : 'RUNNING',
      mode,
      startedAt,
      pid: process.pid,
      heartbeat: wallTime(),
      url,
      keyFile,
    },
    store,
    connectors: core.upstreams.map(connectorState),
    clients: core.roster.report(),
    problems,
    logging: { level: level.toUpperCase(), bufferedLines, maxLines: ringLines },
  }
}

function connectorState(upstream: Upstream): GatewayConnector {
  const { id, state, problem, facts, offering, restarts, calls } = upstream
  const { pid, junkLines } = upstream.wireFacts()
  return {
    id,
    toolCount: offering.tools.length,
    healthy: (state === 'ready' || state === 'idle') && calls.isWell,
    state,
    error: problem ?? null,
    protocolVersion: facts?.revision ?? null,
    pid,
    inFlight: upstream.inFlight,
    failuresInRow: calls.failuresInRow,
    lastSuccessAt: calls.lastSuccessAt,
    junkLines,
    restarts: restarts.count,
    nextTryAt: restarts.waitMs === 0 ? null : new Date(Date.now() + restarts.waitMs).toISOString(),
    lastError: restarts.lastError ?? null,
  }
}

/** Writes it for readers; a disk that is full for a while is no reason to stop. */
export function writeGatewayState(stateDirectory: string, state: GatewayState): void {
  try {
    writeFileAtomically(
      path.join(stateDirectory, fileNames.gatewayState),
      `${JSON.stringify(state)}\n`,
      false,
    )
  } catch {
    // The next heartbeat tries again; `mcp-proxy status` sees an old one meanwhile.
  }
}
