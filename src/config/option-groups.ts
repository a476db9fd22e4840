import type { TunableOptions } from './forward-options.ts'

/** The headings under which help, manual page and documentation list the options of a forward, in order. */
export const optionGroups = [
  'Listen',
  'Who may connect',
  'Login',
  'Target',
  'TLS',
  'PROXY protocol',
  'Limits',
  'Timeouts',
  'Observe',
] as const

export type OptionGroup = (typeof optionGroups)[number]

/** The heading of each option. */
export const groupOf: { readonly [Name in keyof TunableOptions]: OptionGroup } = {
  bind: 'Listen',
  listenUnix: 'Listen',
  listenUnixMode: 'Listen',
  workers: 'Listen',
  allow: 'Who may connect',
  gate: 'Login',
  gateHost: 'Login',
  gateTokenFile: 'Login',
  gateSessionMs: 'Login',
  furtherTargets: 'Target',
  connectTimeoutMs: 'Target',
  dialRetryMs: 'Target',
  resolver: 'Target',
  targetCheckMs: 'Target',
  tlsCert: 'TLS',
  tlsKey: 'TLS',
  tlsSelfSigned: 'TLS',
  tlsClientCa: 'TLS',
  tlsAlpn: 'TLS',
  tlsHandshakeTimeoutMs: 'TLS',
  targetTls: 'TLS',
  targetTlsCa: 'TLS',
  targetTlsName: 'TLS',
  targetTlsInsecure: 'TLS',
  targetAlpn: 'TLS',
  sendProxy: 'PROXY protocol',
  acceptProxy: 'PROXY protocol',
  proxyHeaderTimeoutMs: 'PROXY protocol',
  maxConnections: 'Limits',
  maxConnectionsPerSource: 'Limits',
  maxRatePerSource: 'Limits',
  firstByteTimeoutMs: 'Timeouts',
  idleTimeoutMs: 'Timeouts',
  halfCloseTimeoutMs: 'Timeouts',
  maxLifeMs: 'Timeouts',
  drainMs: 'Timeouts',
  accessLog: 'Observe',
  inspector: 'Observe',
  metrics: 'Observe',
}
