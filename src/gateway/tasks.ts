import { randomUUID } from 'node:crypto'
import { monotonicMs } from '../os/clock.ts'
import type { HeldResult } from './held-result.ts'
import type { Principal } from './principal.ts'
import { elementsOf, membersOf, stringIn, textOf } from './protocol/json-text.ts'
import { type Message, relatedTaskOf, resultOf, stringParam } from './protocol/message.ts'
import { taskIn } from './task-shapes.ts'
import type { Connection } from './upstream/connection.ts'
import type { Upstream } from './upstream/index.ts'

/** Tasks that are known at once; beyond it the oldest is forgotten. */
const mostTasks = 10_000

/** ms for which a task is known whose server sets no limit, and at most. */
const longestMs = 24 * 3_600_000

/** ms that a task is known beyond the time that its server gives it: who asks late hears it from the server. */
const slackMs = 60_000

/** Pages of one list: a server that always names a next one would never end. */
const mostPages = 100

/** ms for which the gateway keeps a result that its client wanted as a task, and characters of all such results. */
const keptMs = 10 * 60_000
const mostKeptCharacters = 32 * 1024 * 1024

/** Whose a new task is. */
interface TaskMaking extends Pick<KnownTask, 'upstream' | 'session'> {
  readonly principal: Principal
}

/** Who has begun a task, and where it runs. */
export interface KnownTask {
  readonly id: string
  readonly upstream: Upstream
  /** The id of the principal. */
  readonly principal: string
  /** The session that began it; it may be gone. */
  readonly session: string
  /** Monotonic ms. */
  readonly until: number
  /** Of a task of the older generation that a client of the newer one has begun: the request that waits for its result. */
  held?: HeldResult | undefined
  /** Of a call that its server has answered at once, although its client wanted a task: task and result as JSON text of the older generation. */
  readonly done?: { readonly task: string; readonly result: string }
}

/**
 * The tasks that clients have begun: what is asked about one goes to the server that has it, and nobody else may ask. Ids stay as the server gave
 * them. They are forgotten with this process, as servers on stdin and stdout forget their tasks, too.
 */
export class Tasks {
  /** From the oldest to the newest, by server and id. */
  readonly #known = new Map<string, KnownTask>()
  /** In the results of tasks that are kept here. */
  #keptCharacters = 0

  /** Notes the task that an answer is the handle of. @returns it; undefined = the answer is none. */
  note(answer: Message, made: TaskMaking): KnownTask | undefined {
    const handle = handleIn(answer)
    if (handle === undefined) return undefined
    return this.#add(handle.id, made, handle.lifeMs ?? longestMs)
  }

  /**
   * Makes a task that is over of an answer that its client wanted as a task.
   * @param result JSON text of an object. @returns the task as JSON text of the older generation.
   */
  keep(result: string, made: TaskMaking): string {
    const taskId = randomUUID()
    const now = new Date().toISOString()
    const task = JSON.stringify({
      taskId,
      status: 'completed',
      createdAt: now,
      lastUpdatedAt: now,
      ttl: keptMs,
    })
    this.#add(taskId, made, keptMs, { task, result })
    this.#keptCharacters += result.length
    for (const { done, id, upstream } of this.#known.values()) {
      if (this.#keptCharacters <= mostKeptCharacters || id === taskId) break
      if (done !== undefined) this.#forget(keyOf(upstream, id))
    }
    return task
  }

  #add(
    id: string,
    { upstream, principal, session }: TaskMaking,
    lifeMs: number,
    done?: KnownTask['done'],
  ): KnownTask {
    if (this.#known.size >= mostTasks) this.#sweep()
    const until = monotonicMs() + Math.min(longestMs, lifeMs) + slackMs
    const task = { id, upstream, principal: principal.id, session, until, ...(done && { done }) }
    this.#forget(keyOf(upstream, id))
    this.#known.set(keyOf(upstream, id), task)
    return task
  }

  #forget(key: string): void {
    const task = this.#known.get(key)
    if (task === undefined) return
    this.#known.delete(key)
    this.#keptCharacters -= task.done?.result.length ?? 0
    task.held?.end()
  }

  /** All that somebody has begun on a server and that may still be there. */
  on(upstream: Upstream, { id: principal }: Principal): readonly KnownTask[] {
    const now = monotonicMs()
    return [...this.#known.values()].filter(
      (task) => task.upstream === upstream && task.principal === principal && task.until > now,
    )
  }

  /** The tasks of this id that somebody has begun: one, unless two servers have given the same id. */
  find(id: string, { id: principal }: Principal, upstreams: readonly Upstream[]): readonly KnownTask[] {
    return upstreams.flatMap((upstream) => {
      const task = this.of(upstream, id)
      return task?.principal === principal ? [task] : []
    })
  }

  of(upstream: Upstream, id: string): KnownTask | undefined {
    const task = this.#known.get(keyOf(upstream, id))
    return task !== undefined && task.until > monotonicMs() ? task : undefined
  }

  #sweep(): void {
    const now = monotonicMs()
    for (const [key, { until }] of this.#known) if (until <= now) this.#forget(key)
    for (const key of this.#known.keys()) {
      if (this.#known.size < mostTasks) return
      this.#forget(key)
    }
  }

  /** Whose task a message of a server is about; undefined = none that is known. */
  relatedTo(upstream: Upstream, message: Message): KnownTask | undefined {
    const isNotice = message.method?.startsWith('notifications/tasks') === true
    const id = isNotice ? stringParam(message, 'taskId') : relatedTaskOf(message)
    return id === undefined ? undefined : this.of(upstream, id)
  }
}

function keyOf({ id }: Upstream, task: string): string {
  return `${id} ${task}`
}

/** The id of a task, and the ms for which its server keeps it; undefined = as long as it likes. */
function handleIn(answer: Message): { id: string; lifeMs: number | undefined } | undefined {
  const task = taskIn(answer)
  if (task === undefined) return undefined
  const { text, members } = task
  const id = stringIn(text, members, 'taskId')
  if (id === undefined) return undefined
  const life = members.get('ttlMs') ?? members.get('ttl')
  const lifeMs = life === undefined ? undefined : Number(textOf(text, life))
  return { id, lifeMs: lifeMs !== undefined && lifeMs > 0 ? lifeMs : undefined }
}

/**
 * The tasks of one server that `isOwn` takes, as it writes them.
 * @throws RpcError, ConnectionLost
 */
export async function tasksOn(
  connection: Connection,
  signal: AbortSignal,
  isOwn: (id: string) => boolean,
): Promise<readonly string[]> {
  const found: string[] = []
  let cursor: string | undefined
  for (let page = 0; page < mostPages; page++) {
    const answer = await connection.ask('tasks/list', cursor === undefined ? {} : { cursor }, signal)
    const { text } = answer
    const members = membersOf(text, resultOf(answer).start)
    const list = members.get('tasks')
    for (const element of list === undefined ? [] : elementsOf(text, list.start)) {
      const id = stringIn(text, membersOf(text, element.start), 'taskId')
      if (id !== undefined && isOwn(id)) found.push(textOf(text, element))
    }
    cursor = stringIn(text, members, 'nextCursor')
    if (cursor === undefined || cursor === '') break
  }
  return found
}
