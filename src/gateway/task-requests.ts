import { demandTasks } from './client-asks.ts'
import type { Directory } from './directory.ts'
import type { Principal } from './principal.ts'
import { RpcError, rpcCode } from './protocol/errors.ts'
import { idOf, paramsOf, resultText, stringParam } from './protocol/message.ts'
import { metaKey } from './protocol/revisions.ts'
import type { Arrived, Relay } from './relay.ts'
import { type Tasks, tasksOn } from './tasks.ts'
import type { Upstream } from './upstream/index.ts'
import { abortSignalOf } from './waiting.ts'

export interface TaskRequestsOptions {
  readonly directory: Directory
  readonly relay: Relay
  readonly tasks: Tasks
  /** As it is now. */
  readonly principal: () => Principal
}

/** What one client asks about tasks. */
export class TaskRequests {
  readonly #options: TaskRequestsOptions

  constructor(options: TaskRequestsOptions) {
    this.#options = options
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
    const about = { parameter: 'taskId', value: id } as const
    return relay.take({ ...arrived, upstream: task.upstream, about, hasNoLimit: method === 'tasks/result' })
  }

  /** The server that has a task of this client; undefined = there is none, or more than one. */
  serverOf(id: string): Upstream | undefined {
    const { directory, tasks, principal } = this.#options
    const [task, ...others] = tasks.find(id, principal(), directory.upstreams)
    return others.length > 0 ? undefined : task?.upstream
  }

  /** `tasks/list`: what this client, or another one of the same principal, has begun on all servers. */
  async list({ message, client, own }: Arrived): Promise<string> {
    if (paramsOf(message).has('cursor'))
      throw new RpcError(rpcCode.invalidParams, 'there is no such page: a list is one page')
    const { directory, tasks, principal } = this.#options
    const { id } = principal()
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
    return resultText(idOf(message), `{"tasks":[${lists.flat().join(',')}]${meta}}`)
  }
}

function hasList(tasks: unknown): boolean {
  return typeof tasks === 'object' && tasks !== null && 'list' in tasks
}
