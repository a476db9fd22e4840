import { type StartFailure, startFailureInWords } from '../../process/start.ts'
import type { Fault, Vocabulary } from '../../watch/unit.ts'

/** What can be wrong with the gateway. */
export type GatewayFault =
  /** Its process, dead or faulty. */
  | { readonly code: 'not-running' | 'zombie' }
  | { readonly code: 'stopped' | 'control-silent' | 'control-absent'; readonly pid: number }
  /** A client that found none has started one, which leaves its place to ours. */
  | { readonly code: 'run-by-client'; readonly pid: number }
  /** Its PID file, which counts for nothing. */
  | { readonly code: 'pid-file-invalid'; readonly why: string }
  | { readonly code: 'pid-gone' | 'pid-zombie' | 'pid-reused'; readonly pid: number }
  /** A process that may be the gateway. */
  | { readonly code: 'silent-and-unnamed' }
  | { readonly code: 'identity-unproven'; readonly pid: number }
  /** A start that came to nothing. */
  | { readonly code: 'start-failed'; readonly failure: StartFailure }

/** The words for the gateway in logs, alerts and the journal. @param port of its HTTP; undefined = it serves none. */
export function gatewayVocabulary(port: number | undefined): Vocabulary {
  return {
    process: 'gateway',
    work: 'calls',
    ...(port === undefined ? {} : { place: { kind: 'port', name: String(port) } }),
    fault: (fault: Fault) => faultInWords(fault as GatewayFault),
  }
}

function faultInWords(fault: GatewayFault): string {
  switch (fault.code) {
    case 'not-running':
      return 'is not running'
    case 'zombie':
      return 'has ended and waits for its parent (zombie)'
    case 'stopped':
      return `is stopped (SIGSTOP) as PID ${fault.pid}`
    case 'control-silent':
      return `hangs: PID ${fault.pid} does not answer`
    case 'control-absent':
      return `cannot be asked: PID ${fault.pid} has lost its control socket`
    case 'run-by-client':
      return `is run by a client as PID ${fault.pid}, which leaves its place to the one that is started`
    case 'pid-file-invalid':
      return fault.why
    case 'pid-gone':
      return `PID ${fault.pid} is gone`
    case 'pid-zombie':
      return `PID ${fault.pid} is a zombie`
    case 'pid-reused':
      return `PID ${fault.pid} is another process now`
    case 'silent-and-unnamed':
      return 'its control socket is held but does not answer, and there is no PID file to say which process holds it'
    case 'identity-unproven':
      return `PID ${fault.pid} may be the gateway, but its identity cannot be verified`
    case 'start-failed':
      return startFailureInWords(fault.failure)
  }
}
