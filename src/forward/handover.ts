import type { ReplacementPlan } from '../control/replacement.ts'
import { monotonicMs } from '../os/clock.ts'
import { ownSupervisor } from '../os/service-manager.ts'
import { ownIdentity } from '../process/identity.ts'
import { firstOf, type Inheritance, isFixed, livingPredecessors } from '../process/inheritance.ts'
import { type Instance, instances, type TargetFacts, targetFacts } from '../record/shapes/forwarder-health.ts'

/**
 * A planned restart. The forwarder that runs starts its own replacement and leaves it its listening sockets, which no third process
 * could hand on, so that it works whoever started the forwarder and whether or not a monitor is there:
 *
 *   old: listens ─ starts new ──────────────────────── closes its listeners ─ finishes its connections ─ ends
 *   new:           listens on the same sockets ─ takes control socket and PID file ─ ready ─ …
 *
 * Both accept from the same queues in between, so that not a single connect is refused and none is lost in a backlog.
 */
export interface Legacy {
  /** How this process got its sockets; the next one gets them the same way. */
  readonly inheritance: Inheritance
  /** What is known of the targets, so that the next one need not ask them. */
  readonly targets: readonly TargetFacts[]
  /** Which processes of the program that it leads to are ready; undefined = nobody has said. */
  readonly instances: readonly Instance[] | undefined
}

/** What the replacement inherits beside the sockets. */
export function legacyOf({
  inheritance,
  targets: facts,
  instances: ready,
}: Legacy): ReplacementPlan['inheritance'] {
  return {
    fixed: isFixed(inheritance),
    supervisor: supervisorNow(inheritance),
    first: firstOf(inheritance),
    predecessors: [...livingPredecessors(inheritance), ownIdentity()],
    targets: { atMonotonicMs: monotonicMs(), facts },
    ...(ready === undefined ? {} : { instances: ready }),
  }
}

/** The ready processes that the monitor had named to the forwarder before this one; undefined = it had named none yet. */
export function inheritedInstances(inheritance: Inheritance): readonly Instance[] | undefined {
  return inheritance.kind === 'handover' ? instances.read(inheritance.instances) : undefined
}

/** What the forwarder before this one knew of its targets, with the ages of now. */
export function inheritedTargets(inheritance: Inheritance): readonly TargetFacts[] {
  if (inheritance.kind !== 'handover' || inheritance.targets === undefined) return []
  const { atMonotonicMs, facts } = inheritance.targets
  const passedMs = monotonicMs() - atMonotonicMs
  const older = (ageMs: number | null) => (ageMs === null ? null : ageMs + passedMs)
  const read = facts.flatMap((one) => targetFacts.read(one) ?? [])
  return read.map((one) => ({
    ...one,
    knownAgeMs: older(one.knownAgeMs),
    stateForMs: one.stateForMs + passedMs,
    answeredAgeMs: older(one.answeredAgeMs),
    lastErrorAgeMs: older(one.lastErrorAgeMs),
  }))
}

/** Who starts this forwarder again when it dies: systemd, or null for nobody that this process knows of. */
export function supervisorNow(inheritance: Inheritance): 'systemd' | null {
  return inheritance.kind === 'handover' ? inheritance.supervisor : ownSupervisor
}
