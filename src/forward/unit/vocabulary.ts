import type { ForwardOptions } from '../../config/forward-options.ts'
import { hostAndPort } from '../../os/interfaces.ts'
import type { ForwarderHealth } from '../../record/shapes/forwarder-health.ts'
import { type ProcessFault, processFaultInWords } from '../../watch/own-process.ts'
import type { Fault, Vocabulary } from '../../watch/unit.ts'

/** What can be wrong with a forward. */
export type ForwardFault =
  | ProcessFault
  /** Its listener. */
  | { readonly code: 'listener-refuses' | 'listener-silent' }
  | { readonly code: 'not-listening'; readonly failed: ForwarderHealth['listen']['failed'] }
  /** It finishes its connections, and its port is free for the next process. */
  | { readonly code: 'ended-by-signal'; readonly pid: number; readonly connections: number }
  /** Its PID file, which counts for nothing. */
  | { readonly code: 'pid-file-names-another'; readonly pid: number; readonly forwarder: number }
  | { readonly code: 'control-given-up'; readonly pid: number; readonly isElsewhere: boolean }
  /** A process that may be a forwarder. */
  | { readonly code: 'stopped-unproven' | 'identity-unproven'; readonly pid: number }
  | { readonly code: 'control-held'; readonly pid: number; readonly isElsewhere: boolean }
  | { readonly code: 'faulty-elsewhere'; readonly pid: number; readonly fault: ForwardFault }
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
    case 'listener-refuses':
      return 'refuses connections on its own address'
    case 'listener-silent':
      return 'does not accept connections'
    case 'not-listening':
      return `listens on no address (${fault.failed.map(({ address, error }) => `${address}: ${error}`).join(', ')})`
    case 'ended-by-signal':
      return `takes no more connections: PID ${fault.pid} was ended by a signal and finishes ${fault.connections} of them`
    case 'pid-file-names-another':
      return `it names PID ${fault.pid}, the forwarder is PID ${fault.forwarder}`
    case 'control-given-up':
      return `${named(fault)} does not hold its control socket any more`
    case 'stopped-unproven':
      return `PID ${fault.pid} is stopped and nothing proves that it is ours`
    case 'identity-unproven':
      return `PID ${fault.pid} may be a forwarder, but its identity cannot be verified`
    case 'control-held':
      return `${named(fault)} holds its control socket and does not answer`
    case 'faulty-elsewhere':
      return `PID ${fault.pid} of another PID namespace holds its control socket and ${faultInWords(fault.fault)}`
    case 'not-handed-over':
      return `the forwarder that serves its port does not hand over: ${fault.why}`
    default:
      return processFaultInWords(fault)
  }
}

function named({ pid, isElsewhere }: { readonly pid: number; readonly isElsewhere: boolean }): string {
  return isElsewhere ? `PID ${pid} of another PID namespace` : `PID ${pid}`
}
