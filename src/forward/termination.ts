import type { RefusalReason } from '../record/shapes/forwarder-health.ts'
import type { ConnectionPhase } from './connection-state.ts'
import type { RelayEnd } from './relay/relay.ts'
import type { StepFailure } from './steps/steps.ts'

/** Why a connection ended: everything its last line in a log is made of. */
export type EndCause =
  | { readonly kind: 'relayed'; readonly end: RelayEnd }
  /** The gate has spoken with the client, and one of them has closed. */
  | { readonly kind: 'served' }
  /** Turned away by this forwarder, or for want of a target. */
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly message: string }
  | { readonly kind: 'step-failed'; readonly failure: StepFailure }
  /** The client reset the connection before there was a target. */
  | { readonly kind: 'client-left'; readonly phase: EarlyPhase }
  /** Ended by us: an order, the end of the drain time, or of the time it may live. */
  | { readonly kind: 'stopped'; readonly by: StopReason; readonly phase: EarlyPhase | 'relaying' }

export type StopReason = 'kill' | 'shutdown' | 'life'
type EarlyPhase = Exclude<ConnectionPhase, 'relaying' | 'ended'>

/**
 * How a connection ended, in the two letters of HAProxy's logs (configuration manual, section 8.5). First who or what ended it:
 *
 *   -  it finished           C  the client           S  the target            P  a rule of this forwarder
 *   R  lack of a resource    I  a self-check         K  an order              L  this forwarder's own end
 *   c  a time limit of the client's, s the target's, t the connection's
 *
 * then what was going on:
 *
 *   R  waiting for the client, before the target was dialled (admission, PROXY header, TLS, first byte)
 *   C  dialling the target   H  preparing the target (TLS, PROXY header)
 *   D  bytes both ways       L  one side had finished    -  everything was over
 */
export interface Termination {
  readonly code: string
  /** The same in plain words. */
  readonly words: string
}

export function terminationOf(cause: EndCause): Termination {
  switch (cause.kind) {
    case 'relayed':
      return ofRelay(cause.end)
    case 'served':
      return { code: '--', words: 'the gate and the client finished' }
    case 'refused':
      return { code: refusalCodes[cause.reason], words: cause.message }
    case 'step-failed':
      return ofStep(cause.failure)
    case 'client-left':
      return {
        code: `C${phaseLetters[cause.phase]}`,
        words: 'the client reset the connection before there was a target to talk to',
      }
    case 'stopped':
      return { code: stopLetters[cause.by] + phaseLetters[cause.phase], words: stopWords[cause.by] }
  }
}

const refusalCodes: Readonly<Record<RefusalReason, string>> = {
  admission: 'PR',
  'not-a-proxy': 'PR',
  'max-connections': 'PC',
  'max-connections-per-source': 'PC',
  'max-rate-per-source': 'PC',
  descriptors: 'RC',
  'source-ports': 'RC',
  memory: 'RC',
  resolver: 'RC',
  'no-route': 'RC',
  'target-not-ready': 'SC',
  'target-refused': 'SC',
  'target-timeout': 'sC',
  'target-error': 'SC',
  'self-dial': 'IC',
}

const stopLetters: Readonly<Record<StopReason, string>> = { kill: 'K', shutdown: 'L', life: 't' }

const phaseLetters: Readonly<Record<Exclude<ConnectionPhase, 'ended'>, string>> = {
  accepted: 'R',
  'client-steps': 'R',
  dialling: 'C',
  'target-steps': 'H',
  relaying: 'D',
  served: 'D',
}

const stopWords: Readonly<Record<StopReason, string>> = {
  kill: 'ended by order',
  shutdown: 'ended with the forwarder',
  life: 'lived as long as it may',
}

function ofRelay(end: RelayEnd): Termination {
  const who = end.side === 'client' ? 'client' : 'target'
  switch (end.cause) {
    case 'finished':
      return { code: '--', words: 'both sides finished' }
    case 'reset':
      return { code: `${end.side === 'client' ? 'C' : 'S'}D`, words: `the ${who} reset the connection` }
    case 'error': {
      const what = end.error?.message ?? 'an unknown error'
      return { code: `${end.side === 'client' ? 'C' : 'S'}D`, words: `the ${who} failed: ${what}` }
    }
    case 'idle-timeout':
      return { code: 'cD', words: 'silent for longer than the idle timeout' }
    case 'half-close-timeout':
      return {
        code: `${end.side === 'client' ? 'c' : 's'}L`,
        words: `the ${who} stayed silent after the other side had finished`,
      }
    case 'stopped':
      return { code: 'LD', words: stopWords.shutdown }
  }
}

function ofStep({ reason, step, message }: StepFailure): Termination {
  const phase = step.side === 'client' ? 'R' : 'H'
  const letters = step.side === 'client' ? { timeout: 'c', gone: 'C' } : { timeout: 's', gone: 'S' }
  const first = reason === 'refused' ? 'P' : letters[reason]
  return { code: first + phase, words: `${step.name}: ${message}` }
}
