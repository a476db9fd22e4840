/**
 * actions/: named commands of a program, such as its tests, that people and agents may run: what a file names, and nothing else.
 *
 *   order `run-action` -> `wordsOf` (arguments.ts: typed values into words, never a shell) -> `ActionRunner` (one at a time) -> a session of
 *   its own -> exit code and the end of what it printed
 *
 * A new type of argument is a case of `problemWith`, and a value of the schema in config/action-schema.ts.
 */
import type { Readable } from 'node:stream'
import type { ActionConfiguration } from '../../config/program-configuration.ts'
import { killProcesses } from '../../process/ending.ts'
import { describeStartFailure, type ProcessEnd, startProcess } from '../../process/start.ts'

export { wordsOf } from './arguments.ts'

/** Bytes of output that an answer has: the last ones. */
const mostOutputBytes = 64 * 1024

/** What came of an action. */
export interface ActionResult {
  /** Null = a signal ended it. */
  readonly exitCode: number | null
  readonly signal: string | null
  readonly timedOut: boolean
  readonly tookMs: number
  /** What it printed last, stdout and stderr as they came. */
  readonly output: string
  /** Bytes before that. */
  readonly droppedBytes: number
}

export type ActionOutcome =
  | { readonly ok: true; readonly result: ActionResult }
  /** `busy`: one runs and another one waits already. `not-run`: the system could not start it. */
  | { readonly ok: false; readonly code: 'busy' | 'ended'; readonly message?: undefined }
  | { readonly ok: false; readonly code: 'not-run'; readonly message: string }

/** The actions of one program: one runs, one may wait. */
export class ActionRunner {
  #running: Promise<unknown> | undefined
  #isOneWaiting = false
  #isEnded = false
  #kill: () => void = () => {}

  /**
   * Runs a command to its end, after the one that runs already.
   * @param gone aborted when nobody waits for the answer any more: it is ended.
   */
  async run(
    action: ActionConfiguration,
    words: readonly string[],
    around: {
      readonly cwd: string
      /** All variables that it gets: those of its program. */
      readonly environment: NodeJS.ProcessEnv
      readonly gone: AbortSignal
    },
  ): Promise<ActionOutcome> {
    if (this.#isOneWaiting) return { ok: false, code: 'busy' }
    if (this.#running !== undefined) {
      this.#isOneWaiting = true
      await this.#running
      this.#isOneWaiting = false
    }
    if (this.#isEnded || around.gone.aborted) return { ok: false, code: 'ended' }
    const run = this.#run(action, words, around)
    this.#running = run
    try {
      return await run
    } finally {
      this.#running = undefined
    }
  }

  /** Ends what runs, with all that it has started. */
  end(): void {
    this.#isEnded = true
    this.#kill()
  }

  async #run(
    { timeoutMs }: ActionConfiguration,
    [program = '', ...words]: readonly string[],
    {
      cwd,
      environment,
      gone,
    }: { readonly cwd: string; readonly environment: NodeJS.ProcessEnv; readonly gone: AbortSignal },
  ): Promise<ActionOutcome> {
    const began = performance.now()
    const started = startProcess({
      program,
      words,
      cwd,
      environment,
      output: 'pipe',
      ready: () => Promise.resolve({ ready: true }),
    })
    const outcome = await started.outcome
    const running = started.process
    if (running === undefined || !outcome.ok) {
      if (running === undefined)
        return {
          ok: false,
          code: 'not-run',
          message: outcome.ok ? 'no process' : describeStartFailure(outcome.failure),
        }
    }
    const output = new LastBytes(mostOutputBytes)
    const read = Promise.all([output.read(running.stdout), output.read(running.stderr)])
    let timedOut = false
    const kill = () => void killProcesses(running.identity, () => false)
    this.#kill = kill
    gone.addEventListener('abort', kill, { once: true })
    const limit = setTimeout(() => {
      timedOut = true
      kill()
    }, timeoutMs)
    const end = await running.ended
    clearTimeout(limit)
    gone.removeEventListener('abort', kill)
    this.#kill = () => {}
    // What it has left behind may hold the pipes open for ever.
    kill()
    await Promise.race([read, new Promise((resolve) => setTimeout(resolve, 1000))])
    return {
      ok: true,
      result: { ...endOf(end), timedOut, tookMs: Math.round(performance.now() - began), ...output.taken() },
    }
  }
}

function endOf(end: ProcessEnd): Pick<ActionResult, 'exitCode' | 'signal'> {
  return end.kind === 'exited' ? { exitCode: end.code, signal: null } : { exitCode: null, signal: end.signal }
}

/** The last bytes of several streams. */
class LastBytes {
  readonly #most: number
  #chunks: Buffer[] = []
  #bytes = 0
  #dropped = 0

  constructor(most: number) {
    this.#most = most
  }

  read(from: Readable | null): Promise<void> {
    if (from === null) return Promise.resolve()
    return new Promise((resolve) => {
      from.on('data', (chunk: Buffer) => this.#add(chunk))
      from.once('close', resolve)
      from.once('error', () => resolve())
    })
  }

  taken(): Pick<ActionResult, 'output' | 'droppedBytes'> {
    const whole = Buffer.concat(this.#chunks)
    const kept = whole.subarray(Math.max(0, whole.length - this.#most))
    return { output: kept.toString('utf8'), droppedBytes: this.#dropped + whole.length - kept.length }
  }

  #add(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    for (
      let [first] = this.#chunks;
      first !== undefined && this.#bytes - first.length >= this.#most;
      [first] = this.#chunks
    ) {
      this.#chunks.shift()
      this.#bytes -= first.length
      this.#dropped += first.length
    }
  }
}
