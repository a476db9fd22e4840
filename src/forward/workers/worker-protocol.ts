import type { ForwarderHealth, Instance } from '../../record/shapes/forwarder-health.ts'
import type { ForwarderEvent } from '../forwarder-events.ts'
import type { Claim, Refusal } from '../limits/shared-limits.ts'

/** Where a process finds that it is to be a worker: `WorkerOrder` as JSON. Its words are those of the process that started it. */
export const workerVariable = 'PORT_WATCHDOG_WORKER'

/** What a worker is told at its start; everything else comes as messages. */
export interface WorkerOrder {
  readonly number: number
  /** Where the listening sockets are that it was started with. */
  readonly sockets: readonly { readonly descriptor: number; readonly name: string }[]
  /** Which processes of the program that the forward leads to are ready; missing = nobody has said. */
  readonly instances?: readonly Instance[] | undefined
}

/** Reads whether this process is to be a worker, and takes that out of the environment, so that no child takes it for its own. */
export function takeWorkerOrder(environment: NodeJS.ProcessEnv): WorkerOrder | undefined {
  const { [workerVariable]: order } = environment
  delete environment[workerVariable]
  return order === undefined ? undefined : (JSON.parse(order) as WorkerOrder)
}

/** Questions, each answered with a result. */
export type WorkerQuestion = 'health' | 'connections' | 'kill' | 'expect-probe'

/**
 * - `close`: accept no more. The forward is ending.
 * - `drain`: the same, and end when the connections have, or after the drain time.
 * - `finish`: the same, however long the connections take. Another process has taken over.
 * - `stop`: reset every connection now.
 * - `reload`: read certificates again.
 */
export type WorkerCommand = 'close' | 'drain' | 'finish' | 'stop' | 'reload'

/** One verdict on each claim asked for, in the order of the claims; null = granted. */
export type Verdicts = readonly (Refusal | null)[]

export type ToWorker =
  | {
      readonly kind: 'question'
      readonly id: number
      readonly question: WorkerQuestion
      readonly words: Readonly<Record<string, unknown>>
    }
  | { readonly kind: 'command'; readonly command: WorkerCommand }
  /** The same, from now on. */
  | { readonly kind: 'instances'; readonly ready: readonly Instance[] }
  | { readonly kind: 'verdicts'; readonly verdicts: Verdicts }

export type FromWorker =
  /** It accepts connections. */
  | { readonly kind: 'ready' }
  /** It could not start. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'answer'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'event'; readonly event: ForwarderEvent }
  | { readonly kind: 'claims'; readonly claims: readonly Claim[]; readonly released: readonly Claim[] }
  /** It was told by a signal to end, and accepts no more. */
  | { readonly kind: 'leaving' }
  /** Its last figures: it ends now. */
  | { readonly kind: 'final'; readonly health: ForwarderHealth }

/** Ids of connections are apart by so many from one worker to the next. */
const idsOfOne = 1_000_000_000

/** The id after which those of a worker's connections count. */
export function idsAfter(workerNumber: number): number {
  return workerNumber * idsOfOne
}

/** The number of the worker whose connection has this id. */
export function workerOf(id: number): number {
  return Math.floor((id - 1) / idsOfOne)
}
