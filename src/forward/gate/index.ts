import type { ForwardOptions } from '../../config/forward-options.ts'
import type { PreparedOutcome } from '../dial/dialer.ts'
import { Gate } from './gate.ts'
import type { GateEvent } from './gate-events.ts'
import { GateGroup, type Scheme } from './group.ts'
import type { GateSecrets } from './secrets.ts'
import { DialError } from './target-failure.ts'

export { Gate } from './gate.ts'
export { GateGroup } from './group.ts'
export { type GateSecrets, loadSecrets } from './secrets.ts'

/**
 * A gate for one forward.
 * @param place of the gates that share its login; a member is known to the others from now on.
 */
export function openGate(
  options: ForwardOptions,
  secrets: GateSecrets,
  place: { readonly stateDirectory: string; readonly isMember: boolean },
  dial: (outcome: PreparedOutcome) => unknown,
  tell: (event: GateEvent) => void,
): Gate {
  const { listenPort, targetHost, targetPort, gateHost, gateSessionMs, idleTimeoutMs } = options
  const member = {
    listenPort,
    scheme: schemeOf(options.tlsCert !== '' || options.tlsSelfSigned),
    targetHost,
    targetPort,
    targetScheme: schemeOf(options.targetTls),
  }
  const group = new GateGroup(place.stateDirectory, secrets.cookieName, member)
  if (place.isMember) group.join()
  return new Gate({
    member,
    group,
    secrets,
    hosts: gateHost,
    sessionMs: gateSessionMs,
    tell,
    limits: { idleMs: idleTimeoutMs },
    connect: (done) =>
      dial((failure, socket) =>
        socket === undefined
          ? done(new DialError(failure.reason, failure.message), undefined)
          : done(undefined, socket),
      ),
  })
}

function schemeOf(isTls: boolean): Scheme {
  return isTls ? 'https' : 'http'
}
