import { hostAndPort, withoutZone } from '../../os/interfaces.ts'
import { isIP } from '../../os/ip-address.ts'
import { isLoopbackHost, loopbackAddresses } from '../listen/listen-plan.ts'
import {
  type Connected,
  type ConnectFailure,
  ConnectRace,
  type RaceListener,
  type Span,
} from './connect-race.ts'
import { addWaiter, removeWaiter, type Waiter } from './deadlines.ts'
import { connectFailure, type DialFailure } from './dial-failure.ts'
import type { NameCache } from './name-cache.ts'

export interface DialTarget {
  /** Host name, IP address or `unix:/path`. */
  readonly host: string
  readonly port: number
  /** Of a target that needs no resolver; see {@link literalAddresses}. */
  readonly literal: readonly string[] | undefined
  /** True for an address that must not be dialled because it is a listener of this very forward. */
  readonly isOwnListener: (address: string) => boolean
}

/** What comes of a dial. Its end is told once, and perhaps within the call that begins. */
export interface TargetDialListener {
  /** Told at most once, before the end, when it takes longer than a connect should. */
  slow(): void
  connected(connected: Connected): void
  failed(failure: DialFailure): void
}

/** Connects to one target over all its addresses. */
export class TargetDial implements RaceListener, Waiter {
  listedBefore: Waiter | undefined
  listedAfter: Waiter | undefined
  readonly #target: DialTarget
  readonly #names: NameCache
  readonly #span: Span
  readonly #listener: TargetDialListener
  #addresses: readonly string[] = []
  #race: ConnectRace | undefined
  #isOver = false

  /** @param span for names and addresses together. */
  constructor(target: DialTarget, names: NameCache, span: Span, listener: TargetDialListener) {
    this.#target = target
    this.#names = names
    this.#span = span
    this.#listener = listener
  }

  start(): void {
    const { host, literal } = this.#target
    if (literal === undefined) this.#resolve(host)
    else this.#connect(literal, this.#span)
  }

  /** Ends it: nobody is told anything then. */
  giveUp(): void {
    this.#isOver = true
    removeWaiter(this)
    this.#race?.giveUp()
  }

  slow(): void {
    this.#listener.slow()
  }

  won(connected: Connected): void {
    this.#listener.connected(connected)
  }

  lost(failures: readonly ConnectFailure[]): void {
    if (failures.length >= this.#addresses.length) {
      return this.#listener.failed(connectFailure(this.#target.port, failures))
    }
    const where = this.#addresses.map((address) => hostAndPort(address, this.#target.port)).join(', ')
    const message = `${where} did not answer within ${seconds(this.#span)} s`
    this.#listener.failed({ reason: 'target-timeout', message })
  }

  #resolve(host: string): void {
    addWaiter(this)
    this.#names.resolve(host, (problem, addresses) => {
      if (this.#isOver) return
      removeWaiter(this)
      if (problem !== undefined) this.#listener.failed(problem)
      else this.#connect(interleaveFamilies(addresses), { ...this.#span, from: performance.now() })
    })
  }

  /** Of the time until the name is resolved. */
  get deadline(): number {
    return this.#span.until
  }

  deadlinePassed(): void {
    this.#isOver = true
    removeWaiter(this)
    const message = `${this.#target.host} was not resolved within ${seconds(this.#span)} s`
    this.#listener.failed({ reason: 'resolver', message })
  }

  #connect(addresses: readonly string[], span: Span): void {
    const { port, isOwnListener } = this.#target
    const foreign = addresses.some(isOwnListener)
      ? addresses.filter((address) => !isOwnListener(address))
      : addresses
    if (foreign.length === 0) return this.#listener.failed(selfDial(this.#target, addresses))
    this.#addresses = foreign
    this.#race = new ConnectRace({ addresses: foreign, port, span }, this)
    this.#race.start()
  }
}

/**
 * The addresses of a target that needs no resolver; undefined = it does.
 * @param bothLoopbacks also the other loopback address when `host` is one of them.
 */
export function literalAddresses(host: string, bothLoopbacks: boolean): readonly string[] | undefined {
  if (isLoopbackHost(host)) return loopbacksFor(host, bothLoopbacks)
  if (host.startsWith('unix:') || isIP(withoutZone(host)) !== 0) return [host]
  return undefined
}

function loopbacksFor(host: string, both: boolean): readonly string[] {
  if (isIP(host) === 0) return loopbackAddresses
  return both ? [host, ...loopbackAddresses.filter((other) => other !== host)] : [host]
}

/** Alternates IPv6 and IPv4 beginning with the family that the resolver put first (RFC 8305 section 4). */
export function interleaveFamilies(addresses: readonly string[]): string[] {
  const first = addresses.filter((address) => isIP(address) === isIP(addresses[0] ?? ''))
  const second = addresses.filter((address) => !first.includes(address))
  return first
    .flatMap((address, index) => [address, second[index] ?? []].flat())
    .concat(second.slice(first.length))
}

/** What is wrong with a target all of whose addresses are listeners of its own forward. */
export function selfDial({ port }: DialTarget, addresses: readonly string[]): DialFailure {
  const where = addresses.map((address) => hostAndPort(address, port)).join(', ')
  return { reason: 'self-dial', message: `${where} is this forward itself; give another target or --bind` }
}

const seconds = ({ from, until }: Span) => Math.round(until - from) / 1000
