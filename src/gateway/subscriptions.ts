import { demandTasks } from './client-asks.ts'
import type { Directory } from './directory.ts'
import { rebuilt, textOf, withMembers } from './protocol/json-text.ts'
import { idOf, type Message, messageText, paramsOf, resultText, stringParam } from './protocol/message.ts'
import { metaKey } from './protocol/revisions.ts'
import type { CallingClient } from './upstream/call.ts'
import type { Upstream } from './upstream/index.ts'
import type { WaitSignal } from './waiting.ts'

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

/** The server that has a task of this client; undefined = there is no such task. */
type FindTask = (id: string) => Upstream | undefined

/** What one client wants to hear of: single resources in the older generation, streams of changes in the newer one. */
export class Subscriptions {
  readonly #directory: Directory
  readonly #known: () => Promise<void>
  readonly #taskAt: FindTask
  readonly #followed = new Map<string, () => void>()
  readonly #listeners = new Set<Listener>()

  /** @param known waits for servers that are starting: whose a resource is, their lists tell. */
  constructor(directory: Directory, known: () => Promise<void>, taskAt: FindTask) {
    this.#directory = directory
    this.#known = known
    this.#taskAt = taskAt
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

  /** A task stands otherwise. */
  taskChanged(message: Message): void {
    const id = stringParam(message, 'taskId') ?? ''
    this.#tell(message, ({ taskIds }) => taskIds?.includes(id) === true)
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
  }
}
