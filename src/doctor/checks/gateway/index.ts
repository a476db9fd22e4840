/**
 * gateway/: what doctor looks at of the MCP gateway, a file each, as in ../index.ts. `mcp-proxy doctor` runs these; `port-watchdog doctor`
 * runs them with all others when the configuration has connectors. To add one, add its file and its line here.
 */
import type { Check } from '../../check.ts'
import { connectors } from './connectors.ts'
import { gatewayKeys } from './keys.ts'
import { gatewayPort } from './port.ts'
import { proxyVariables } from './proxy-variables.ts'
import { running } from './running.ts'

/** In the order in which their findings are shown. */
export const gatewayChecks: readonly Check[] = [connectors, proxyVariables, gatewayKeys, gatewayPort, running]
