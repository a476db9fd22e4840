import { demandTasks } from './client-asks.ts'
import type { Directory } from './directory.ts'
import { rebuilt, textOf, withMembers } from './protocol/json-text.ts'
import {
  idOf,
  type Message,
  messageText,
  paramsOf,
  readMessage,
  resultText,
  stringParam,
} from './protocol/message.ts'
import { metaKey } from './protocol/revisions.ts'
import { isTerminal, olderTask, statusIn } from './task-shapes.ts'
import type { KnownTask } from './tasks.ts'
import type { CallingClient } from './upstream/call.ts'
import type { Upstream } from './upstream/index.ts'
import { Waiting, type WaitSignal } from './waiting.ts'

interface ListenFilter {
  readonly toolsListChanged?: boolean
  readonly promptsListChanged?: boolean
  readonly resourcesListChanged?: boolean
  readonly resourceSubscriptions?: readonly string[]
  readonly taskIds?: readonly string[]
}

/** A stream of changes that is open, in the newer generation. */
interface Listener {
  readonly agreed: ListenFilter
  /** The member of `params` that says which stream a message is of. */
  readonly tag: string
  readonly send: (text: string) => void
  readonly end: () => void
}

const listFlag: Readonly<Record<string, keyof ListenFilter>> = {
  'notifications/tools/list_changed': 'toolsListChanged',
  'notifications/prompts/list_changed': 'promptsListChanged',
  'notifications/resources/list_changed': 'resourcesListChanged',
}

/** By which a server tells how a task stands, in either generation. */
const olderStatusMethod = 'notifications/tasks/status'
const newerStatusMethod = 'notifications/tasks'

/** The server that has a task of this client; undefined = there is no such task. */
type FindTask = (id: string) => Upstream | undefined

/** How a task on a server of the older generation stands, as JSON text of the newer one; undefined = nobody can tell. */
type StateOf = (id: string, signal: WaitSignal) => Promise<string | undefined>

/** What one client wants to hear of: single resources in the older generation, streams of changes in the newer one. */
export class Subscriptions {
  readonly #directory: Directory
  readonly #known: () => Promise<void>
  readonly #taskAt: FindTask
  readonly #taskState: StateOf
  readonly #followed = new Map<string, () => void>()
  /** Tasks on servers of the newer generation of which a client of the older one is told. */
  readonly #tasks = new Map<string, () => void>()
  readonly #over = new Waiting()
  readonly #listeners = new Set<Listener>()

  /** @param known waits for servers that are starting: whose a resource is, their lists tell. */
  constructor(directory: Directory, known: () => Promise<void>, taskAt: FindTask, taskState: StateOf) {
    this.#directory = directory
    this.#known = known
    this.#taskAt = taskAt
    this.#taskState = taskState
  }

  /** `resources/subscribe`. @returns false when no server has such a resource. */
  async follow(uri: string): Promise<boolean> {
    if (this.#followed.has(uri)) return true
    await this.#known()
    const upstream = this.#directory.ownerOf(uri)
    if (upstream === undefined) return false
    // Before the server is asked: it may tell of the first change at once.
    this.#followed.set(uri, () => {})
    try {
      this.#followed.set(uri, await upstream.follow(uri))
      return true
    } catch (error) {
      this.#followed.delete(uri)
      throw error
    }
  }

  /** URIs that the client follows, in the older generation. */
  get followed(): readonly string[] {
    return [...this.#followed.keys()]
  }

  /** `resources/unsubscribe`. */
  leave(uri: string): void {
    this.#followed.get(uri)?.()
    this.#followed.delete(uri)
  }

  /** `subscriptions/listen`: a stream of changes; its answer is its end. */
  async listen(
    message: Message,
    client: CallingClient,
    send: (text: string) => void,
    signal: WaitSignal,
  ): Promise<string> {
    const { text } = message
    const id = idOf(message)
    const member = paramsOf(message).get('notifications')
    const filter = member === undefined ? {} : (JSON.parse(textOf(text, member)) as ListenFilter)
    const uris = Array.isArray(filter.resourceSubscriptions) ? filter.resourceSubscriptions.map(String) : []
    const tasks = Array.isArray(filter.taskIds) ? filter.taskIds.map(String) : []
    if (tasks.length > 0) demandTasks(client)
    if (uris.length > 0) await this.#known()
    const ends: (() => void)[] = []
    const granted: string[] = []
    for (const uri of uris) {
      const upstream = this.#directory.ownerOf(uri)
      const end = await upstream?.follow(uri).catch(() => undefined)
      if (end === undefined) continue
      ends.push(end)
      granted.push(uri)
    }
    const followed = tasks.filter((task) => {
      const upstream = this.#taskAt(task)
      if (upstream !== undefined) ends.push(upstream.followTask(task))
      return upstream !== undefined
    })
    const agreed = {
      ...(filter.toolsListChanged === true ? { toolsListChanged: true } : {}),
      ...(filter.promptsListChanged === true ? { promptsListChanged: true } : {}),
      ...(filter.resourcesListChanged === true ? { resourcesListChanged: true } : {}),
      ...(granted.length === 0 ? {} : { resourceSubscriptions: granted }),
      ...(followed.length === 0 ? {} : { taskIds: followed }),
    }
    const tag = `"_meta":{${JSON.stringify(metaKey.subscriptionId)}:${id}}`
    let end: () => void = () => {}
    const over = new Promise<void>((resolve) => {
      end = resolve
    })
    const listener: Listener = { agreed, tag, send, end }
    send(
      messageText(
        undefined,
        'notifications/subscriptions/acknowledged',
        withMembers(`{"notifications":${JSON.stringify(agreed)}}`, tag),
      ),
    )
    this.#listeners.add(listener)
    try {
      if (signal.aborted) end()
      signal.addEventListener('abort', end, { once: true })
      await over
    } finally {
      this.#listeners.delete(listener)
      for (const end of ends) end()
    }
    return resultText(id, `{"resultType":"complete",${tag}}`)
  }

  /** A list has changed: streams that want to hear it do. */
  listChanged(method: string): void {
    for (const { agreed, tag, send } of this.#listeners) {
      const flag = listFlag[method]
      if (flag !== undefined && agreed[flag] === true) send(messageText(undefined, method, `{${tag}}`))
    }
  }

  /** A resource has changed. @param unsolicited takes it to a client of the older generation. */
  updated(message: Message, unsolicited: (text: string) => void): void {
    const { text } = message
    const uri = stringParam(message, 'uri')
    if (uri === undefined) return
    if (this.#followed.has(uri)) unsolicited(text)
    this.#tell(message, ({ resourceSubscriptions }) => resourceSubscriptions?.includes(uri) === true)
  }

  /** The client, of the older generation, is told how a task stands on a server of the newer one, until it is over. */
  followTask({ id, upstream }: KnownTask): void {
    if (!this.#tasks.has(id)) this.#tasks.set(id, upstream.followTask(id))
  }

  /** A task stands otherwise. @param unsolicited takes it to a client of the older generation; undefined = it is of the newer one. */
  taskChanged(message: Message, unsolicited: ((text: string) => unknown) | undefined): void {
    const { text, method } = message
    const id = stringParam(message, 'taskId') ?? ''
    const isWanted = ({ taskIds }: ListenFilter) => taskIds?.includes(id) === true
    const isNewer = method === newerStatusMethod
    if (unsolicited !== undefined) {
      const task = { text, members: paramsOf(message) }
      unsolicited(isNewer ? messageText(undefined, olderStatusMethod, olderTask(task)) : text)
      if (!isNewer || !isTerminal(statusIn(task))) return
      this.#tasks.get(id)?.()
      this.#tasks.delete(id)
      return
    }
    if (isNewer) return this.#tell(message, isWanted)
    if (![...this.#listeners].some(({ agreed }) => isWanted(agreed))) return
    void this.#taskState(id, this.#over).then((state) => {
      if (state !== undefined)
        this.#tell(readMessage(messageText(undefined, newerStatusMethod, state)), isWanted)
    })
  }

  /** Passes a notification on to the streams that want to hear it. */
  #tell(message: Message, isWanted: (agreed: ListenFilter) => boolean): void {
    const { text, method = '' } = message
    for (const { agreed, tag, send } of this.#listeners) {
      if (!isWanted(agreed)) continue
      const params = withMembers(rebuilt(text, paramsOf(message), { drop: ['_meta'] }), tag)
      send(messageText(undefined, method, params))
    }
  }

  /** Ends the streams of changes: their clients begin others elsewhere. */
  endStreams(): void {
    for (const { end } of this.#listeners) end()
  }

  close(): void {
    for (const end of this.#followed.values()) end()
    this.#followed.clear()
    for (const end of this.#tasks.values()) end()
    this.#tasks.clear()
    this.#over.abort(new Error('the client has gone'))
  }
}
