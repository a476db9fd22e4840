/** Resources that one client may listen to: more than a client shows, and no way to fill the memory. */
const mostUris = 200

/** The resources that a client wants to hear of. On the older protocol it subscribes to them; on the new one it opens a stream for them. */
export class ListenedUris {
  readonly #uris = new Set<string>()
  /** A stream was opened, for whatever. */
  onOpen: () => void = () => {}
  onAdd: (uri: string) => void = () => {}
  onDelete: (uri: string) => void = () => {}

  /** @returns false = there are too many already. */
  add(uri: string): boolean {
    if (this.#uris.size >= mostUris && !this.#uris.has(uri)) return false
    this.#uris.add(uri)
    this.onAdd(uri)
    return true
  }

  delete(uri: string): void {
    this.#uris.delete(uri)
    this.onDelete(uri)
  }

  has(uri: string): boolean {
    return this.#uris.has(uri)
  }
}

/**
 * The URIs of a request that opens a stream of the new protocol; of any other message none. Streams that only want to hear of lists name
 * none, and still are streams.
 * @returns undefined when the message is no such request.
 */
export function listenedIn(message: unknown): readonly string[] | undefined {
  const { method, params } = (message ?? {}) as { readonly method?: unknown; readonly params?: unknown }
  if (method !== 'subscriptions/listen') return undefined
  const { notifications } = (params ?? {}) as {
    readonly notifications?: { readonly resourceSubscriptions?: unknown }
  }
  const uris = notifications?.resourceSubscriptions
  return Array.isArray(uris) ? uris.filter((uri) => typeof uri === 'string') : []
}
