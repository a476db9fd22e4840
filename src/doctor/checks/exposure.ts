import type { ForwardConfiguration } from '../../config/configuration.ts'
import { inspectorPorts } from '../../config/forward-options.ts'
import { planListeners } from '../../forward/listen/listen-plan.ts'
import { isLoopback, machineAddresses } from '../../os/interfaces.ts'
import { type Check, type Finding, note, ok, warning } from '../check.ts'

/** Judges who may reach what through one forward. */
export function judgeExposure({ name, options }: ForwardConfiguration): Finding[] {
  const { addresses } = planListeners(options, machineAddresses())
  const isReachable = addresses.some((address) => !isLoopback(address))
  const findings: Finding[] = []
  const hasTls = options.tlsCert !== '' || options.tlsSelfSigned
  const hasLogin = options.gate !== '' || options.tlsClientCa !== ''
  const isOpenToAll = options.allow.some(
    (network) => network === 'any' || /^(?:0\.0\.0\.0|::)\/0$/.test(network),
  )
  if (isReachable && !hasLogin && (options.inspector || inspectorPorts.has(options.targetPort))) {
    findings.push(
      warning(
        'inspector-exposed',
        `${name}: anybody in ${isOpenToAll ? 'every network' : 'the admitted networks'} can start programs on this machine through the MCP Inspector`,
        'put a login in front of it: gate: token in the configuration file, or without one proxy-monitor --gate token',
      ),
    )
  } else if (isReachable && !hasLogin && isOpenToAll) {
    findings.push(
      warning(
        'open-to-all',
        `${name}: every address may connect, without a login`,
        'name the networks in allow, or add gate: token',
      ),
    )
  }
  if (isReachable && options.gate !== '' && !hasTls) {
    findings.push(
      note(
        'token-in-plain-text',
        `${name}: the token of the gate crosses the network over plain HTTP`,
        'on a network that you do not trust: tlsSelfSigned: true, or tlsCert and tlsKey',
      ),
    )
  }
  if (options.targetTlsInsecure) {
    findings.push(
      warning(
        'target-not-verified',
        `${name}: the certificate of the target is not verified`,
        'name its CA in targetTlsCa and remove targetTlsInsecure',
      ),
    )
  }
  if (options.metrics !== '' && /^(?:0\.0\.0\.0|\[::\]|:)/.test(options.metrics)) {
    findings.push(
      note(
        'metrics-reachable',
        `${name}: metrics are served on every address (${options.metrics})`,
        'bind them to 127.0.0.1',
      ),
    )
  }
  return findings
}

export const exposure: Check = {
  name: 'exposure',
  run: ({ configuration }) => {
    if (configuration === undefined) return []
    const found = configuration.forwards.flatMap(judgeExposure)
    return found.length > 0 ? found : [ok('exposure', 'no forward is more open than it should be')]
  },
}
