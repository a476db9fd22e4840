import { errorCode, errorText } from '../../os/failure.ts'
import { hostAndPort, withoutZone } from '../../os/interfaces.ts'
import { isIP } from '../../os/ip-address.ts'
import { isLoopbackHost, loopbackAddresses } from '../listen/listen-plan.ts'
import { type Connected, type ConnectFailure, type ConnectRace, raceToConnect } from './connect-race.ts'
import type { NameCache } from './name-cache.ts'

export type DialFailureReason =
  | 'target-refused'
  | 'target-timeout'
  | 'target-error'
  | 'self-dial'
  | 'descriptors'

export interface DialFailure {
  readonly reason: DialFailureReason
  /** What happened at each address, in words. */
  readonly message: string
}

export interface DialTarget {
  /** Host name, IP address or `unix:/path`. */
  readonly host: string
  readonly port: number
  /** Also try the other loopback address when `host` is one of them. */
  readonly bothLoopbacks: boolean
  /** True for an address that must not be dialled because it is a listener of this very forward. */
  readonly isOwnListener: (address: string) => boolean
}

/** The outcome of one dial, told once: a connected socket, or why there is none. */
export type TargetDialled = (
  ...outcome: [failure: DialFailure, connected: undefined] | [failure: undefined, connected: Connected]
) => void

/**
 * Connects to one target over all its addresses. The outcome may be told within this call.
 * @param timeoutMs for names and addresses together. Infinity = as long as resolver and kernel try.
 * @param onSlow told once when it takes longer than a connect should.
 * @returns a function that gives up: the outcome is then never told.
 */
export function dialTarget(
  target: DialTarget,
  names: NameCache,
  timeoutMs: number,
  onSlow: () => void,
  outcome: TargetDialled,
): () => void {
  let giveUp: (() => void) | undefined
  let over = false

  const connect = (addresses: readonly string[], left: number) => {
    const foreign = addresses.filter((address) => !target.isOwnListener(address))
    if (foreign.length === 0) return outcome(selfDial(target, addresses), undefined)
    const race: ConnectRace = { addresses: foreign, port: target.port, timeoutMs: left, onSlow }
    giveUp = raceToConnect(race, (failures, connected) => {
      if (connected !== undefined) outcome(undefined, connected)
      else outcome(connectFailure(target, foreign, failures, timeoutMs), undefined)
    })
  }

  const literal = literalAddresses(target)
  if (literal !== undefined) {
    connect(literal, timeoutMs)
    return () => giveUp?.()
  }
  const { host } = target
  const startedAt = performance.now()
  const deadline = Number.isFinite(timeoutMs) ? setTimeout(unresolved, timeoutMs) : undefined
  function unresolved(): void {
    over = true
    const message = `${host} was not resolved within ${timeoutMs / 1000} s`
    outcome({ reason: 'target-timeout', message }, undefined)
  }
  names.resolve(host, (problem, addresses) => {
    if (over) return
    clearTimeout(deadline)
    if (problem !== undefined) outcome({ reason: 'target-error', message: problem }, undefined)
    else connect(interleaveFamilies(addresses), timeoutMs - (performance.now() - startedAt))
  })
  return () => {
    over = true
    clearTimeout(deadline)
    giveUp?.()
  }
}

/** The addresses of a target that needs no resolver. */
function literalAddresses({ host, bothLoopbacks }: DialTarget): readonly string[] | undefined {
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

function selfDial({ port }: DialTarget, addresses: readonly string[]): DialFailure {
  const where = addresses.map((address) => hostAndPort(address, port)).join(', ')
  return { reason: 'self-dial', message: `${where} is this forward itself; give another target or --bind` }
}

/** @param failures of every address, or none when time was up. */
function connectFailure(
  { port }: DialTarget,
  addresses: readonly string[],
  failures: readonly ConnectFailure[],
  timeoutMs: number,
): DialFailure {
  if (failures.length < addresses.length) {
    const where = addresses.map((address) => hostAndPort(address, port)).join(', ')
    return { reason: 'target-timeout', message: `${where} did not answer within ${seconds(timeoutMs)} s` }
  }
  const message = failures
    .map(({ address, error }) => `${hostAndPort(address, port)} ${reasonInWords(error)}`)
    .join(', ')
  return { reason: reasonOf(failures), message }
}

const seconds = (ms: number) => Math.round(ms) / 1000

/** What a program that is being restarted answers: TCP refuses, a Unix socket is not there or nobody listens on it. */
const refusals = ['ECONNREFUSED', 'ENOENT']

function reasonOf(failures: readonly ConnectFailure[]): DialFailureReason {
  const codes = failures.map(({ error }) => errorCode(error) ?? '')
  if (codes.every((code) => refusals.includes(code))) return 'target-refused'
  if (codes.some((code) => code === 'EMFILE' || code === 'ENFILE')) return 'descriptors'
  return codes.includes('ETIMEDOUT') ? 'target-timeout' : 'target-error'
}

const inWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused: nothing listens there',
  ECONNRESET: 'reset the connection',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached: no route to that network',
  ETIMEDOUT: 'did not answer',
  EADDRNOTAVAIL: 'cannot be dialled: no address or source port of that family is free',
  ENOENT: 'is not there',
  EACCES: 'may not be dialled by this user',
  EAGAIN: 'is too busy to accept',
  EMFILE: 'was not dialled: this process has no descriptor left',
  ENFILE: 'was not dialled: this machine has no descriptor left',
}

function reasonInWords(error: Error): string {
  return inWords[errorCode(error) ?? ''] ?? `failed: ${errorText(error)}`
}
