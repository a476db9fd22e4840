import type { Check } from './check.ts'
import { alertChannels } from './checks/alert-channels.ts'
import { configuration } from './checks/configuration.ts'
import { descriptors } from './checks/descriptors.ts'
import { exposure } from './checks/exposure.ts'
import { leftovers } from './checks/leftovers.ts'
import { linger } from './checks/linger.ts'
import { memory } from './checks/memory.ts'
import { namespaces } from './checks/namespaces.ts'
import { node } from './checks/node.ts'
import { ports } from './checks/ports.ts'
import { stateDirectory } from './checks/state-directory.ts'
import { strays } from './checks/strays.ts'
import { timeouts } from './checks/timeouts.ts'

/** Every check, in the order in which its findings are shown. */
export const checks: readonly Check[] = [
  node,
  descriptors,
  memory,
  configuration,
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
