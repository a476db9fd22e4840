import { type ProcessIdentity, signalProcess } from '../process/identity.ts'
import { type Inheritance, inheritanceVariable } from '../process/inheritance.ts'
import {
  describeStartFailure,
  firstPassedDescriptor,
  type StartedProcess,
  type StartFailure,
  startProcess,
} from '../process/start.ts'
import { ControlRefusal, invalidArgument } from './protocol.ts'

// The order `hand-over`: a process starts its own replacement and leaves it its listening sockets, which no third process could hand on.

/** ms that a replacement may take when nobody says otherwise. */
export const replacementTakesMs = 10_000

export interface ReplacementOrder {
  /** The program and its words, without those that name the report's descriptor. */
  readonly run: readonly string[]
  /** Until the new one must be ready, in ms. */
  readonly timeoutMs: number
}

/** What the order says: `run`, and `timeoutMs` or the usual time. @throws ControlRefusal */
export function replacementOrder(order: Readonly<Record<string, unknown>>): ReplacementOrder {
  const { run, timeoutMs = replacementTakesMs } = order
  const isCommand = Array.isArray(run) && run.length > 0 && run.every((word) => typeof word === 'string')
  if (isCommand && typeof timeoutMs === 'number' && timeoutMs > 0) return { run, timeoutMs }
  throw invalidArgument('hand-over needs the replacement’s program and words as "run", and ms as "timeoutMs"')
}

/** A listening socket that is left to the next process. `place` is the address that it is bound to. */
export interface LeftSocket {
  readonly place: string
  readonly descriptor: number
}

export interface ReplacementPlan extends ReplacementOrder {
  readonly environment: NodeJS.ProcessEnv
  readonly sockets: readonly LeftSocket[]
  /** What else the next process inherits. */
  readonly inheritance: Omit<Extract<Inheritance, { kind: 'handover' }>, 'kind' | 'sockets'>
}

export interface Replacement {
  /** Who took over. Rejects with a `ControlRefusal` when it could not; then nothing has changed. */
  readonly ready: Promise<ProcessIdentity>
  /** Kills it if it is not ready yet. */
  abandon(): void
}

/** Starts the replacement of this process, in a session of its own. */
export function startReplacement(plan: ReplacementPlan): Replacement {
  const [program = '', ...words] = plan.run
  const sockets = plan.sockets.map(({ place }, index) => ({
    descriptor: firstPassedDescriptor + index,
    name: place,
  }))
  const inheritance: Inheritance = { kind: 'handover', sockets, ...plan.inheritance }
  const { process: running, ...start } = startProcess({
    program,
    words,
    environment: { ...plan.environment, [inheritanceVariable]: JSON.stringify(inheritance) },
    output: 'inherit',
    descriptors: plan.sockets.map(({ descriptor }) => descriptor),
    ready: 'report',
    withinMs: plan.timeoutMs,
  })
  running?.child.unref()
  const ready = start.outcome.then(async (outcome) => {
    if (outcome.ok) return outcome.identity
    if (running !== undefined) await gone(running)
    throw refusalOf(outcome.failure)
  })
  return { ready, abandon: () => start.abandon() }
}

/** ms that a replacement which could not take over has to end by itself. */
const endsWithinMs = 2000

/** It shares the port: while it lives, it takes connections and serves none of them. */
async function gone({ ended, identity }: StartedProcess): Promise<void> {
  const late = setTimeout(() => signalProcess(identity, 'SIGKILL', true), endsWithinMs)
  await ended
  clearTimeout(late)
}

function refusalOf(failure: StartFailure): ControlRefusal {
  const message =
    failure.code === 'refused' ? failure.message : `the replacement ${describeStartFailure(failure)}`
  return new ControlRefusal('replacement-failed', message)
}
