import { errorCode, errorText } from '../../os/failure.ts'
import { hostAndPort, machineAddresses } from '../../os/interfaces.ts'
import { isIP } from '../../os/ip-address.ts'
import type { Shortage } from '../../record/shapes/forwarder-health.ts'
import type { ConnectFailure } from './connect-race.ts'

export type DialFailureReason =
  | 'target-not-ready'
  | 'target-refused'
  | 'target-timeout'
  | 'target-error'
  | 'self-dial'
  | 'no-route'
  | Shortage['reason']

/** Whether a dial failed for want of something on this machine: then it says nothing about the target. */
export function isShortage(reason: DialFailureReason): reason is Shortage['reason'] {
  return shortages.has(reason)
}

const shortages: ReadonlySet<string> = new Set<Shortage['reason']>([
  'descriptors',
  'source-ports',
  'memory',
  'resolver',
])

export interface DialFailure {
  readonly reason: DialFailureReason
  /** What happened at each address, in words. */
  readonly message: string
}

/** Why a target could not be connected to at any of its addresses. */
export function connectFailure(port: number, failures: readonly ConnectFailure[]): DialFailure {
  const kinds = failures.map((failure) => kindOf(failure))
  const message = failures
    .map((failure, index) => inWords(failure, kinds[index] ?? 'other', hostAndPort(failure.address, port)))
    .join(', ')
  return { reason: reasonOf(kinds), message }
}

/**
 * What a failed connect tells, and of whom.
 * - `refused`: of the target, which is not there.
 * - `silent`, `other`: of the target or the way to it.
 * - `no-route`: of this machine, which has no way to that address; another address of the same target may have one.
 * - the others: of this machine, which lacks something.
 */
type Kind = 'refused' | 'silent' | 'other' | 'no-route' | 'descriptors' | 'source-ports' | 'memory'

/** What a program that is being restarted answers: TCP refuses, a Unix socket is not there or nobody listens on it. */
const kinds: Readonly<Record<string, Kind>> = {
  ECONNREFUSED: 'refused',
  ENOENT: 'refused',
  ETIMEDOUT: 'silent',
  EMFILE: 'descriptors',
  ENFILE: 'descriptors',
  ENOBUFS: 'memory',
  ENOMEM: 'memory',
  ENETUNREACH: 'no-route',
  ENETDOWN: 'no-route',
  EAFNOSUPPORT: 'no-route',
}

function kindOf({ address, error, isLocal }: ConnectFailure): Kind {
  const code = errorCode(error) ?? ''
  // Of a Unix socket EAGAIN means that the target's queue is full.
  if (code === 'EADDRNOTAVAIL' || (code === 'EAGAIN' && isIP(address) !== 0)) {
    return hasFamilyOf(address) ? 'source-ports' : 'no-route'
  }
  // Later it comes from a router, or because nobody has the address.
  if (code === 'EHOSTUNREACH' && isLocal) return 'no-route'
  return kinds[code] ?? 'other'
}

/** A container without IPv6 has not even ::1: that says nothing about ports. */
function hasFamilyOf(address: string): boolean {
  const family = isIP(address.split('%')[0] ?? '')
  return machineAddresses().some((own) => own.family === family)
}

/** An address without a route counts only when no other address tells more. */
function reasonOf(kinds: readonly Kind[]): DialFailureReason {
  const told = kinds.filter((kind) => kind !== 'no-route')
  if (told.length === 0) return 'no-route'
  const shortage = told.find((kind) => kind === 'descriptors' || kind === 'source-ports' || kind === 'memory')
  if (shortage !== undefined) return shortage
  if (told.every((kind) => kind === 'refused')) return 'target-refused'
  return told.includes('silent') ? 'target-timeout' : 'target-error'
}

function inWords({ address, error }: ConnectFailure, kind: Kind, place: string): string {
  const code = errorCode(error) ?? ''
  switch (kind) {
    case 'source-ports':
      return `this machine has no free source port towards ${place}: raise net.ipv4.ip_local_port_range, or close connections`
    case 'memory':
      return `this machine’s kernel has no memory for a connection to ${place} (${code})`
    case 'descriptors':
      return code === 'EMFILE'
        ? `${place} was not dialled: this process has no descriptor left; raise its limit (ulimit -n)`
        : `${place} was not dialled: this machine has no descriptor left; raise fs.file-max`
    case 'no-route':
      return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT'
        ? `this machine has no address to reach ${place} from`
        : `this machine has no route to ${address}`
    default:
      return `${place} ${words[code] ?? `failed: ${errorText(error)}`}`
  }
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused: nothing listens there',
  ECONNRESET: 'reset the connection',
  EHOSTUNREACH: 'cannot be reached',
  ETIMEDOUT: 'did not answer',
  ENOENT: 'is not there',
  EACCES: 'may not be dialled by this user',
  EPERM: 'was not dialled: a packet filter of this machine forbids it',
  EAGAIN: 'is too busy to accept',
}
