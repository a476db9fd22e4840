import type { ChildProcess } from 'node:child_process'
import type { Log } from '../../log/index.ts'
import { exitCode } from '../../os/failure.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import {
  describeEnd,
  describeStartFailure,
  firstPassedDescriptor,
  type ProcessStartOutcome,
  startProcess,
} from '../../process/start.ts'
import type { StartReport } from '../../process/start-report.ts'
import type { ForwarderHealth, Instance, WorkerFacts } from '../../record/shapes/forwarder-health.ts'
import type { ForwarderEvent } from '../forwarder-events.ts'
import type { SharedLimits } from '../limits/shared-limits.ts'
import type { ListeningSocket } from '../listen/listeners.ts'
import {
  type FromWorker,
  type ToWorker,
  type WorkerCommand,
  type WorkerOrder,
  type WorkerQuestion,
  workerVariable,
} from './worker-protocol.ts'

export interface PoolOptions {
  /** How many workers there should be. */
  readonly count: number
  /** The listening sockets, as they are now. */
  readonly sockets: () => readonly ListeningSocket[]
  /** Which processes of the program that the forward leads to are ready; undefined = nobody has said. */
  readonly instances: () => readonly Instance[] | undefined
  readonly limits: SharedLimits
  readonly event: (event: ForwarderEvent) => void
  readonly log: Log
  /** Told what a worker had counted when it ended. */
  readonly retired: (health: ForwarderHealth) => void
  /** Told whenever a worker was started or has ended, with all that there are. */
  readonly changed: (workers: readonly ProcessIdentity[]) => void
}

/** ms between two looks at all workers. */
const lookMs = 1000

/** Looks in a row that a worker may leave without an answer; then it is killed. */
const mostMissedLooks = 4

/** ms that a worker may take to start. */
const startMs = 10_000

/** ms that a question is waited for; whoever asked is not kept waiting by a worker that hangs. */
const answerMs = 300

/** ms of life after which a worker's death is not counted with those before. */
const provenMs = 10_000

/** ms before the second start after deaths in a row, doubled at each further one. The first is made at once. */
const firstWaitMs = 1000
const longestWaitMs = 60_000

interface Worker {
  readonly number: number
  readonly child: ChildProcess
  readonly identity: ProcessIdentity
  readonly startedAt: number
  /** What it was given to listen on. */
  readonly places: string
  readonly keeper: ReturnType<SharedLimits['keeper']>
  readonly exited: Promise<void>
  /** Asked and not answered yet, by the question's id. At its end all are answered with undefined. */
  readonly questions: Map<number, (result: unknown) => void>
  state: WorkerFacts['state']
  health: ForwarderHealth | undefined
  missedLooks: number
  /** Why it was ended by us. */
  verdict: string | undefined
}

/** The other processes of a forward: started, watched, replaced. None of this is on the way of a connection's bytes. */
export class WorkerPool {
  readonly #options: PoolOptions
  readonly #workers = new Set<Worker>()
  #lastNumber = 0
  #lastQuestion = 0
  #deathsInRow = 0
  #lost = 0
  #isEnding = false
  #looking: NodeJS.Timeout | undefined
  #nextStart: NodeJS.Timeout | undefined

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /** Starts all workers. The forward is served already, and they join as they come up. */
  start(): void {
    this.#looking = setInterval(() => this.#look(), lookMs)
    this.#fill()
  }

  /** Workers that ended without being told to, or had to be killed. */
  get lost(): number {
    return this.#lost
  }

  facts(): readonly WorkerFacts[] {
    return [...this.#workers].map(({ number, identity, state, health }) => {
      const { open = 0, total = 0 } = health?.connections ?? {}
      return { number, identity, state, open, total }
    })
  }

  /** What each worker says of itself; of one that does not answer what it said last. */
  async health(): Promise<readonly ForwarderHealth[]> {
    await Promise.all([...this.#workers].map((worker) => this.#askHealth(worker)))
    return [...this.#workers].flatMap(({ health }) => health ?? [])
  }

  /** As `health`, without asking anew: a second old at most. */
  lastHealth(): readonly ForwarderHealth[] {
    return [...this.#workers].flatMap(({ health }) => health ?? [])
  }

  /** Asks all workers, or the one of this number. Those that do not answer in time are left out. */
  async ask(
    question: WorkerQuestion,
    words: Readonly<Record<string, unknown>>,
    number?: number,
  ): Promise<readonly unknown[]> {
    const asked = [...this.#workers].filter((worker) => number === undefined || worker.number === number)
    const answers = await Promise.all(asked.map((worker) => this.#ask(worker, question, words)))
    return answers.filter((answer) => answer !== undefined)
  }

  setInstances(ready: readonly Instance[]): void {
    for (const worker of this.#workers) this.#send(worker, { kind: 'instances', ready })
  }

  command(command: WorkerCommand): void {
    if (command === 'close') this.#stopStarting()
    for (const worker of this.#workers) this.#send(worker, { kind: 'command', command })
  }

  /**
   * Ends all workers: `drain` within the drain time, `finish` when their connections have ended.
   * @param withinMs after which those that are still there are killed. Infinity = never.
   */
  async end(how: 'drain' | 'finish', withinMs: number): Promise<void> {
    this.#stopStarting()
    this.command(how)
    for (const worker of this.#workers) worker.state = 'leaving'
    const deadline = Number.isFinite(withinMs) ? setTimeout(() => this.kill(), withinMs) : undefined
    while (this.#workers.size > 0) await Promise.all([...this.#workers].map(({ exited }) => exited))
    clearTimeout(deadline)
    clearInterval(this.#looking)
  }

  /** Ends every worker now. */
  kill(): void {
    this.#stopStarting()
    clearInterval(this.#looking)
    for (const { child } of this.#workers) child.kill('SIGKILL')
  }

  #stopStarting(): void {
    this.#isEnding = true
    clearTimeout(this.#nextStart)
  }

  /** Starts as many as are wanting; after deaths in a row not at once. */
  #fill(): void {
    if (this.#isEnding) return
    const there = [...this.#workers].filter(({ state }) => state !== 'leaving').length
    for (let missing = this.#options.count - there; missing > 0; missing--) {
      if (!this.#startOne()) return this.#fillLater(this.#nextWaitMs() || firstWaitMs)
    }
  }

  #fillLater(waitMs: number): void {
    clearTimeout(this.#nextStart)
    this.#nextStart = setTimeout(() => {
      this.#nextStart = undefined
      this.#fill()
    }, waitMs)
  }

  #startOne(): boolean {
    const number = ++this.#lastNumber
    const sockets = this.#options.sockets()
    const order: WorkerOrder = {
      number,
      sockets: sockets.map(({ place }, index) => ({
        descriptor: firstPassedDescriptor + index,
        name: place,
      })),
      instances: this.#options.instances(),
    }
    // The same program with the same words: whoever looks at the process table sees what it belongs to.
    const [node = process.execPath, ...words] = process.argv
    // In a session of its own: whoever ends what a dead forwarder has left behind would cut off what it may finish.
    const start = startProcess({
      program: node,
      words: [...process.execArgv, ...words],
      environment: { ...process.env, [workerVariable]: JSON.stringify(order) },
      output: 'inherit',
      hasMessages: true,
      descriptors: sockets.map(({ descriptor }) => descriptor),
      ready: ({ child }, isOver) => reportOf(child, isOver),
      withinMs: startMs,
    })
    const running = start.process
    if (running === undefined) {
      void start.outcome.then((outcome) => {
        if (!outcome.ok)
          this.#options.log.error(`A worker ${describeStartFailure(outcome.failure)}; tried again later`)
      })
      return false
    }
    const { child } = running
    const worker: Worker = {
      number,
      child,
      get identity() {
        return running.identity
      },
      startedAt: performance.now(),
      places: placesOf(sockets),
      keeper: this.#options.limits.keeper(),
      exited: Promise.all([running.ended, start.outcome]).then(([end, outcome]) =>
        this.#exited(worker, outcome.ok ? describeEnd(end) : describeStartFailure(outcome.failure)),
      ),
      questions: new Map(),
      state: 'starting',
      health: undefined,
      missedLooks: 0,
      verdict: undefined,
    }
    this.#workers.add(worker)
    child.on('message', (message: FromWorker) => this.#heard(worker, message))
    // What is sent to one that has just died is lost with it.
    child.on('error', () => {})
    void start.outcome.then((outcome) => this.#started(worker, outcome))
    this.#changed()
    return true
  }

  #heard(worker: Worker, message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
      case 'failed':
        // The outcome of its start.
        return
      case 'answer':
        return worker.questions.get(message.id)?.(message.result)
      case 'event':
        return this.#options.event(message.event)
      case 'claims': {
        for (const claim of message.released) worker.keeper.release(claim)
        if (message.claims.length === 0) return
        const verdicts = message.claims.map((claim) => {
          let verdict: Parameters<Parameters<typeof worker.keeper.claim>[1]>[0]
          worker.keeper.claim(claim, (refusal) => {
            verdict = refusal
          })
          return verdict ?? null
        })
        return this.#send(worker, { kind: 'verdicts', verdicts })
      }
      case 'leaving':
        worker.state = 'leaving'
        return this.#isEnding ? undefined : this.#fillLater(firstWaitMs)
      case 'final':
        worker.health = message.health
        worker.state = 'leaving'
        return
    }
  }

  #started(worker: Worker, outcome: ProcessStartOutcome): void {
    if (!outcome.ok) return
    if (worker.state === 'starting') worker.state = 'serving'
    const took = Math.round(performance.now() - worker.startedAt)
    const what = `Worker ${worker.number} serves as PID ${worker.identity.pid}, after ${took} ms`
    this.#options.log.info({ good: true }, what)
    // Those that listen on what was there before have been replaced now.
    const current = placesOf(this.#options.sockets())
    if (worker.places !== current) return
    const old = [...this.#workers].find(({ state, places }) => state === 'serving' && places !== current)
    if (old !== undefined && this.#serving() > this.#options.count) this.#leave(old)
  }

  #serving(): number {
    return [...this.#workers].filter(({ state }) => state !== 'leaving').length
  }

  #leave(worker: Worker): void {
    worker.state = 'leaving'
    this.#send(worker, { kind: 'command', command: 'finish' })
  }

  #exited(worker: Worker, how: string): void {
    this.#workers.delete(worker)
    for (const answer of [...worker.questions.values()]) answer(undefined)
    worker.keeper.releaseAll()
    if (worker.health !== undefined) this.#options.retired(worker.health)
    this.#changed()
    const wasLeaving = worker.state === 'leaving'
    if (wasLeaving && worker.verdict === undefined) return
    this.#lost++
    const { log } = this.#options
    const what = `Worker ${worker.number} (PID ${worker.identity.pid}) ${worker.verdict ?? how}`
    // Whoever was to take its place has been started already.
    if (wasLeaving || this.#isEnding) return log.error(what)
    if (performance.now() - worker.startedAt > provenMs) this.#deathsInRow = 0
    const waitMs = this.#nextWaitMs()
    log.error(`${what}; another one starts ${waitMs === 0 ? 'now' : `in ${waitMs / 1000} s`}`)
    if (waitMs === 0) this.#fill()
    else this.#fillLater(waitMs)
  }

  /** ms to wait before a worker is started in the place of one that died, or could not be run: 0 for the first in a row. */
  #nextWaitMs(): number {
    const deaths = this.#deathsInRow++
    return deaths === 0 ? 0 : Math.min(longestWaitMs, firstWaitMs * 2 ** (deaths - 1))
  }

  #look(): void {
    for (const worker of this.#workers) {
      if (worker.state === 'starting') continue
      if (worker.missedLooks >= mostMissedLooks) {
        this.#kill(worker, `has not answered for ${(mostMissedLooks * lookMs) / 1000} s and was killed`)
      } else {
        // Counted in looks and not by the clock: this process may have stood still as well.
        worker.missedLooks++
        void this.#askHealth(worker)
      }
    }
    this.#followSockets()
  }

  #kill(worker: Worker, verdict: string): void {
    worker.verdict ??= verdict
    worker.child.kill('SIGKILL')
  }

  /** One worker after another is replaced by one that has the sockets of now; its connections go on in it until they end. */
  #followSockets(): void {
    if (this.#isEnding || this.#nextStart !== undefined) return
    const current = placesOf(this.#options.sockets())
    const isReplacing = [...this.#workers].some(({ state }) => state === 'starting')
    if (isReplacing || this.#serving() !== this.#options.count) return
    if ([...this.#workers].some(({ state, places }) => state === 'serving' && places !== current))
      this.#startOne()
  }

  async #askHealth(worker: Worker): Promise<void> {
    const health = await this.#ask(worker, 'health', {})
    if (health !== undefined) worker.health = health as ForwarderHealth
  }

  /** Undefined when there is no answer in time. Whatever is answered, and be it late, shows that the worker is well. */
  #ask(worker: Worker, question: WorkerQuestion, words: Readonly<Record<string, unknown>>): Promise<unknown> {
    // One that is coming up may accept the probe before it has said that it is there.
    if (worker.state === 'starting' && question !== 'expect-probe') return Promise.resolve(undefined)
    const id = ++this.#lastQuestion
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), answerMs)
      // Kept with the worker, and not as a reaction to its end: each of those would be held, with its answer, until the worker ends.
      worker.questions.set(id, (result) => {
        clearTimeout(timer)
        worker.questions.delete(id)
        worker.missedLooks = 0
        resolve(result)
      })
      this.#send(worker, { kind: 'question', id, question, words })
    })
  }

  #send({ child }: Worker, message: ToWorker): void {
    if (child.connected) child.send(message, undefined, undefined, () => {})
  }

  #changed(): void {
    this.#options.changed([...this.#workers].map(({ identity }) => identity))
  }
}

/** What a worker says of its start. */
function reportOf(child: ChildProcess, isOver: AbortSignal): Promise<StartReport> {
  return new Promise((resolve) => {
    const hear = (message: FromWorker) => {
      if (message.kind === 'ready') resolve({ ready: true })
      if (message.kind === 'failed') {
        resolve({ ready: false, message: message.message, exitCode: exitCode.internal })
      }
    }
    child.on('message', hear)
    isOver.addEventListener('abort', () => child.off('message', hear))
  })
}

function placesOf(sockets: ReturnType<PoolOptions['sockets']>): string {
  return sockets
    .map(({ place, generation }) => `${place}#${generation}`)
    .sort()
    .join(' ')
}
