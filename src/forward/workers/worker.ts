import type { ForwardOptions } from '../../config/forward-options.ts'
import { errorText, exitCode } from '../../os/failure.ts'
import { certificateFiles } from '../../web/certificate-files.ts'
import { Forwarder } from '../forwarder.ts'
import type { ForwarderEvent } from '../forwarder-events.ts'
import {
  type Claim,
  isLimited,
  type LimitKeeper,
  type LimitOptions,
  type Refusal,
} from '../limits/shared-limits.ts'
import { ProcessLogs } from '../process-logs.ts'
import {
  type FromWorker,
  idsAfter,
  type ToWorker,
  type Verdicts,
  type WorkerCommand,
  type WorkerOrder,
  type WorkerQuestion,
} from './worker-protocol.ts'

/** ms between two looks at whether the logs still have their names. */
const logLookMs = 2000

/**
 * One more process of a forward. It accepts from the sockets of the process that started it, asks it for what is limited for the forward
 * as a whole, and answers its questions. When that process is gone it accepts no more: whoever comes next must have the port alone.
 */
export async function runWorker(
  { number, sockets, instances }: WorkerOrder,
  forward: ForwardOptions,
  stateDirectory: string,
): Promise<number> {
  const send = (message: FromWorker) => void process.send?.(message, undefined, undefined, () => {})
  const limits = new AskedLimits(forward, send)
  const logs = new ProcessLogs(forward, stateDirectory, false)
  setInterval(() => logs.look(), logLookMs).unref()
  const forwarder = new Forwarder(
    // The process that started this one looks after targets, and tells about them.
    { ...forward, targetCheckMs: 0 },
    {
      event: (event) => {
        if (isToldByWorkers(event)) send({ kind: 'event', event })
      },
      ended: logs.ended,
    },
    { kind: 'handover', fixed: true, supervisor: null, sockets, predecessors: [], instances },
    await certificateFiles(forward, stateDirectory),
    { idsAfter: idsAfter(number), limits },
  )
  const ending = new Ending(forwarder, send)
  // Before the start, so that nothing that is said meanwhile is missed.
  process.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'question':
        return send({ kind: 'answer', id: message.id, result: answerTo(forwarder, message) })
      case 'command':
        if (message.command === 'reload') logs.reopen()
        return carryOut(message.command, forwarder, ending)
      case 'instances':
        return forwarder.setInstances(message.ready)
      case 'verdicts':
        return limits.answered(message.verdicts)
    }
  })
  process.on('disconnect', () => {
    limits.abandoned()
    ending.begin('drain')
  })
  try {
    if (forward.gate !== '') {
      const { loadGateSecrets } = await import('../gate/index.ts')
      await forwarder.putUpGate(loadGateSecrets(stateDirectory, forward.gateTokenFile), stateDirectory, false)
    }
    await forwarder.start()
  } catch (error) {
    forwarder.close()
    await said({ kind: 'failed', message: errorText(error) })
    return exitCode.internal
  }
  ending.allow()
  send({ kind: 'ready' })
  await ending.over
  await said({ kind: 'final', health: forwarder.health() })
  return exitCode.ok
}

/** Sends the last of all messages and waits until it is out; whoever would read it may be gone. */
function said(message: FromWorker): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected || process.send === undefined) return resolve()
    process.send(message, undefined, undefined, () => {
      if (process.connected) process.disconnect()
      resolve()
    })
  })
}

/** What each process finds out by itself about the targets and the certificate is told once, by the one that started the workers. */
function isToldByWorkers({ kind }: ForwarderEvent): boolean {
  return kind === 'gate' || kind === 'refused' || kind === 'step-failed' || kind === 'full' || kind === 'room'
}

function answerTo(
  forwarder: Forwarder,
  {
    question,
    words,
  }: { readonly question: WorkerQuestion; readonly words: Readonly<Record<string, unknown>> },
): unknown {
  switch (question) {
    case 'health':
      return forwarder.health()
    case 'connections':
      return forwarder.connections()
    case 'kill':
      return forwarder.kill(words as { id: number } | { source: string })
    case 'expect-probe':
      return forwarder.expectProbe(words.port as number)
  }
}

function carryOut(command: WorkerCommand, forwarder: Forwarder, ending: Ending): void {
  switch (command) {
    case 'close':
      return forwarder.close()
    case 'drain':
    case 'finish':
      return ending.begin(command)
    case 'stop':
      return forwarder.stopNow()
    case 'reload':
      return void forwarder.reloadCertificates()
  }
}

/** How a worker ends: by order, with the process that started it, or by a signal of its own. */
class Ending {
  readonly over: Promise<void>
  readonly #forwarder: Forwarder
  readonly #send: (message: FromWorker) => void
  #resolve = () => {}
  #begun: 'drain' | 'finish' | undefined
  #isStarted = false
  #wasSignalled = false

  constructor(forwarder: Forwarder, send: (message: FromWorker) => void) {
    this.#forwarder = forwarder
    this.#send = send
    this.over = new Promise((resolve) => {
      this.#resolve = resolve
    })
    // To every process of a service, as systemd does, or to this one alone.
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.#signalled())
    // Orders to the process that started this one, which passes on what concerns its workers.
    for (const signal of ['SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {})
  }

  begin(how: 'drain' | 'finish'): void {
    // What is to be over soon is not drawn out.
    if (this.#begun === how || this.#begun === 'drain') return
    this.#begun = how
    if (this.#isStarted) this.#carryOut(how)
  }

  /** From now on it may end. */
  allow(): void {
    this.#isStarted = true
    if (this.#begun !== undefined) this.#carryOut(this.#begun)
  }

  #carryOut(how: 'drain' | 'finish'): void {
    this.#forwarder.close()
    void (how === 'drain' ? this.#forwarder.drain() : this.#forwarder.finish()).then(() => this.#resolve())
  }

  #signalled(): void {
    // The order to drain may have come before the signal that was meant to give the same one.
    if (this.#wasSignalled) return this.#forwarder.stopNow()
    this.#wasSignalled = true
    this.#send({ kind: 'leaving' })
    this.begin('drain')
  }
}

/** Asks the process that started this one; the questions and releases of one turn of the event loop go in one message. */
class AskedLimits implements LimitKeeper {
  readonly #options: LimitOptions
  readonly #send: (message: FromWorker) => void
  /** Asked and not yet answered, in the order of the questions. */
  readonly #asked: ((refusal: Refusal | undefined) => void)[] = []
  #claims: Claim[] = []
  #released: Claim[] = []
  #isAbandoned = false

  constructor(options: LimitOptions, send: (message: FromWorker) => void) {
    this.#options = options
    this.#send = send
  }

  claim(claim: Claim, answer: (refusal: Refusal | undefined) => void): void {
    if (this.#isAbandoned || !isLimited(this.#options, claim)) return answer(undefined)
    this.#asked.push(answer)
    this.#claims.push(claim)
    this.#sendSoon()
  }

  release(claim: Claim): void {
    if (this.#isAbandoned || !isLimited(this.#options, claim)) return
    this.#released.push(claim)
    this.#sendSoon()
  }

  answered(verdicts: Verdicts): void {
    for (const verdict of verdicts) this.#asked.shift()?.(verdict ?? undefined)
  }

  /** Nobody keeps the limits any more, and nobody new is accepted: who is in may stay. */
  abandoned(): void {
    this.#isAbandoned = true
    for (const answer of this.#asked.splice(0)) answer(undefined)
  }

  #sendSoon(): void {
    if (this.#claims.length + this.#released.length > 1) return
    setImmediate(() => {
      this.#send({ kind: 'claims', claims: this.#claims, released: this.#released })
      this.#claims = []
      this.#released = []
    })
  }
}
