import type { Log } from '../log/index.ts'
import type { FirstKey } from './access.ts'
import type { Upstream } from './upstream/index.ts'

/** What the gateway tells at its start: its log, and the person who has started it. */
export class Announcements {
  readonly #log: Log
  readonly #say: (line: string) => void

  /** @param say takes a line to the person. */
  constructor(log: Log, say: (line: string) => void) {
    this.#log = log
    this.#say = say
  }

  tell(line: string): void {
    this.#log.info(line)
    this.#say(line)
  }

  /** A connector is ready, or has failed. */
  tellStart({ id, state, offering, problem }: Upstream): void {
    const isReady = state === 'ready'
    const line = isReady
      ? `Connector '${id}' ready (${offering.tools.length} tools)`
      : `Connector '${id}' failed: ${problem ?? 'unknown'}`
    this.#say(line)
    // Why it failed is in the log already.
    if (isReady) this.#log.info({ unit: id, good: true }, line)
  }

  /** Shown once, and to a person alone: it goes into no log. */
  tellFirstKey(first: FirstKey | undefined): void {
    if (first === undefined || !first.isNew) return
    this.#say(
      process.stdout.isTTY
        ? `Key for clients (X-API-Key): ${first.key}`
        : `The key for clients is in ${first.file}`,
    )
  }
}
