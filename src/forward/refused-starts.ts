/** Starts that cannot succeed, and the sentences that say why and what to do. */
import type { ForwardOptions } from '../config/forward-options.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { hostAndPort, isLoopback, machineAddresses, withoutZone } from '../os/interfaces.ts'
import { isIP } from '../os/ip-address.ts'
import { identifyPortHolder } from '../process/port-holder.ts'
import { describeProcess, type ProcessSummary } from '../process/summary.ts'
import type { Forwarder } from './forwarder.ts'
import { failedBindInWords } from './listen/bind-report.ts'
import { isSamePort, loopbackAddresses, planListeners, reachesListener } from './listen/listen-plan.ts'

/**
 * Refuses a forward that would dial itself, before anything is opened.
 * @throws Failure (78).
 */
export async function refuseImpossible(forward: ForwardOptions): Promise<void> {
  if (forward.metrics !== '') {
    const { metricsConflict } = await import('../config/conflicts.ts')
    const conflict = metricsConflict(forward)
    if (conflict !== undefined) throw new Failure(conflict, exitCode.configuration)
  }
  const { listenPort, targetHost, targetPort, bind } = forward
  if (listenPort !== targetPort) return
  const machine = machineAddresses()
  const { addresses } = planListeners(forward, machine)
  if (isSamePort(forward) && !bind.some(isLoopback)) return
  const targets = isSamePort(forward) ? loopbackAddresses : await addressesOf(targetHost)
  const own = targets.find((target) => reachesListener(target, addresses, machine))
  if (own === undefined) return
  throw new Failure(
    `port ${listenPort} cannot be forwarded to ${hostAndPort(targetHost, targetPort)}: that is where this forward itself ` +
      'would listen, so it would dial itself for ever; give another target, or --bind an address other than the target’s',
    exitCode.configuration,
  )
}

/**
 * A service manager passed sockets that would take the target's own address from it, so that the target cannot start, or the forward
 * dials itself.
 * @throws Failure (78).
 */
export function refuseSocketsOfTarget(forward: ForwardOptions, bound: readonly string[]): void {
  if (!isSamePort(forward)) return
  const machine = machineAddresses()
  const own = bound.find((address) =>
    loopbackAddresses.some((target) => reachesListener(target, [address], machine)),
  )
  if (own === undefined) return
  const { listenPort, targetHost } = forward
  throw new Failure(
    `the inherited socket on ${hostAndPort(own, listenPort)} takes the address of the target ` +
      `${hostAndPort(targetHost, listenPort)}; let ListenStream= name this machine’s other addresses, one by one`,
    exitCode.configuration,
  )
}

/** Not one place could be bound. */
export class CannotListen extends Failure {
  /** The system's. The starter reads it: a want of descriptors is no fault of the forward. */
  readonly code: string | undefined
  readonly holder: ProcessSummary | undefined
  /** The message without the holder, for a starter, which gets that one as data. */
  readonly reason: string

  constructor(
    what: string,
    cure: string,
    exitCode: number,
    code: string | undefined,
    holder: ProcessSummary | undefined,
  ) {
    super(`${what}${holder === undefined ? '' : ` by ${describeProcess(holder)}`}; ${cure}`, exitCode)
    this.code = code
    this.holder = holder
    this.reason = `${what}; ${cure}`
  }
}

async function addressesOf(host: string): Promise<string[]> {
  if (isIP(withoutZone(host)) !== 0) return [host]
  try {
    const { lookup } = await import('node:dns/promises')
    return (await lookup(host, { all: true })).map(({ address }) => address)
  } catch {
    // A name that cannot be resolved yet may be later; every dial is checked again.
    return []
  }
}

/**
 * Not one place could be bound.
 * @throws Failure that names the holder of the port, or the other reason; with the code of the system where there is one. None when no
 *   bind was tried: this machine has no address yet.
 */
export async function refuseIfTaken(forwarder: Forwarder): Promise<void> {
  const [first] = forwarder.bindErrors()
  if (first === undefined) return
  const { listenPort } = forwarder.options
  const isTaken = forwarder.bindErrors().some(({ error }) => error.code === 'EADDRINUSE')
  const holder = isTaken ? await identifyPortHolder(listenPort, first.place, true) : undefined
  const cure = isTaken
    ? 'stop that process, make it listen on loopback only, or choose another port for this forward'
    : 'choose another --bind or port'
  const what = `cannot listen on ${hostAndPort(first.place, listenPort)}: ${failedBindInWords(first)}`
  const code = isTaken ? exitCode.unavailable : exitCode.configuration
  throw new CannotListen(what, cure, code, first.error.code, holder)
}
