/**
 * unit/: a forward as a unit that the watchdog keeps alive: how it is started, probed, handed over and adopted, what its faults are called and
 * which files it has. `ForwardUnit` is what `watch/` sees. `check.ts` collects facts and `diagnose.ts` judges them, without effects;
 * `vocabulary.ts` holds the fault codes and their words. A new fault is a code there, and where `diagnose` finds it.
 */

import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ForwardConfiguration } from '../../config/configuration.ts'
import { targetProgram } from '../../config/values.ts'
import { hostAndPort, machineAddresses } from '../../os/interfaces.ts'
import { signalProcess } from '../../process/identity.ts'
import type { InheritedSocket } from '../../process/inheritance.ts'
import { findPortHolder } from '../../process/port-holder.ts'
import type { ProcessSummary } from '../../process/summary.ts'
import { judgePidFile, readPidFile, removeStalePidFile } from '../../record/pid-file.ts'
import type { ForwarderHealth, Instance } from '../../record/shapes/forwarder-health.ts'
import { forwardId } from '../../record/shapes/runtime-state.ts'
import { fileNames } from '../../record/state-directory.ts'
import { orderReplacement } from '../../watch/own-handover.ts'
import type {
  Adoption,
  Handover,
  Probed,
  ProbeRequest,
  Start,
  Told,
  Trouble,
  Unit,
  UnitFiles,
  UnitLabels,
  UnitPolicy,
  Vocabulary,
} from '../../watch/unit.ts'
import { planListeners } from '../listen/listen-plan.ts'
import { checkForward } from './check.ts'
import { diagnose } from './diagnose.ts'
import { forwarderCommand, startForwarder } from './forwarder-process.ts'
import { orderAdoption, orderDrain } from './handover-orders.ts'
import { InstanceOrders } from './instance-orders.ts'
import { ForwarderLink } from './link.ts'
import { findStray } from './stray.ts'
import { forwardVocabulary } from './vocabulary.ts'
import { whatIsOpen } from './what-is-open.ts'

/** What a forward needs of the monitor around it. */
export interface ForwardSurroundings {
  readonly stateDirectory: string
  /** Makes the state directory when it is gone. Throws when it cannot be used. */
  readonly prepareDirectory: () => void
  /** Listening sockets of the forward's port that this process holds. */
  readonly sockets: readonly InheritedSocket[]
}

/** A forward, as the watchdog keeps it alive. */
export class ForwardUnit implements Unit<ForwarderHealth> {
  readonly id: string
  readonly kind = 'forward'
  readonly outlivesMonitor = true
  readonly files: UnitFiles
  readonly labels: UnitLabels
  readonly handover: Handover
  readonly adoption: Adoption
  readonly #around: ForwardSurroundings
  readonly #link: ForwarderLink
  readonly #instances: InstanceOrders
  #configuration: ForwardConfiguration
  #vocabulary: Vocabulary
  #lost: () => void = () => {}
  /** Rises with every check: another address is probed each time. */
  #turn = 0

  constructor(configuration: ForwardConfiguration, around: ForwardSurroundings) {
    const { listenPort } = configuration.options
    this.id = forwardId(listenPort)
    this.labels = { port: listenPort }
    this.files = { failures: fileNames.failures(listenPort) }
    this.#configuration = configuration
    this.#vocabulary = forwardVocabulary(configuration.options)
    this.#around = around
    const link = new ForwarderLink(
      {
        socket: () => this.#file(fileNames.forwarderSocket),
        pidFile: () => this.#file(fileNames.pidFile),
      },
      () => this.#lost(),
    )
    this.#link = link
    this.#instances = new InstanceOrders(link)
    const { stateDirectory } = around
    this.handover = {
      replace: async (timeoutMs) => {
        const run = forwarderCommand(this.#configuration.options, stateDirectory)
        const replaced = await orderReplacement(link, { run }, timeoutMs)
        if (replaced.ok) this.#instances.renew()
        return replaced
      },
      successorOf: (identity) => link.successorOf(identity),
      hasLeft: (identity) => link.hasLeft(identity),
    }
    this.adoption = {
      adopt: async ({ stateDirectory: theirs }, timeoutMs) => {
        const adopted = await orderAdoption(this.#configuration.options, stateDirectory, theirs, timeoutMs)
        if (adopted.ok) this.#instances.renew()
        return adopted
      },
      askBack: (identity) => void signalProcess(identity, 'SIGHUP'),
    }
  }

  get name(): string {
    return this.#configuration.name
  }

  get configuration(): ForwardConfiguration {
    return this.#configuration
  }

  get policy(): UnitPolicy {
    const { restart, limits, options } = this.#configuration
    return { restart, limits, drainMs: options.drainMs }
  }

  get vocabulary(): Vocabulary {
    return this.#vocabulary
  }

  /**
   * Takes another configuration for the same port.
   * @returns false when it is the one that it has.
   */
  reconfigure(configuration: ForwardConfiguration): boolean {
    if (isDeepStrictEqual(configuration, this.#configuration)) return false
    this.#configuration = configuration
    this.#vocabulary = forwardVocabulary(configuration.options)
    return true
  }

  /** The program that it leads to; undefined = none. */
  get program(): string | undefined {
    return targetProgram(this.#configuration.options.targetHost)
  }

  /** Says to its forwarder which processes of its program get new connections from now on. */
  setInstances(ready: readonly Instance[]): void {
    this.#instances.set(ready)
  }

  /** Whether its forwarder has connections to this process, or may give it new ones. */
  isUsing(instance: Instance): Promise<boolean> {
    return this.#instances.isUsing(instance)
  }

  attach(lost: () => void): void {
    this.#lost = lost
  }

  start(): Start {
    const { stateDirectory, prepareDirectory, sockets } = this.#around
    const log = this.#file(fileNames.forwarderLog)
    const start = startForwarder(this.#configuration.options, stateDirectory, log, prepareDirectory, sockets)
    void start.outcome.then(({ ok }) => {
      if (ok) this.#instances.renew()
    })
    return start
  }

  async probe(request: ProbeRequest): Promise<Probed<ForwarderHealth>> {
    const { options } = this.#configuration
    const holder = request.holder ? this.#findHolder() : undefined
    const found = await checkForward({
      options,
      pidFile: this.#file(fileNames.pidFile),
      connect: () => this.#link.connectOrWake(),
      turn: this.#turn++,
    })
    if (found.health?.program !== undefined) this.#instances.found(found.health.program)
    const diagnosis = diagnose(found)
    // The next connection is to the one that comes after it. One of an older version goes on answering here when it has handed over.
    if (found.health?.draining === true) this.#link.drop()
    const isStrayMeant = request.stray && diagnosis.condition === 'dead' && this.#around.sockets.length === 0
    const stray = isStrayMeant ? await findStray(options, this.#around.stateDirectory) : undefined
    return { diagnosis, health: found.health, optionsMatch: found.optionsMatch, holder, stray }
  }

  drain(withinMs: number): Promise<void> {
    return orderDrain(this.#file(fileNames.forwarderSocket), withinMs)
  }

  /** Sockets that this process holds for it are held whatever ends. */
  findHolder(): ProcessSummary | undefined {
    return this.#around.sockets.length > 0 ? undefined : this.#findHolder()
  }

  #findHolder(): ProcessSummary | undefined {
    const { options } = this.#configuration
    const { addresses } = planListeners(options, machineAddresses())
    return findPortHolder(options.listenPort, ...addresses)
  }

  /** Removes the PID file only if it still names nobody, or nobody alive who is ours. */
  removeStalePidFile(): void {
    const file = this.#file(fileNames.pidFile)
    const found = readPidFile(file)
    const verdict = judgePidFile(found)
    const isOwners = found.kind === 'identified' && (verdict === 'alive' || verdict === 'stopped')
    // One of ours that cannot be verified is removed only after its control socket has refused: nobody holds it.
    if (isOwners || (verdict === 'unverifiable' && found.kind !== 'identified')) return
    removeStalePidFile(file, found)
  }

  troubles(health: ForwarderHealth | undefined): readonly Trouble[] {
    return this.#configuration.options.gate === '' ? [] : [loginTrouble(this.name, health)]
  }

  introduction(health: ForwarderHealth): readonly Told[] | undefined {
    return whatIsOpen(this.#configuration, health, machineAddresses())
  }

  record(health: ForwarderHealth | undefined): Readonly<Record<string, unknown>> {
    const { listenPort, targetHost, targetPort } = this.#configuration.options
    return { port: listenPort, target: hostAndPort(targetHost, targetPort), health: health ?? null }
  }

  close(): void {
    this.#link.close()
  }

  #file(name: (port: number) => string): string {
    return path.join(this.#around.stateDirectory, name(this.#configuration.options.listenPort))
  }
}

/** Wrong tokens within ten minutes that are no mistyping any more. */
const guessing = 20

function loginTrouble(name: string, health: ForwarderHealth | undefined): Trouble {
  const count = health?.gate?.wrongTokens?.lastTenMinutes
  const condition = count === undefined ? 'unclear' : count >= guessing ? 'failing' : 'well'
  const { lastTenMinutes = 0, lastFrom = null } = health?.gate?.wrongTokens ?? {}
  const message =
    lastTenMinutes < guessing
      ? `No more wrong tokens for ${name}`
      : `Somebody may be guessing the token of ${name}: ${lastTenMinutes} wrong tokens in 10 minutes, the last from ${lastFrom}`
  return { subject: 'login', condition, message }
}
