import type { ForwardOptions } from '../config/forward-options.ts'
import { monotonicMs } from '../os/clock.ts'
import { version } from '../os/version.ts'
import { ownIdentity } from '../process/identity.ts'
import { firstOf, type Inheritance, livingPredecessors } from '../process/inheritance.ts'
import type { ForwarderHealth } from '../record/shapes/forwarder-health.ts'
import type { Connection } from './connection.ts'
import type { Dialer } from './dial/dialer.ts'
import type { Gate } from './gate/index.ts'
import { supervisorNow } from './handover.ts'
import type { InspectorWatch } from './inspector/index.ts'
import type { Admittance } from './limits/admittance.ts'
import type { Listening } from './listen/listening.ts'
import type { RelayTotals } from './relay/direction.ts'
import { relayPath } from './relay/libuv.ts'
import type { ForwardSteps } from './steps/forward-steps.ts'
import type { Tally } from './tally.ts'

/** The parts of a forwarder that its health is read from. */
export interface HealthParts {
  readonly options: ForwardOptions
  readonly inheritance: Inheritance
  readonly startedAt: { readonly wall: string; readonly monotonic: number }
  readonly isDraining: boolean
  readonly listening: Listening
  readonly dialer: Dialer
  /** Undefined = no Inspector is looked for. */
  readonly inspector: InspectorWatch | undefined
  readonly admittance: Admittance
  /** Undefined = there is no gate. */
  readonly gate: Gate | undefined
  readonly steps: ForwardSteps
  readonly tally: Tally
  readonly connections: Iterable<Connection> & { readonly size: number }
  readonly totals: RelayTotals
  /** What a person should know of the rest of the process, in words. */
  readonly warnings: readonly string[]
}

/** How a forwarder is, as its control socket answers it. */
export function healthReport(parts: HealthParts): ForwarderHealth {
  const { options, inheritance, startedAt, isDraining, listening, dialer, inspector } = parts
  const { admittance, gate, steps, tally, connections } = parts
  const { capacity } = admittance
  return {
    schemaVersion: 1,
    identity: ownIdentity(),
    version,
    startedAt: startedAt.wall,
    uptimeMs: Math.round(monotonicMs() - startedAt.monotonic),
    draining: isDraining,
    supervisor: supervisorNow(inheritance),
    first: firstOf(inheritance),
    predecessors: livingPredecessors(inheritance),
    listen: listening.health(),
    target: dialer.summary(),
    ...(dialer.program === undefined ? {} : { program: dialer.program.facts() }),
    targets: dialer.facts(),
    shortage: dialer.shortage(),
    inspector: inspector?.facts ?? null,
    admission: admittance.description,
    gate: gate?.health() ?? null,
    connections: {
      open: connections.size,
      total: tally.total,
      limit: capacity.limit,
      full: capacity.full ?? null,
      refused: { ...tally.refused },
      ended: Object.fromEntries(tally.endedByCode),
    },
    tls: {
      certificate: steps.certificate ?? null,
      target: options.targetTls ? (options.targetTlsInsecure ? 'insecure' : 'verified') : null,
    },
    workers: null,
    relay: relayPath,
    warnings: warningsOf(parts),
    bytes: bytesOf(parts),
  }
}

/** Relays count as they go; the gate's connections are counted at their end, so those that are open are added here. */
function bytesOf({ totals, gate, connections }: HealthParts): ForwarderHealth['bytes'] {
  let { bytesFromClient: fromClients, bytesFromTarget: fromTarget } = totals
  if (gate !== undefined) {
    for (const connection of connections) {
      if (connection.phase !== 'served') continue
      fromClients += connection.bytesFromClient
      fromTarget += connection.bytesFromTarget
    }
  }
  return { fromClients, fromTarget }
}

function warningsOf({ steps, gate, options, warnings: told }: HealthParts): string[] {
  const warnings = [...steps.warnings(), ...told]
  const targetProblem = gate?.health().targetProblem
  if (targetProblem) warnings.push(`gate: ${targetProblem}`)
  if (options.targetTlsInsecure) {
    warnings.push('the target’s certificate is not verified (--target-tls-insecure)')
  }
  if (options.acceptProxy.includes('any')) {
    warnings.push('every source may say who it is (--accept-proxy any)')
  }
  return warnings
}
