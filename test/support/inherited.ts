import { askControl } from '../../src/control/client.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { until } from './tools.ts'
import type { Watched } from './watched.ts'

/** Passes on a bound socket and becomes the given program, as a service manager does: LISTEN_PID is its own. */
const passOn = `
import os, socket, sys
kind, count = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if kind.endswith('6') else socket.AF_INET
kept = []
for index in range(count):
    made = socket.socket(family, socket.SOCK_DGRAM if kind.startswith('udp') else socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((sys.argv[3 + index], int(sys.argv[3 + count])))
    if kind.startswith('listening'):
        made.listen(100)
    kept.append(made)
    if made.fileno() != 3 + index:
        os.dup2(made.fileno(), 3 + index)
    os.set_inheritable(3 + index, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count))
os.execvp(sys.argv[4 + count], sys.argv[4 + count:])
`

export type PassedSocket = 'listening4' | 'listening6' | 'bound4' | 'udp4'

/** The words that run a command with sockets bound to these addresses, beginning with descriptor 3. */
export function withSockets(
  kind: PassedSocket,
  addresses: readonly string[],
  port: number,
  command: readonly string[],
): string[] {
  return ['python3', '-c', passOn, kind, String(addresses.length), ...addresses, String(port), ...command]
}

export async function healthOf(watched: Watched, port: number): Promise<ForwarderHealth> {
  return (await askControl(watched.file(`tcp_proxy_${port}.sock`), 'health')) as ForwarderHealth
}

/** Waits until a forwarder answers on the control socket of this port. */
export function healthWhen(
  watched: Watched,
  port: number,
  isWanted: (health: ForwarderHealth) => boolean = () => true,
): Promise<ForwarderHealth> {
  return until('the forwarder answers', async () => {
    const health = await healthOf(watched, port)
    if (isWanted(health)) return health
    throw new Error(JSON.stringify(health, null, 1))
  })
}
