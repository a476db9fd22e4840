import type { z as Zod } from 'zod'
import type { KeyScope } from '../record/api-keys.ts'
import type { Actor } from '../record/shapes/journal.ts'
import type { OrderedMonitor } from './monitor.ts'
import { fieldsOf, type NextOrder, type NextStep } from './next-step.ts'

/** What a principal must be allowed so that it may give an order. `owner`: only the owner of the monitor, never a key. */
export type Scope = KeyScope | 'owner'

/** One row of the table of orders. */
export interface Order<Input = unknown, Output = unknown> {
  /** In kebab-case: the command of `proxy-ctl`, the last part of the path in HTTP, the name of the MCP tool. */
  readonly name: string
  /** What it does, for people and agents who choose: one sentence. */
  readonly summary: string
  readonly scope: Scope
  /** False = it only reads, and is not journalled. */
  readonly changes: boolean
  /**
   * It reaches units through `Around.monitor` alone, which shows only those that the principal may see; so a key that is bound to some
   * units may give it. Missing = it is about the monitor as a whole.
   */
  readonly perUnit?: true
  /** It changes something, and tells things while it goes on. One that only reads may tell anyway. */
  readonly tells?: true
  /** Given for every key: it goes into the audit, and neither into the journal nor into the log. */
  readonly isFrequent?: true
  /** Keys of its input that the audit does not keep: a person may type a password. */
  readonly hides?: readonly string[]
  /** What it answers is a secret on purpose, and is not masked. */
  readonly showsSecret?: true
  readonly input: Zod.ZodType<Input>
  readonly output: Zod.ZodType<Output>
  /** @throws OrderRefusal when nothing was done. What failed for some units only stands in the output. */
  readonly carryOut: (input: Input, around: Around) => Promise<Output> | Output
  /** What failed of what it was to do; missing = it does all or is refused. */
  readonly failures?: (output: Output) => readonly OrderError[]
}

/** What an order is carried out with. */
export interface Around {
  /** As its principal sees it. */
  readonly monitor: OrderedMonitor
  readonly actor: Actor
  /** Aborted when the caller has disconnected: nobody waits for the effect any more. */
  readonly gone: AbortSignal
  /** Passes on what an order has to tell while it goes on; undefined = the adapter takes only the whole answer. */
  readonly emit?: ((event: unknown) => void) | undefined
}

/** Makes a row: its handler gets what its schema lets through. */
export function row<Input extends Zod.ZodType, Output extends Zod.ZodType>(
  order: Omit<Order<Zod.infer<Input>, Zod.infer<Output>>, 'input' | 'output'> & {
    readonly input: Input
    readonly output: Output
  },
): Order {
  return order as Order
}

/** Why an order, or a part of it, was not carried out. */
export interface OrderError {
  /** Stable, in kebab-case: programs may rely on it. */
  readonly code: OrderErrorCode
  /** What is wrong: a sentence without a full stop. */
  readonly message: string
  /** What to do about it, as a person types it; null = nothing is known. */
  readonly next: string | null
  /** The same where it is an order of the table. */
  readonly nextOrder?: NextOrder | undefined
}

/** Makes an error. */
export function orderError(code: OrderErrorCode, message: string, next: NextStep = null): OrderError {
  return { code, message, ...fieldsOf(next) }
}

export const orderErrorCodes = [
  'unknown-order',
  'invalid-input',
  /** The principal may not give this order. */
  'not-permitted',
  /** The monitor is only starting. */
  'not-ready',
  /** The monitor is ending. */
  'ending',
  'unknown-unit',
  /** It is no longer configured. */
  'unit-removed',
  /** systemd runs it. */
  'supervised',
  /** An order wants it down. */
  'stopped',
  'not-running',
  /** What it depends on does not run, and nobody has ordered it to. */
  'dependency-stopped',
  /** Something that is not ours stands in the way of a start. */
  'blocked',
  /** It died too often; the next try is later. */
  'flapping',
  /** Its process is gone and has left others behind: nothing is started beside them. */
  'detached',
  /** It has left nothing behind that could be adopted or ended. */
  'not-detached',
  'replacement-failed',
  /** It ended, or could not be started, while somebody waited for it. */
  'failed',
  /** A process does not end, not even by SIGKILL. */
  'does-not-end',
  /** Another order came after this one and wants something else. */
  'overruled',
  'timed-out',
  /** It is no program, or there is none. */
  'no-output',
  /** Its configuration does not say `instances`. */
  'no-instances',
  /** It is no program. */
  'not-a-program',
  /** Its configuration does not let anybody send to it. */
  'input-off',
  /** The rules of its configuration refuse this text. */
  'input-denied',
  /** It does not read: too much waits for it already. */
  'queue-full',
  /** Its configuration gives it none. */
  'no-terminal',
  /** Its configuration names no such action. */
  'unknown-action',
  'invalid-argument',
  /** One action runs and another one waits. */
  'busy',
  'no-configuration-file',
  'invalid-configuration',
  /** The configuration does not let orders change this. */
  'change-denied',
  'nothing-to-undo',
  /** The history has no such configuration. */
  'unknown-configuration',
  /** The monitor cannot write its configuration file. */
  'file-not-writable',
  'no-alert-channel',
  'unknown-channel',
  'delivery-failed',
  'key-exists',
  'unknown-key',
  /** The records cannot be written or read. */
  'records-unusable',
  /** A fault of this program. */
  'internal',
] as const

export type OrderErrorCode = (typeof orderErrorCodes)[number]

/** Thrown by a handler: nothing was done. */
export class OrderRefusal extends Error {
  readonly error: OrderError

  constructor(code: OrderErrorCode, message: string, next: NextStep = null) {
    super(message)
    this.error = orderError(code, message, next)
  }
}

/** What an order answers. `done` is false when it was refused, or has failed for at least one unit. */
export type OrderAnswer =
  | { readonly done: boolean; readonly output: unknown }
  | { readonly done: false; readonly error: OrderError }

/** The answer to an order that was refused whole. */
export function refused(code: OrderErrorCode, message: string, next: NextStep = null): OrderAnswer {
  return { done: false, error: orderError(code, message, next) }
}

/** ms that an order about units waits for its effect when nobody says how long. Ending one may take its drain time besides. */
export const defaultWaitMs = 30_000

/** An actor, for logs: `alice (UID 1000, cli)`. */
export function actorInWords({ user, uid, via }: Actor): string {
  return `${user} (${uid === null ? '' : `UID ${uid}, `}${via})`
}
