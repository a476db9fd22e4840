import { type ProcessFault, processFaultInWords } from '../../watch/own-process.ts'
import type { Fault, Vocabulary } from '../../watch/unit.ts'

/** What can be wrong with the gateway. */
export type GatewayFault =
  | ProcessFault
  /** A client that found none has started one, which leaves its place to ours. */
  | { readonly code: 'run-by-client'; readonly pid: number }
  /** A process that may be the gateway. */
  | { readonly code: 'identity-unproven'; readonly pid: number }

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
    case 'run-by-client':
      return `is run by a client as PID ${fault.pid}, which leaves its place to the one that is started`
    case 'identity-unproven':
      return `PID ${fault.pid} may be the gateway, but its identity cannot be verified`
    default:
      return processFaultInWords(fault)
  }
}
