import { isDeepStrictEqual } from 'node:util'
import type { HttpOptions } from '../config/http-options.ts'
import type { Log } from '../log/index.ts'
import type { OrderedMonitor } from '../orders/monitor.ts'
import { errorText } from '../os/failure.ts'
import type { ApiServer } from '../server/index.ts'

export interface HttpFaceParts {
  readonly stateDirectory: string
  readonly monitor: () => OrderedMonitor
  readonly log: Log
}

/** ms between two tries to start what could not be started. */
const retryMs = 2000

/** The monitor's HTTP API, which may come, change and go with the configuration. Its libraries are loaded when it is first asked for. */
export class HttpFace {
  readonly #parts: HttpFaceParts
  #options: HttpOptions | undefined
  #server: ApiServer | undefined
  /** Why it could not be started the last time. */
  #problem: string | undefined
  #retry: NodeJS.Timeout | undefined
  /** One change after another. */
  #changed: Promise<void> = Promise.resolve()

  constructor(parts: HttpFaceParts) {
    this.#parts = parts
  }

  /** Serves by these options from now on; undefined = not at all. Never rejects: what goes wrong is logged, and the watch goes on. */
  serve(options: HttpOptions | undefined): Promise<void> {
    this.#changed = this.#changed.then(() => this.#serve(options))
    return this.#changed
  }

  async #serve(options: HttpOptions | undefined): Promise<void> {
    if (isDeepStrictEqual(options, this.#options)) return
    clearTimeout(this.#retry)
    this.#server?.close()
    this.#server = undefined
    this.#options = options
    this.#problem = undefined
    if (options !== undefined) await this.#start(options)
  }

  /** A certificate that cannot be used now may be written in a moment. */
  async #start(options: HttpOptions): Promise<void> {
    try {
      const { serveApi } = await import('../server/index.ts')
      // Its library is loaded when an agent first asks.
      const mcp = async () => (await import('../server/mcp/http.ts')).mcpHandler(this.#parts.monitor)
      this.#server = await serveApi(options, { ...this.#parts, mcp })
    } catch (error) {
      const problem = errorText(error)
      if (problem !== this.#problem)
        this.#parts.log.error(`The API is not served: ${problem}; it is tried again`)
      this.#problem = problem
      this.#retry = setTimeout(() => {
        this.#changed = this.#changed.then(() =>
          this.#options === options ? this.#start(options) : undefined,
        )
      }, retryMs)
      this.#retry.unref()
    }
  }
}
