import { lookup } from 'node:dns'
import { connect, isIP, type Socket } from 'node:net'
import { errorCode, errorText } from '../os/failure.ts'
import { hostAndPort, withoutZone } from '../os/interfaces.ts'
import { isLoopbackHost, loopbackAddresses } from './listen-plan.ts'

/** A connected target, not read from yet. */
export interface Dialled {
  readonly socket: Socket
  readonly address: string
}

export type DialFailureReason = 'target-refused' | 'target-timeout' | 'target-error' | 'self-dial'

export interface DialFailure {
  readonly reason: DialFailureReason
  /** What happened at each address, in words. */
  readonly message: string
}

export interface DialTarget {
  readonly host: string
  readonly port: number
  /** Also try the other loopback address when `host` is one of them. */
  readonly bothLoopbacks: boolean
  /** Over all addresses. 0 = as long as the kernel tries. */
  readonly timeoutMs: number
  /** True for an address that must not be dialled because it is a listener of this very forward. */
  readonly isOwnListener: (address: string) => boolean
}

/** The outcome is told once: a connected socket, or why there is none. */
export type DialOutcome = (
  ...outcome: [failure: DialFailure, dialled: undefined] | [failure: undefined, dialled: Dialled]
) => void

/**
 * ms after which the next address is tried while the one before is still silent, RFC 8305 (Happy Eyeballs) section 5. Earlier
 * attempts go on; the first to answer wins.
 */
const nextAddressAfterMs = 250

/**
 * Connects to the target over all its addresses.
 * @returns a function that gives up: the outcome is then never told.
 */
export function dial(target: DialTarget, outcome: DialOutcome): () => void {
  let cancelled = false
  let cancelRace = () => {
    cancelled = true
  }
  resolveTarget(target, (error, addresses) => {
    if (cancelled) return
    if (error !== undefined) return outcome({ reason: 'target-error', message: error }, undefined)
    const foreign = addresses.filter((address) => !target.isOwnListener(address))
    if (foreign.length === 0) return outcome(selfDial(target, addresses), undefined)
    cancelRace = race(target, foreign, outcome)
  })
  return () => cancelRace()
}

function selfDial({ port }: DialTarget, addresses: readonly string[]): DialFailure {
  const where = addresses.map((address) => hostAndPort(address, port)).join(', ')
  return { reason: 'self-dial', message: `${where} is this forward itself; give another target or --bind` }
}

type Resolved = (error: string | undefined, addresses: readonly string[]) => void

function resolveTarget({ host, bothLoopbacks }: DialTarget, done: Resolved): void {
  if (isLoopbackHost(host)) return done(undefined, loopbacksFor(host, bothLoopbacks))
  if (isIP(withoutZone(host)) !== 0) return done(undefined, [host])
  lookup(host, { all: true, verbatim: true }, (error, found) => {
    if (error !== null) return done(`the name ${host} cannot be resolved (${error.code})`, [])
    done(undefined, interleaveFamilies(found.map(({ address }) => address)))
  })
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

/** Attempts run into each other's heels; one timer serves both the next address and the whole timeout. */
function race(target: DialTarget, addresses: readonly string[], outcome: DialOutcome): () => void {
  const attempts = new Set<Socket>()
  const failures: { address: string; error: Error }[] = []
  let next = 0
  let over = false
  let staggerTimer: NodeJS.Timeout | undefined
  const finish = () => {
    over = true
    clearTimeout(staggerTimer)
    clearTimeout(deadline)
    for (const socket of attempts) socket.destroy()
  }
  const fail = (reason: DialFailureReason, message: string) => {
    finish()
    outcome({ reason, message }, undefined)
  }
  const deadline =
    target.timeoutMs > 0
      ? setTimeout(() => fail('target-timeout', timeoutText(target, addresses)), target.timeoutMs)
      : undefined

  const attemptNext = () => {
    clearTimeout(staggerTimer)
    const address = addresses[next++]
    if (address === undefined) {
      if (attempts.size === 0) fail(reasonOf(failures), failureText(target, failures))
      return
    }
    const socket = connect({
      host: address,
      port: target.port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      autoSelectFamily: false,
    })
    attempts.add(socket)
    const failed = (error: Error) => {
      attempts.delete(socket)
      socket.on('error', () => {})
      socket.destroy()
      failures.push({ address, error })
      if (!over) attemptNext()
    }
    socket.once('error', failed)
    socket.once('connect', () => {
      if (over) return
      if (isSelfConnected(socket)) return failed(selfConnectedError(target))
      socket.removeListener('error', failed)
      attempts.delete(socket)
      finish()
      outcome(undefined, { socket, address })
    })
    if (next < addresses.length) staggerTimer = setTimeout(attemptNext, nextAddressAfterMs)
  }
  attemptNext()
  return finish
}

/**
 * A connect to a free port of the ephemeral range can meet its own source port: the kernel then connects the socket with itself
 * although nobody listens there (TCP simultaneous open, RFC 9293 section 3.5).
 */
function isSelfConnected({ localPort, remotePort, localAddress, remoteAddress }: Socket): boolean {
  return localPort === remotePort && localAddress === remoteAddress
}

function selfConnectedError({ port }: DialTarget): Error {
  return Object.assign(new Error(`nobody listens on port ${port}: the socket met itself`), {
    code: 'ECONNREFUSED',
  })
}

function reasonOf(failures: readonly { error: Error }[]): DialFailureReason {
  const codes = failures.map(({ error }) => errorCode(error))
  if (codes.every((code) => code === 'ECONNREFUSED')) return 'target-refused'
  return codes.includes('ETIMEDOUT') ? 'target-timeout' : 'target-error'
}

function failureText({ port }: DialTarget, failures: readonly { address: string; error: Error }[]): string {
  return failures
    .map(({ address, error }) => `${hostAndPort(address, port)} ${reasonInWords(error)}`)
    .join(', ')
}

function timeoutText({ port, timeoutMs }: DialTarget, addresses: readonly string[]): string {
  const where = addresses.map((address) => hostAndPort(address, port)).join(', ')
  return `${where} did not answer within ${timeoutMs / 1000} s`
}

const inWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused: nothing listens there',
  ECONNRESET: 'reset the connection',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached: no route to that network',
  ETIMEDOUT: 'did not answer',
  EADDRNOTAVAIL: 'cannot be dialled: that address family is not there',
  EMFILE: 'was not dialled: this process has no descriptor left',
}

function reasonInWords(error: Error): string {
  return inWords[errorCode(error) ?? ''] ?? `failed: ${errorText(error)}`
}
