import { systemVariable } from './system.ts'

/**
 * What the programs that we start get of our environment: how to find programs, files and names, how to speak, and how Node, its
 * libraries and the loader behave. Secrets are not among it; whoever needs another variable names it.
 */
const names = new Set([
  systemVariable,
  ...[
    'PATH',
    'HOME',
    'USER',
    'LOGNAME',
    'SHELL',
    'LANG',
    'LANGUAGE',
    'TZ',
    'TZDIR',
    'TMPDIR',
    'TERM',
    'NO_COLOR',
  ],
  ...[
    'NODE_OPTIONS',
    'NODE_DEBUG',
    'NODE_ICU_DATA',
    'NODE_NO_WARNINGS',
    'NODE_V8_COVERAGE',
    'NODE_COMPILE_CACHE',
  ],
])
const prefixes = ['LC_', 'XDG_', 'LD_', 'DYLD_', 'MALLOC_', 'UV_', 'OPENSSL_', 'SSL_CERT_', 'FAKETIME']

/** What a desktop's or a proxy's user expects of a command besides: `notify-send` needs the session bus, `curl` the proxy. */
export const commandVariables: readonly string[] = [
  ...['DBUS_SESSION_BUS_ADDRESS', 'DISPLAY', 'WAYLAND_DISPLAY', 'XAUTHORITY'],
  ...['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'],
  'NODE_EXTRA_CA_CERTS',
]

/**
 * The environment of a program that we start.
 * @param named further variables that it is to get, where they are set.
 */
export function childEnvironment(
  environment: NodeJS.ProcessEnv,
  named: readonly string[] = [],
): NodeJS.ProcessEnv {
  const isPassed = (name: string) =>
    names.has(name) || named.includes(name) || prefixes.some((prefix) => name.startsWith(prefix))
  return Object.fromEntries(Object.entries(environment).filter(([name]) => isPassed(name)))
}
