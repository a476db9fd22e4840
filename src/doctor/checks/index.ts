/**
 * checks/: what doctor looks at, a file each: a `Check` takes the facts and gives findings. To add one, add its file and its line here.
 */
import type { Check } from '../check.ts'
import { alertChannels } from './alert-channels.ts'
import { configuration } from './configuration.ts'
import { descriptors } from './descriptors.ts'
import { exposure } from './exposure.ts'
import { gatewayChecks } from './gateway/index.ts'
import { leftovers } from './leftovers.ts'
import { linger } from './linger.ts'
import { memory } from './memory.ts'
import { namespaces } from './namespaces.ts'
import { node } from './node.ts'
import { ports } from './ports.ts'
import { programsCheck } from './programs.ts'
import { stateDirectory } from './state-directory.ts'
import { strays } from './strays.ts'
import { systemCheck } from './system.ts'
import { timeouts } from './timeouts.ts'

/** Those of `mcp-proxy doctor`. */
export const checksOfGateway: readonly Check[] = [node, ...gatewayChecks, stateDirectory]

/** Every check, in the order in which its findings are shown. */
export const checks: readonly Check[] = [
  node,
  systemCheck,
  descriptors,
  memory,
  configuration,
  programsCheck,
  ...gatewayChecks,
  stateDirectory,
  ports,
  strays,
  leftovers,
  exposure,
  timeouts,
  alertChannels,
  namespaces,
  linger,
]
