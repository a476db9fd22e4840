import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { readStartReport } from '../control/start-report.ts'
import { identityOf, judgeProcess, ownIdentity, type ProcessIdentity } from '../os/process-identity.ts'
import { ownSupervisor } from '../os/service-manager.ts'
import { type Inheritance, inheritanceVariable, isFixed } from '../os/socket-activation.ts'

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
  /** Until the new one must be ready, in ms. */
  readonly timeoutMs: number
}

export interface Replacement {
  /** Who took over. Rejects when it could not; then nothing has changed. */
  readonly ready: Promise<ProcessIdentity>
  /** Kills it if it is not ready yet. */
  abandon(): void
}

/** The descriptor of the start report: the first one after stdin, stdout and stderr. */
const reportDescriptor = 3

/** Starts the replacement of this process, in a session of its own. */
export function startReplacement(plan: HandoverPlan): Replacement {
  const [program = '', ...words] = plan.command
  const child = spawn(program, [...words, '--report-fd', String(reportDescriptor)], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe', ...plan.sockets.map(({ descriptor }) => descriptor)],
    env: { ...process.env, [inheritanceVariable]: JSON.stringify(legacyOf(plan)) },
  })
  child.unref()
  // Taken before anything else happens: a child that ends is a zombie until the event loop turns, so the PID is still its own.
  const identity = child.pid === undefined ? undefined : identityOf(child.pid)
  let isReady = false
  const abandon = () => {
    if (!isReady) child.kill('SIGKILL')
  }
  const ready = outcomeOf(child, identity, plan.timeoutMs, abandon).then((outcome) => {
    isReady = true
    return outcome
  })
  return { ready, abandon }
}

/** What the replacement inherits. */
function legacyOf({ inheritance, sockets }: HandoverPlan): Inheritance {
  const passed = sockets.map(({ place }, index) => ({
    descriptor: reportDescriptor + 1 + index,
    name: place,
  }))
  const predecessors = [...livingPredecessors(inheritance), ownIdentity()]
  const supervisor = supervisorNow(inheritance)
  const first = firstOf(inheritance)
  return { kind: 'handover', fixed: isFixed(inheritance), supervisor, sockets: passed, first, predecessors }
}

/** The forwarder with which the chain of handovers began that led to this process; this process itself when there was none. */
export function firstOf(inheritance: Inheritance): ProcessIdentity {
  if (inheritance.kind !== 'handover') return ownIdentity()
  return inheritance.first ?? inheritance.predecessors[0] ?? ownIdentity()
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

async function outcomeOf(
  child: ChildProcess,
  identity: ProcessIdentity | undefined,
  timeoutMs: number,
  abandon: () => void,
): Promise<ProcessIdentity> {
  let wasLate = false
  const timer = setTimeout(() => {
    wasLate = true
    abandon()
  }, timeoutMs)
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be run: ${error.message}`))
    child.once('exit', (code, signal) =>
      resolve(`ended (${signal ?? `exit code ${code}`}) before it was ready`),
    )
  })
  try {
    const report = await readStartReport(child.stdio[reportDescriptor] as Readable)
    if (report?.ready === true && identity !== undefined) return identity
    if (report?.ready === false) throw new Error(report.message)
    const how = await exited
    throw new Error(
      wasLate ? `the replacement was not ready within ${timeoutMs / 1000} s` : `the replacement ${how}`,
    )
  } finally {
    clearTimeout(timer)
  }
}
