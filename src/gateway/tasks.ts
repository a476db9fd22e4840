import { monotonicMs } from '../os/clock.ts'
import type { Principal } from './principal.ts'
import {
  elementsOf,
  isObjectAt,
  isStringAt,
  membersOf,
  stringIn,
  stringOf,
  textOf,
} from './protocol/json-text.ts'
import { type Message, relatedTaskOf, resultOf, stringParam } from './protocol/message.ts'
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
}

/**
 * The tasks that clients have begun: what is asked about one goes to the server that has it, and nobody else may ask. Ids stay as the server gave
 * them. They are forgotten with this process, as servers on stdin and stdout forget their tasks, too.
 */
export class Tasks {
  /** From the oldest to the newest, by server and id. */
  readonly #known = new Map<string, KnownTask>()

  /** Notes the task that an answer is the handle of, where it is one. */
  note(
    answer: Message,
    made: Pick<KnownTask, 'upstream' | 'session'> & { readonly principal: Principal },
  ): void {
    const handle = handleIn(answer)
    if (handle === undefined) return
    const { upstream, principal, session } = made
    const until = monotonicMs() + Math.min(longestMs, handle.lifeMs ?? longestMs) + slackMs
    if (this.#known.size >= mostTasks) this.#sweep()
    this.#known.set(keyOf(upstream, handle.id), {
      id: handle.id,
      upstream,
      principal: principal.id,
      session,
      until,
    })
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
    for (const [key, { until }] of this.#known) if (until <= now) this.#known.delete(key)
    for (const key of this.#known.keys()) {
      if (this.#known.size < mostTasks) return
      this.#known.delete(key)
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

/** The task that an answer is the handle of: under `task` in the older generation, the result itself in the newer one. */
function handleIn({ text, result }: Message): { id: string; lifeMs: number | undefined } | undefined {
  if (result === undefined || !isObjectAt(text, result)) return undefined
  const members = membersOf(text, result.start)
  const older = members.get('task')
  const isNewer = stringIn(text, members, 'resultType') === 'task'
  const task = isNewer
    ? members
    : older !== undefined && isObjectAt(text, older)
      ? membersOf(text, older.start)
      : undefined
  const id = task?.get('taskId')
  if (task === undefined || id === undefined || !isStringAt(text, id)) return undefined
  const life = task.get('ttlMs') ?? task.get('ttl')
  const lifeMs = life === undefined ? undefined : Number(textOf(text, life))
  return { id: stringOf(text, id), lifeMs: lifeMs !== undefined && lifeMs > 0 ? lifeMs : undefined }
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
