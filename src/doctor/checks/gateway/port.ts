import { parseHostAndPort } from '../../../config/values.ts'
import { identifyPortHolder } from '../../../process/port-holder.ts'
import type { Check, GatewayPatient } from '../../check.ts'
import { isForbidden, judgePort } from '../ports.ts'

export const gatewayPort: Check = {
  name: 'gateway-port',
  run: async ({ gateway }) => {
    const place = gateway && placeOf(gateway)
    const parsed = place === undefined ? undefined : parseHostAndPort(place)
    if (gateway === undefined || parsed?.ok !== true || parsed.value.port === 0) return []
    const { port } = parsed.value
    const address = parsed.value.host === 'localhost' ? '127.0.0.1' : parsed.value.host
    const { standing } = gateway
    const isRunning = standing.kind === 'known' && standing.shown !== 'STOPPED'
    return judgePort({
      name: 'gateway',
      port,
      claims: [{ address, holder: await identifyPortHolder(port, address, true) }],
      own: isRunning ? [standing.state.proxy.pid] : [],
      owner: 'the gateway',
      localTarget: undefined,
      targetListens: undefined,
      isForbidden: isForbidden(port),
    })
  },
}

/** Where it serves HTTP, or would; undefined = nowhere. */
function placeOf({ configuration, standing }: GatewayPatient): string | undefined {
  const url = standing.kind === 'known' && standing.shown === 'RUNNING' ? standing.state.proxy.url : null
  return url === null ? configuration.http?.listen : new URL(url).host
}
