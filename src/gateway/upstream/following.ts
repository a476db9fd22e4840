import type { ConnectorConfiguration } from '../../config/connector-configuration.ts'
import type { Log } from '../../log/index.ts'
import { errorText } from '../../os/failure.ts'
import type { Connection } from './connection.ts'

/** What a server tells without being asked, as far as clients want it: changes of its lists and of resources, and log messages. */
export class Following {
  readonly #log: Log
  readonly #connector: () => Pick<ConnectorConfiguration, 'id' | 'timeoutMs'>
  /** Resources that clients follow, with how many do. */
  readonly #followed = new Map<string, number>()
  /** Tasks that clients follow, with how many do. */
  readonly #tasks = new Map<string, number>()
  #listening: AbortController | undefined
  #listeningOn: Connection | undefined
  #level: string | undefined

  /** @param connector as it is configured now. */
  constructor(log: Log, connector: () => Pick<ConnectorConfiguration, 'id' | 'timeoutMs'>) {
    this.#log = log
    this.#connector = connector
  }

  /** Whether its stream of changes, which is no call, is under way on this connection. */
  isListeningOn(connection: Connection): boolean {
    return connection === this.#listeningOn
  }

  /** The server is another one from now on. */
  forget(): void {
    this.#listeningOn = undefined
  }

  /** A connection is there: has the server tell of its lists and of the resources that clients follow. */
  began(connection: Connection): void {
    if (connection.facts.era === 'modern') return this.#listen(connection)
    this.#tellLevel(connection)
    for (const uri of this.#followed.keys()) this.#tellFollowed(connection, 'resources/subscribe', uri)
  }

  /** One stream for everything; another one with more URIs takes its place. */
  #listen(connection: Connection): void {
    const uris = [...this.#followed.keys()]
    const notifications = {
      toolsListChanged: true,
      promptsListChanged: true,
      resourcesListChanged: true,
      ...(uris.length === 0 ? {} : { resourceSubscriptions: uris }),
      ...(this.#tasks.size === 0 ? {} : { taskIds: [...this.#tasks.keys()] }),
    }
    const before = this.#listening
    const listening = new AbortController()
    this.#listening = listening
    this.#listeningOn = connection
    connection
      .ask('subscriptions/listen', { notifications }, listening.signal)
      .then(
        () => {},
        // It has no such streams, or the connection has gone.
        () => {},
      )
      .finally(() => {
        if (this.#listeningOn === connection && this.#listening === listening) this.#listeningOn = undefined
      })
    before?.abort()
  }

  #tellFollowed(connection: Connection, method: string, uri: string): void {
    connection.ask(method, { uri }, this.#inTime()).catch((error: unknown) => {
      const { id } = this.#connector()
      this.#log.warn({ unit: id }, `Connector '${id}' refused ${method}: ${errorText(error)}`)
    })
  }

  /** The level of log messages that it is to send from now on, where it has such. @param connection undefined = it does not run. */
  setLevel(level: string, connection: Connection | undefined): void {
    this.#level = level
    if (connection !== undefined) this.#tellLevel(connection)
  }

  #tellLevel(connection: Connection): void {
    const { era, capabilities } = connection.facts
    if (this.#level === undefined || era === 'modern' || capabilities.logging === undefined) return
    connection.ask('logging/setLevel', { level: this.#level }, this.#inTime()).catch(() => {})
  }

  /**
   * A client wants to hear when a resource changes.
   * @param open makes a connection where there is none, `running` makes none.
   * @returns what ends that. @throws what `open` throws, RpcError when the server refuses.
   */
  async follow(
    uri: string,
    open: () => Promise<Connection>,
    running: () => Connection | undefined,
  ): Promise<() => void> {
    const count = this.#followed.get(uri) ?? 0
    this.#followed.set(uri, count + 1)
    const connection = await open()
    if (count === 0) {
      if (connection.facts.era === 'modern') this.#listen(connection)
      else await connection.ask('resources/subscribe', { uri }, this.#inTime())
    }
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const left = (this.#followed.get(uri) ?? 1) - 1
      if (left > 0) return void this.#followed.set(uri, left)
      this.#followed.delete(uri)
      const now = running()
      if (now === undefined) return
      if (now.facts.era === 'modern') this.#listen(now)
      else this.#tellFollowed(now, 'resources/unsubscribe', uri)
    }
  }

  /** A client wants to hear how a task stands, in the newer generation. @returns what ends that. */
  followTask(id: string, running: () => Connection | undefined): () => void {
    const change = (by: number) => {
      const count = (this.#tasks.get(id) ?? 0) + by
      if (count > 0) this.#tasks.set(id, count)
      else this.#tasks.delete(id)
      const connection = running()
      if (connection?.facts.era === 'modern' && count === Math.max(0, by)) this.#listen(connection)
    }
    change(1)
    return () => change(-1)
  }

  #inTime(): AbortSignal {
    return AbortSignal.timeout(this.#connector().timeoutMs)
  }
}
