import { type ClientAsks, demandTasks } from './client-asks.ts'
import type { Directory } from './directory.ts'
import type { Principal } from './principal.ts'
import { RpcError, rpcCode } from './protocol/errors.ts'
import { idOf, paramsOf, resultText, stringParam } from './protocol/message.ts'
import { metaKey } from './protocol/revisions.ts'
import type { Arrived, Relay } from './relay.ts'
import { aboutDone, newerState, olderState, TaskBridge } from './task-bridge.ts'
import { type KnownTask, type Tasks, tasksOn } from './tasks.ts'
import type { Upstream } from './upstream/index.ts'
import { abortSignalOf, type WaitSignal } from './waiting.ts'

export interface TaskRequestsOptions {
  readonly directory: Directory
  readonly relay: Relay
  readonly tasks: Tasks
  readonly asks: ClientAsks
  /** As it is now. */
  readonly principal: () => Principal
}

/** What one client asks about tasks. */
export class TaskRequests {
  readonly #options: TaskRequestsOptions
  readonly #bridge: TaskBridge

  constructor(options: TaskRequestsOptions) {
    this.#options = options
    this.#bridge = new TaskBridge(options.asks)
  }

  /** `tasks/get`, `tasks/result`, `tasks/update`, `tasks/cancel`. Nobody but who has begun a task hears that it exists. */
  async about(arrived: Arrived): Promise<string> {
    const { message, method, client } = arrived
    demandTasks(client)
    const { directory, relay, tasks, principal } = this.#options
    const id = stringParam(message, 'taskId') ?? ''
    const [task, ...others] = tasks.find(id, principal(), directory.upstreams)
    if (task === undefined) throw new RpcError(rpcCode.invalidParams, `Task not found: ${id}`)
    if (others.length > 0) {
      const what = `several connectors have a task ${id}: nobody can tell them apart`
      throw new RpcError(rpcCode.invalidParams, what)
    }
    const done = aboutDone(arrived, task)
    if (done !== undefined) return done
    if (task.upstream.facts?.era !== client.era) return this.#bridge.about(arrived, task)
    const about = { parameter: 'taskId', value: id } as const
    return relay.take({ ...arrived, upstream: task.upstream, about, hasNoLimit: method === 'tasks/result' })
  }

  /** The server that has a task of this client; undefined = there is none, or more than one. */
  serverOf(id: string): Upstream | undefined {
    return this.#only(id)?.upstream
  }

  /** A task on a server of the older generation as the newer one tells how it stands, as JSON text; undefined = nobody can tell. */
  async stateOf(id: string, signal: WaitSignal): Promise<string | undefined> {
    const task = this.#only(id)
    return task?.held && newerState(task, task.held.client, signal).catch(() => undefined)
  }

  #only(id: string): KnownTask | undefined {
    const { directory, tasks, principal } = this.#options
    const [task, ...others] = tasks.find(id, principal(), directory.upstreams)
    return others.length > 0 ? undefined : task
  }

  /** `tasks/list`: what this client, or another one of the same principal, has begun on all servers. */
  async list({ message, client, own }: Arrived): Promise<string> {
    if (paramsOf(message).has('cursor'))
      throw new RpcError(rpcCode.invalidParams, 'there is no such page: a list is one page')
    const { directory, tasks, principal } = this.#options
    const { id } = principal()
    // The newer generation has no lists: its tasks are those that are known here.
    const known = (upstream: Upstream) =>
      tasks
        .on(upstream, principal())
        .filter(({ done }) => done !== undefined || upstream.facts?.era === 'modern')
    const single = await Promise.all(
      directory.upstreams.flatMap(known).map((task) =>
        olderState(task, { client, own }).catch((error: unknown) => {
          if (own.signal.aborted) throw error
          return []
        }),
      ),
    )
    const servers = directory.upstreams.filter(({ facts }) => hasList(facts?.capabilities.tasks))
    const missing: { readonly connector: string; readonly reason: string }[] = []
    const lists = await Promise.all(
      servers.map(async (upstream) => {
        const signal = AbortSignal.any([
          abortSignalOf(own.signal),
          AbortSignal.timeout(upstream.connector.timeoutMs),
        ])
        const isOwn = (task: string) => tasks.of(upstream, task)?.principal === id
        try {
          return await tasksOn(await upstream.connection(client), signal, isOwn)
        } catch (error) {
          if (own.signal.aborted) throw error
          const reason = error instanceof Error ? error.message : String(error)
          missing.push({ connector: upstream.id, reason })
          return []
        }
      }),
    )
    const meta = missing.length === 0 ? '' : `,"_meta":${JSON.stringify({ [metaKey.unavailable]: missing })}`
    return resultText(idOf(message), `{"tasks":[${[...single, ...lists].flat().join(',')}]${meta}}`)
  }
}

function hasList(tasks: unknown): boolean {
  return typeof tasks === 'object' && tasks !== null && 'list' in tasks
}
