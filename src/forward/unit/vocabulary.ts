import type { ForwardOptions } from '../../config/forward-options.ts'
import { hostAndPort } from '../../os/interfaces.ts'
import { type StartFailure, startFailureInWords } from '../../process/start.ts'
import type { ForwarderHealth } from '../../record/shapes/forwarder-health.ts'
import type { Fault, Vocabulary } from '../../watch/unit.ts'

/** What can be wrong with a forward. */
export type ForwardFault =
  /** Its process, dead or faulty. */
  | { readonly code: 'not-running' | 'zombie' | 'listener-refuses' | 'listener-silent' }
  | { readonly code: 'not-listening'; readonly failed: ForwarderHealth['listen']['failed'] }
  | { readonly code: 'stopped' | 'control-silent' | 'control-absent'; readonly pid: number }
  /** It finishes its connections, and its port is free for the next process. */
  | { readonly code: 'ended-by-signal'; readonly pid: number; readonly connections: number }
  /** Its PID file, which counts for nothing. */
  | { readonly code: 'pid-file-invalid'; readonly why: string }
  | { readonly code: 'pid-file-names-another'; readonly pid: number; readonly forwarder: number }
  | { readonly code: 'pid-gone' | 'pid-zombie' | 'pid-reused'; readonly pid: number }
  | { readonly code: 'control-given-up'; readonly pid: number; readonly isElsewhere: boolean }
  /** A process that may be a forwarder. */
  | { readonly code: 'silent-and-unnamed' }
  | { readonly code: 'stopped-unproven' | 'identity-unproven'; readonly pid: number }
  | { readonly code: 'control-held'; readonly pid: number; readonly isElsewhere: boolean }
  | { readonly code: 'faulty-elsewhere'; readonly pid: number; readonly fault: ForwardFault }
  /** A start that came to nothing. */
  | { readonly code: 'start-failed'; readonly failure: StartFailure }
  | { readonly code: 'not-handed-over'; readonly why: string }

/** The words for a forward in logs, alerts and the journal. */
export function forwardVocabulary({
  listenPort,
  targetHost,
  targetPort,
}: Pick<ForwardOptions, 'listenPort' | 'targetHost' | 'targetPort'>): Vocabulary {
  return {
    process: 'forwarder',
    work: 'connections',
    place: { kind: 'port', name: String(listenPort) },
    dependency: { kind: 'target', name: hostAndPort(targetHost, targetPort) },
    fault: (fault: Fault) => faultInWords(fault as ForwardFault),
  }
}

function faultInWords(fault: ForwardFault): string {
  switch (fault.code) {
    case 'not-running':
      return 'is not running'
    case 'zombie':
      return 'has ended and waits for its parent (zombie)'
    case 'listener-refuses':
      return 'refuses connections on its own address'
    case 'listener-silent':
      return 'does not accept connections'
    case 'not-listening':
      return `listens on no address (${fault.failed.map(({ address, error }) => `${address}: ${error}`).join(', ')})`
    case 'stopped':
      return `is stopped (SIGSTOP) as PID ${fault.pid}`
    case 'control-silent':
      return `hangs: PID ${fault.pid} does not answer`
    case 'control-absent':
      return `cannot be asked: PID ${fault.pid} has lost its control socket`
    case 'ended-by-signal':
      return `takes no more connections: PID ${fault.pid} was ended by a signal and finishes ${fault.connections} of them`
    case 'pid-file-invalid':
      return fault.why
    case 'pid-file-names-another':
      return `it names PID ${fault.pid}, the forwarder is PID ${fault.forwarder}`
    case 'pid-gone':
      return `PID ${fault.pid} is gone`
    case 'pid-zombie':
      return `PID ${fault.pid} is a zombie`
    case 'pid-reused':
      return `PID ${fault.pid} is another process now`
    case 'control-given-up':
      return `${named(fault)} does not hold its control socket any more`
    case 'silent-and-unnamed':
      return 'its control socket is held but does not answer, and there is no PID file to say which process holds it'
    case 'stopped-unproven':
      return `PID ${fault.pid} is stopped and nothing proves that it is ours`
    case 'identity-unproven':
      return `PID ${fault.pid} may be a forwarder, but its identity cannot be verified`
    case 'control-held':
      return `${named(fault)} holds its control socket and does not answer`
    case 'faulty-elsewhere':
      return `PID ${fault.pid} of another PID namespace holds its control socket and ${faultInWords(fault.fault)}`
    case 'start-failed':
      return startFailureInWords(fault.failure)
    case 'not-handed-over':
      return `the forwarder that serves its port does not hand over: ${fault.why}`
  }
}

function named({ pid, isElsewhere }: { readonly pid: number; readonly isElsewhere: boolean }): string {
  return isElsewhere ? `PID ${pid} of another PID namespace` : `PID ${pid}`
}
