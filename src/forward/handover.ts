import { ControlRefusal } from '../control/protocol.ts'
import { monotonicMs } from '../os/clock.ts'
import { ownSupervisor } from '../os/service-manager.ts'
import { judgeProcess, ownIdentity, type ProcessIdentity } from '../process/identity.ts'
import { type Inheritance, inheritanceVariable, isFixed } from '../process/inheritance.ts'
import {
  describeStartFailure,
  firstPassedDescriptor,
  type StartFailure,
  startProcess,
} from '../process/start.ts'
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
export interface HandoverPlan {
  /** The program and its words, without those that name the report's descriptor. */
  readonly command: readonly string[]
  /** How this process got its sockets; the next one gets them the same way. */
  readonly inheritance: Inheritance
  readonly sockets: readonly { readonly place: string; readonly descriptor: number }[]
  /** What is known of the targets, so that the next one need not ask them. */
  readonly targets: readonly TargetFacts[]
  /** Which processes of the program that it leads to are ready; undefined = nobody has said. */
  readonly instances: readonly Instance[] | undefined
  /** Until the new one must be ready, in ms. */
  readonly timeoutMs: number
}

export interface Replacement {
  /** Who took over. Rejects with a `ControlRefusal` when it could not; then nothing has changed. */
  readonly ready: Promise<ProcessIdentity>
  /** Kills it if it is not ready yet. */
  abandon(): void
}

/** Starts the replacement of this process, in a session of its own. */
export function startReplacement(plan: HandoverPlan): Replacement {
  const [program = '', ...words] = plan.command
  const { process: running, ...start } = startProcess({
    program,
    words,
    environment: { ...process.env, [inheritanceVariable]: JSON.stringify(legacyOf(plan)) },
    output: 'inherit',
    descriptors: plan.sockets.map(({ descriptor }) => descriptor),
    ready: 'report',
    withinMs: plan.timeoutMs,
  })
  running?.child.unref()
  const ready = start.outcome.then((outcome) => {
    if (outcome.ok) return outcome.identity
    throw refusalOf(outcome.failure)
  })
  return { ready, abandon: () => start.abandon() }
}

function refusalOf(failure: StartFailure): ControlRefusal {
  const message =
    failure.code === 'refused' ? failure.message : `the replacement ${describeStartFailure(failure)}`
  return new ControlRefusal('replacement-failed', message)
}

/** What the replacement inherits. */
function legacyOf({ inheritance, sockets, targets: facts, instances: ready }: HandoverPlan): Inheritance {
  const passed = sockets.map(({ place }, index) => ({
    descriptor: firstPassedDescriptor + index,
    name: place,
  }))
  const predecessors = [...livingPredecessors(inheritance), ownIdentity()]
  const supervisor = supervisorNow(inheritance)
  const first = firstOf(inheritance)
  const targets = { atMonotonicMs: monotonicMs(), facts }
  return {
    kind: 'handover',
    fixed: isFixed(inheritance),
    supervisor,
    sockets: passed,
    first,
    predecessors,
    targets,
    ...(ready === undefined ? {} : { instances: ready }),
  }
}

/** The ready processes that the monitor had named to the forwarder before this one; undefined = it had named none yet. */
export function inheritedInstances(inheritance: Inheritance): readonly Instance[] | undefined {
  return inheritance.kind === 'handover' ? instances.read(inheritance.instances) : undefined
}

/** The forwarder with which the chain of handovers began that led to this process; this process itself when there was none. */
export function firstOf(inheritance: Inheritance): ProcessIdentity {
  if (inheritance.kind !== 'handover') return ownIdentity()
  return inheritance.first ?? inheritance.predecessors[0] ?? ownIdentity()
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

/** Forwarders before this one that still finish their connections. */
export function livingPredecessors(inheritance: Inheritance): readonly ProcessIdentity[] {
  if (inheritance.kind !== 'handover') return []
  return inheritance.predecessors.filter((identity) => {
    const verdict = judgeProcess(identity)
    return verdict === 'alive' || verdict === 'stopped'
  })
}
