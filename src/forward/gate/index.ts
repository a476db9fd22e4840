/**
 * gate/: the login in front of a target. Loaded only by a forward that has one.
 *
 *   visitors.ts (connections and their limits) -> reception.ts (who came, by which name) -> web/ (login, session, stranger's page?)
 *   -> headers.ts (rewrites the request) -> exchange.ts over a target-connection.ts, or websocket.ts -> answer.ts (translates the answer)
 *
 * gate.ts says why it is as it is. What a page must be given goes to page-script.ts, what a target must not see to headers.ts.
 */
import type { ForwardOptions } from '../../config/forward-options.ts'
import { targetProgram } from '../../config/values.ts'
import type { Scheme } from '../../web/hosts.ts'
import type { LoginSecrets } from '../../web/login-secrets.ts'
import type { PreparedOutcome } from '../dial/dialer.ts'
import { Gate } from './gate.ts'
import type { GateEvent } from './gate-events.ts'
import { GateGroup } from './group.ts'
import { DialError } from './target-failure.ts'

export { Gate } from './gate.ts'
export { GateGroup } from './group.ts'
export { loadGateSecrets } from './login.ts'

/**
 * A gate for one forward.
 * @param place of the gates that share its login; a member is known to the others from now on.
 */
export function openGate(
  options: ForwardOptions,
  secrets: LoginSecrets,
  place: { readonly stateDirectory: string; readonly isMember: boolean },
  dial: (outcome: PreparedOutcome) => unknown,
  tell: (event: GateEvent) => void,
): Gate {
  const { listenPort, targetHost, targetPort, gateHost, gateSessionMs, idleTimeoutMs } = options
  const member = {
    listenPort,
    scheme: schemeOf(options.tlsCert !== '' || options.tlsSelfSigned),
    targetHost: targetProgram(targetHost) === undefined ? targetHost : 'localhost',
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
