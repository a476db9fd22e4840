import { ControlRefusal, invalidArgument } from '../control/protocol.ts'
import {
  type Replacement,
  replacementOrder,
  replacementTakesMs,
  startReplacement,
} from '../control/replacement.ts'
import type { Log } from '../log/index.ts'
import { errorText } from '../os/failure.ts'
import { announceMainProcess, isServiceManagerListening } from '../os/service-manager.ts'
import { type ProcessIdentity, signalProcess } from '../process/identity.ts'
import { type Inheritance, isHeir, livingPredecessors } from '../process/inheritance.ts'
import { legacyOf, supervisorNow } from './handover.ts'
import type { ServedForward } from './workers/served-forward.ts'

type Ending =
  | { readonly by: 'signal'; readonly signal: NodeJS.Signals }
  | { readonly by: 'successor'; readonly successor: ProcessIdentity }
  | { readonly by: 'order' }

/** Why systemd's own forwarder is not replaced: its end would be taken for the service's, and the replacement be ended with it. */
const supervisorUnaware = () =>
  new ControlRefusal(
    'supervisor-unaware',
    'systemd runs this forwarder and would not accept another process: its unit has no NotifyAccess=all',
    'use systemctl restart',
  )

/** Node's timers take no more. */
const longestTimerMs = 2 ** 31 - 1

/** ms between two looks at those that have handed over to this one and still finish their connections. */
const lookEveryMs = 200

/** How this forwarder came after one before it, and how it ends: by a signal, an order, or because another one takes its place. */
export class Succession {
  readonly #forwarder: ServedForward
  readonly #inheritance: Inheritance
  readonly #log: Log
  readonly #ending: Promise<Ending>
  #isEnding = false
  #isEndedBySignal = false
  #hasSuccessor = false
  #end: (ending: Ending) => void = () => {}
  #replacement: Replacement | undefined
  /** Of an order to drain: what resets the connections that are left. */
  #drainTimer: NodeJS.Timeout | undefined

  constructor(forwarder: ServedForward, inheritance: Inheritance, log: Log) {
    this.#forwarder = forwarder
    this.#inheritance = inheritance
    this.#log = log
    this.#ending = new Promise((resolve) => {
      this.#end = resolve
    })
    process.once('SIGTERM', (signal) => this.#signalled(signal))
    process.once('SIGINT', (signal) => this.#signalled(signal))
    // The signal by which daemons are told to read their files again. A terminal that closes sends it too, and is no order to end:
    // the forward outlives whoever started it.
    process.on('SIGHUP', () => void forwarder.reloadCertificates())
    process.on('SIGUSR2', () => void this.#replaceByItself())
  }

  /** It takes no more connections, or is about to. */
  get isEnding(): boolean {
    return this.#isEnding
  }

  /** It drains after a signal, without a successor of its own: it listens no more, and the next forwarder may take its files. */
  get isEndedBySignal(): boolean {
    return this.#isEndedBySignal
  }

  /** Another forwarder has taken over, or is being started for it: names and files are that one's. */
  get isSuperseded(): boolean {
    return this.#hasSuccessor || this.#replacement !== undefined
  }

  /** True while the forwarder that started this one, to be replaced by it, is there. */
  isHeir(): boolean {
    return isHeir(this.#inheritance)
  }

  /**
   * The order `hand-over`: `run` is the program and the words of the replacement, without `--report-fd`; `timeoutMs` is how long it may
   * take.
   * @returns who took over.
   */
  async handOver(order: Readonly<Record<string, unknown>>): Promise<{ readonly identity: ProcessIdentity }> {
    const { run, timeoutMs } = replacementOrder(order)
    return { identity: await this.#replace(run, timeoutMs) }
  }

  /**
   * The order `drain`: no more connections are taken, and this process ends when those that are open have, or after `withinMs`. Ordered
   * again, that time begins anew.
   */
  drain({ withinMs }: Readonly<Record<string, unknown>>): null {
    if (typeof withinMs !== 'number' || !(withinMs >= 0))
      throw invalidArgument('drain needs the ms that connections have as "withinMs"')
    if (this.#hasSuccessor) throw new ControlRefusal('ending', 'this forwarder has handed over')
    this.#replacement?.abandon()
    this.#isEnding = true
    clearTimeout(this.#drainTimer)
    this.#drainTimer = setTimeout(() => this.#stopAll(), Math.min(withinMs, longestTimerMs))
    this.#end({ by: 'order' })
    return null
  }

  /**
   * Waits for the end, whatever brings it, and carries it out.
   * @param leave called when this process listens no more. `hasSuccessor`: another one has taken over, so what two processes cannot have at
   *   once must go.
   */
  async end(leave: (hasSuccessor: boolean) => void): Promise<void> {
    const ending = await this.#ending
    if (ending.by !== 'successor') {
      this.#forwarder.close()
      this.#isEndedBySignal = ending.by === 'signal'
    } else this.#forwarder.leaveListeners()
    // The caller that ordered the drain keeps its connection open and waits there for the end.
    if (ending.by !== 'order') leave(ending.by === 'successor')
    const open = this.#forwarder.openConnections
    if (ending.by === 'signal') {
      this.#sayEnding(ending.signal, open)
      await this.#endBySignal()
    } else if (ending.by === 'order') {
      this.#log.info(`Ordered to drain: no more connections are accepted; ${open} connections may finish`)
      await this.#finishOnOrder()
    } else {
      const { pid } = ending.successor
      const rest = open > 0 ? `; ${open} connections finish here` : ''
      this.#log.info({ good: true }, `Handed over to PID ${pid}${rest}`)
      await this.#finishBehindSuccessor()
    }
    this.#log.info({ good: true }, 'Ended')
  }

  async #replace(run: readonly string[], timeoutMs: number): Promise<ProcessIdentity> {
    if (this.#isEnding) throw new ControlRefusal('ending', 'this forwarder is ending')
    if (this.#replacement !== undefined) {
      throw new ControlRefusal('replacement-under-way', 'a replacement is being started already')
    }
    const supervisor = supervisorNow(this.#inheritance)
    try {
      if (supervisor !== null && !isServiceManagerListening()) throw supervisorUnaware()
      const sockets = this.#forwarder.sockets()
      const targets = this.#forwarder.targets()
      const instances = this.#forwarder.instances()
      const inheritance = legacyOf({ inheritance: this.#inheritance, targets, instances })
      const plan = { run, timeoutMs, environment: process.env, sockets, inheritance }
      this.#replacement = startReplacement(plan)
      const successor = await this.#replacement.ready
      this.#isEnding = true
      this.#hasSuccessor = true
      if (supervisor !== null && !(await announceMainProcess(successor.pid))) {
        this.#log.error(
          `systemd could not be notified that PID ${successor.pid} is the service now, and may start it again`,
        )
      }
      // After the order has been answered.
      setImmediate(() => this.#end({ by: 'successor', successor }))
      return successor
    } catch (error) {
      this.#log.error(
        `The replacement could not take over: ${errorText(error)}; this forwarder keeps running`,
      )
      throw error instanceof ControlRefusal
        ? error
        : new ControlRefusal('replacement-failed', errorText(error))
    } finally {
      this.#replacement = undefined
    }
  }

  /** SIGUSR2, as nginx and others have it: the same program with the same words takes over, as it is on disk now. */
  async #replaceByItself(): Promise<void> {
    const [node = process.execPath, ...words] = process.argv
    const reportAt = words.indexOf('--report-fd')
    const kept = words.filter((_, index) => reportAt < 0 || (index !== reportAt && index !== reportAt + 1))
    await this.#replace([node, ...process.execArgv, ...kept], replacementTakesMs).catch(() => {})
  }

  #signalled(signal: NodeJS.Signals): void {
    this.#replacement?.abandon()
    this.#isEnding = true
    this.#end({ by: 'signal', signal })
  }

  #sayEnding(signal: NodeJS.Signals, open: number): void {
    const { drainMs } = this.#forwarder.options
    const wait = open > 0 ? `, ${open} connections may finish within ${drainMs / 1000} s` : ''
    this.#log.info(`${signal}: no more connections are accepted${wait}`)
  }

  async #endBySignal(): Promise<void> {
    // Who ends a forward means all of it.
    for (const identity of livingPredecessors(this.#inheritance)) signalProcess(identity, 'SIGTERM')
    const now = () => this.#forwarder.stopNow()
    process.on('SIGTERM', now)
    process.on('SIGINT', now)
    await this.#forwarder.drain()
  }

  /** Those that have handed over to this one belong to the forward, too. A signal ends all of them as ever. */
  async #finishOnOrder(): Promise<void> {
    const signalled = new Promise<void>((resolve) => {
      process.once('SIGTERM', (signal) => {
        this.#sayEnding(signal, this.#forwarder.openConnections)
        void this.#endBySignal().then(resolve)
      })
    })
    const finished = this.#forwarder.finish().then(async () => {
      while (livingPredecessors(this.#inheritance).length > 0)
        await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
    })
    await Promise.race([finished, signalled])
    clearTimeout(this.#drainTimer)
  }

  #stopAll(): void {
    for (const identity of livingPredecessors(this.#inheritance)) signalProcess(identity, 'SIGTERM')
    this.#forwarder.stopNow()
  }

  /** Nobody waits for this process any more, so its connections have all the time they want. A signal ends them as ever. */
  async #finishBehindSuccessor(): Promise<void> {
    const finished = this.#forwarder.finish()
    process.once('SIGTERM', (signal) => {
      this.#sayEnding(signal, this.#forwarder.openConnections)
      void this.#endBySignal()
    })
    await finished
  }
}
