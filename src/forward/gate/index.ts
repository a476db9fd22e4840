import type { ForwardOptions } from '../../config/forward-options.ts'
import type { PreparedOutcome } from '../dialer.ts'
import { Gate } from './gate.ts'
import { GateGroup, type Scheme } from './group.ts'
import type { GateSecrets } from './secrets.ts'

export { Gate } from './gate.ts'
export { GateGroup } from './group.ts'
export { type GateSecrets, loadSecrets } from './secrets.ts'

/** A gate for one forward, known to the other gates of the state directory from now on. */
export function openGate(
  options: ForwardOptions,
  secrets: GateSecrets,
  stateDirectory: string,
  dial: (outcome: PreparedOutcome) => unknown,
): Gate {
  const { listenPort, targetHost, targetPort, gateHost, gateSessionMs } = options
  const member = {
    listenPort,
    scheme: schemeOf(options.tlsCert !== '' || options.tlsSelfSigned),
    targetHost,
    targetPort,
    targetScheme: schemeOf(options.targetTls),
  }
  const group = new GateGroup(stateDirectory, secrets.cookieName, member)
  group.join()
  return new Gate({
    member,
    group,
    secrets,
    hosts: gateHost,
    sessionMs: gateSessionMs,
    connect: (done) =>
      dial((failure, socket) =>
        socket === undefined ? done(new Error(failure.message), undefined) : done(undefined, socket),
      ),
  })
}

function schemeOf(isTls: boolean): Scheme {
  return isTls ? 'https' : 'http'
}
