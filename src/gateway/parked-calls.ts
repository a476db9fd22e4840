import { randomBytes } from 'node:crypto'
import type { Message } from './protocol/message.ts'
import type { ClientAnswer, Question } from './upstream/call.ts'
import { Waiting, type WaitSignal } from './waiting.ts'

/** A question that waits for a client of the newer generation, which answers when it sends its call again. */
export interface Asked {
  readonly method: string
  /** JSON text. */
  readonly params: string | undefined
  readonly answered: (answer: ClientAnswer) => void
}

/** A round of questions is complete when the server has sent no further one for this many ms. A person who answers needs far longer. */
const roundMs = 50

/** ms that a round may take in all. */
const longestRoundMs = 1000

/** What comes first: the answer to the call, or questions. */
export type Progress =
  | { readonly kind: 'answered'; readonly message: Message }
  | { readonly kind: 'asked'; readonly questions: ReadonlyMap<string, Asked> }

/**
 * A call of a client of the newer generation to a server of the older one. The server's requests reach the client as questions in an answer,
 * and the call stays open here until the client sends it again with its answers.
 */
export class HeldCall {
  readonly #questions = new Map<string, Asked>()
  readonly #over = new Waiting()
  #answer: Promise<Message> = new Promise(() => {})
  #news: (() => void) | undefined
  #failure: (problem: Error) => void = () => {}
  /** Told when its client is asked. */
  parked: () => void = () => {}
  /** Told when it is over, however. */
  ended: () => void = () => {}
  /** Where notifications of the server go now; undefined while the client is away. */
  notify: ((text: string) => void) | undefined

  /** Aborted when nobody comes back for the answer. */
  get signal(): WaitSignal {
    return this.#over
  }

  begin(answer: Promise<Message>): void {
    this.#answer = answer
    answer.then(
      () => this.ended(),
      () => this.ended(),
    )
  }

  /** The client gets it under the key that the server has for it. */
  ask({ method, params, key, signal }: Question): Promise<ClientAnswer> {
    return new Promise((resolve) => {
      this.#questions.set(key, { method, params, answered: resolve })
      signal.addEventListener('abort', () => this.#questions.delete(key), { once: true })
      this.#news?.()
    })
  }

  /** @throws what the call throws. */
  async next(): Promise<Progress> {
    if (this.#questions.size === 0) {
      const asked = new Promise<undefined>((resolve, reject) => {
        this.#news = () => resolve(undefined)
        this.#failure = reject
      })
      const message = await Promise.race([this.#answer, asked])
      this.#news = undefined
      if (message !== undefined) return { kind: 'answered', message }
      await this.#wholeRound()
    }
    return { kind: 'asked', questions: new Map(this.#questions) }
  }

  /** A server sends the questions of a round one after another, and a busy machine passes them on with pauses. */
  async #wholeRound(): Promise<void> {
    for (
      let waited = 0, known = 0;
      known < this.#questions.size && waited < longestRoundMs;
      waited += roundMs
    ) {
      known = this.#questions.size
      await new Promise((resolve) => setTimeout(resolve, roundMs))
    }
  }

  /** @param answers results by the keys of the questions, as JSON text. What is not answered is asked again. */
  answer(answers: ReadonlyMap<string, string>): void {
    for (const [key, { answered }] of [...this.#questions]) {
      const result = answers.get(key)
      if (result === undefined) continue
      this.#questions.delete(key)
      answered({ ok: true, result })
    }
  }

  end(reason: Error): void {
    this.#over.abort(reason)
  }

  /** The call cannot go on: the client that waits for it gets this error. */
  fail(problem: Error): void {
    this.#answer = Promise.reject(problem)
    this.#answer.catch(() => {})
    this.#failure(problem)
    this.end(problem)
  }
}

/** Questions as the newer generation has them, by their keys, as JSON text. */
export function inputRequestsText(questions: ReadonlyMap<string, Asked>): string {
  const requests = [...questions].map(([key, { method, params }]) => {
    const given = params === undefined ? '' : `,"params":${params}`
    return `${JSON.stringify(key)}:{"method":${JSON.stringify(method)}${given}}`
  })
  return `{${requests.join(',')}}`
}

/** ms that a client has to come back with its answers: a person may have to read and type. */
const patienceMs = 10 * 60_000

/** Calls that wait at once. */
const mostCalls = 1000

const prefix = 'pw1.'

/** Calls that wait for their clients, each under a state that only its client knows and that only its own call may use. */
export class ParkedCalls {
  readonly #parked = new Map<
    string,
    { readonly call: HeldCall; readonly of: string; readonly timer: NodeJS.Timeout }
  >()

  /** Whether a state is one of these. */
  isOurs(state: string): boolean {
    return state.startsWith(prefix)
  }

  /**
   * @param of names the client and the call: `take` gives the call back only for the same name.
   * @returns the state for the client.
   */
  park(call: HeldCall, of: string): string {
    if (this.#parked.size >= mostCalls) this.#drop(this.#parked.keys().next().value ?? '')
    const state = `${prefix}${randomBytes(24).toString('base64url')}`
    const timer = setTimeout(() => this.#drop(state), patienceMs)
    timer.unref()
    this.#parked.set(state, { call, of, timer })
    return state
  }

  /** The call of this state, once; undefined when there is none, or it is another's. */
  take(state: string, of: string): HeldCall | undefined {
    const found = this.#parked.get(state)
    if (found === undefined || found.of !== of) return undefined
    clearTimeout(found.timer)
    this.#parked.delete(state)
    return found.call
  }

  #drop(state: string): void {
    const found = this.#parked.get(state)
    if (found === undefined) return
    clearTimeout(found.timer)
    this.#parked.delete(state)
    found.call.end(new Error('the client did not come back with what was asked of it'))
  }

  close(): void {
    for (const state of [...this.#parked.keys()]) this.#drop(state)
  }
}
