import type { Linked } from '../../control/link.ts'
import { errorCode } from '../../os/failure.ts'
import { judgePidFile, type PidFile } from '../../record/pid-file.ts'
import { type GatewayHealth, gatewayHealth } from '../../record/shapes/gateway-health.ts'
import type { Diagnosis } from '../../watch/unit.ts'
import type { GatewayFault } from './vocabulary.ts'

/** ms that a gateway may take to answer on its control socket; asked twice before it counts as silent. */
const answerWithinMs = 1500

/** What became of the question how it is. `starting`: it holds its socket and is not the gateway yet. */
export type Answered = GatewayHealth | 'starting' | 'silent' | 'absent'

/** Asks the gateway that holds the control socket how it is. */
export async function askGateway(connection: Linked): Promise<Answered> {
  if (typeof connection === 'string') return connection
  for (const _attempt of [1, 2]) {
    try {
      const answer = await connection.request('health', {}, answerWithinMs)
      return answer === null ? 'starting' : (gatewayHealth.read(answer) ?? 'silent')
    } catch (error) {
      if (errorCode(error) === 'ETIMEDOUT') continue
      await connection.closed
      return 'absent'
    }
  }
  return 'silent'
}

/** Says what the answer and the PID file mean. */
export function diagnoseGateway(answered: Answered, file: PidFile): Diagnosis<GatewayFault> {
  if (typeof answered !== 'string') return diagnoseAnswering(answered)
  switch (file.kind) {
    case 'missing':
    case 'unreadable':
      return answered === 'absent'
        ? { condition: 'dead', fault: { code: 'not-running' } }
        : { condition: 'unverifiable', fault: { code: 'silent-and-unnamed' } }
    case 'invalid':
      return {
        condition: 'dead',
        fault: { code: 'not-running' },
        stale: { code: 'pid-file-invalid', why: file.why },
      }
    case 'legacy':
      return { condition: 'dead', fault: { code: 'not-running' }, stale: { code: 'pid-gone', pid: file.pid } }
    case 'identified':
      return diagnoseSilent(answered, file)
  }
}

function diagnoseAnswering(health: GatewayHealth): Diagnosis<GatewayFault> {
  const { identity, uptimeMs, isKept, endedBySignal, first = identity, predecessors } = health
  if (!isKept) return { condition: 'dead', fault: { code: 'run-by-client', pid: identity.pid } }
  const process = { identity, uptimeMs, first, predecessors, supervisor: null } as const
  return { condition: endedBySignal === true ? 'draining' : 'healthy', process }
}

function diagnoseSilent(
  answered: 'starting' | 'silent' | 'absent',
  file: Extract<PidFile, { kind: 'identified' }>,
): Diagnosis<GatewayFault> {
  const { identity } = file
  const { pid } = identity
  const dead = { condition: 'dead', identity } as const
  switch (judgePidFile(file)) {
    case 'zombie':
      return { ...dead, fault: { code: 'zombie' }, stale: { code: 'pid-zombie', pid }, isZombie: true }
    case 'reused':
      return { ...dead, fault: { code: 'not-running' }, stale: { code: 'pid-reused', pid } }
    case 'stopped':
      return { condition: 'faulty', fault: { code: 'stopped', pid }, identity }
    case 'alive':
      return answered === 'absent'
        ? { condition: 'faulty', fault: { code: 'control-absent', pid }, identity }
        : { condition: 'faulty', fault: { code: 'control-silent', pid }, identity }
    case 'unverifiable':
      // A refused control socket proves death in every PID namespace.
      return answered === 'absent'
        ? { ...dead, fault: { code: 'not-running' }, stale: { code: 'pid-gone', pid } }
        : { condition: 'unverifiable', fault: { code: 'identity-unproven', pid } }
    case 'gone':
    case undefined:
      return { ...dead, fault: { code: 'not-running' }, stale: { code: 'pid-gone', pid } }
  }
}
