/** What tells that nobody waits any more: an AbortSignal, or a `Waiting`. */
export interface WaitSignal {
  readonly aborted: boolean
  readonly reason: Error | undefined
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once: true }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/**
 * Whether somebody waits for an answer: as much of an AbortController and its signal as a call needs. Node's own are made for every use, and
 * to make one takes longer than to find out where a call goes. Listeners hear it once, and must not throw.
 */
export class Waiting implements WaitSignal {
  aborted = false
  reason: Error | undefined
  #listeners: (() => void)[] = []

  get signal(): WaitSignal {
    return this
  }

  abort(reason: Error): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    for (const listener of this.#listeners.splice(0)) listener()
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.push(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const at = this.#listeners.indexOf(listener)
    if (at >= 0) this.#listeners.splice(at, 1)
  }
}

/** The same for what takes no other. */
export function abortSignalOf(signal: WaitSignal): AbortSignal {
  if (signal instanceof AbortSignal) return signal
  const controller = new AbortController()
  if (signal.aborted) controller.abort(signal.reason)
  else signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true })
  return controller.signal
}
