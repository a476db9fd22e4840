import type { ConnectorConfiguration } from '../../../config/connector-configuration.ts'
import { type Check, type Finding, note } from '../../check.ts'

const names = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'] as const

/** Judges whether somebody who reaches the network through a proxy may wonder. */
export function judgeProxyVariables(
  connectors: readonly ConnectorConfiguration[],
  environment: NodeJS.ProcessEnv,
): Finding[] {
  const set = names.find((name) => (environment[name] ?? '') !== '')
  if (set === undefined) return []
  const listed = (some: readonly ConnectorConfiguration[]) => some.map(({ id }) => id).join(', ')
  const remote = connectors.filter(({ transport }) => transport.kind !== 'stdio')
  const without = connectors.filter(
    ({ transport }) => transport.kind === 'stdio' && !names.some((name) => name in transport.env),
  )
  return [
    ...(remote.length === 0
      ? []
      : [
          note(
            'proxy-unused',
            `${set} is set, and the gateway does not use it: it reaches ${listed(remote)} directly`,
            'allow it the direct way, or give it a forward to the server as url',
          ),
        ]),
    ...(without.length === 0
      ? []
      : [
          note(
            'proxy-not-passed',
            `${set} is set, and these connectors do not get it: ${listed(without)}`,
            `for one that needs it: env: { ${set}: "\${env:${set}}" }`,
          ),
        ]),
  ]
}

export const proxyVariables: Check = {
  name: 'proxy-variables',
  run: ({ gateway }) => judgeProxyVariables(gateway?.connectors ?? [], process.env),
}
