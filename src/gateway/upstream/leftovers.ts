import type { Log } from '../../log/index.ts'
import { errorText } from '../../os/failure.ts'
import { system } from '../../os/system.ts'
import { endProcesses } from '../../process/ending.ts'
import { identityOf, ownIdentity } from '../../process/identity.ts'

/** Every process of a connector has it in its environment: which connector, and which gateway started it. */
export const connectorVariable = 'PORT_WATCHDOG_CONNECTOR'

/** ms from SIGTERM to SIGKILL. */
const graceMs = 2000

/** What {@link connectorVariable} holds for the processes of one connection of this gateway. */
export function markOf(connector: string, connection: string): string {
  const { pid, startTime, pidNamespace } = ownIdentity()
  return `${connector} ${pid}:${startTime}@${pidNamespace} ${connection}`
}

/**
 * Ends what the servers of a gateway that was killed have left: most end with their stdin, and this is for the others. Those of a gateway
 * that runs, of one in another PID namespace, and of other users, stay.
 * @returns the connectors that something was ended of.
 */
export async function endLeftovers(): Promise<readonly string[]> {
  const found = system.processTable().flatMap(({ pid }) => {
    const mark = pid === process.pid ? undefined : system.environmentOf(pid, connectorVariable)
    const [, connector = '', gateway = '', startTime, namespace] =
      /^(\S+) (\d+):([^\s@]+)@(\S+) /.exec(mark ?? '') ?? []
    if (mark === undefined || startTime === undefined) return []
    // Counted in a container: its gateway has another PID here, and lives or not.
    if (namespace !== ownIdentity().pidNamespace) return []
    const stat = system.processStat(Number(gateway))
    const isThere = stat === 'unreadable' || (stat !== undefined && stat.startTime === startTime)
    return isThere ? [] : [{ pid, mark, connector }]
  })
  const ended = found.map(async ({ pid, mark, connector }) => {
    const identity = identityOf(pid)
    const isOurs = (_words: readonly string[], other: number) =>
      system.environmentOf(other, connectorVariable) === mark
    if (identity === undefined || !isOurs([], pid)) return []
    await endProcesses(identity, graceMs, isOurs)
    return [connector]
  })
  return [...new Set((await Promise.all(ended)).flat())]
}

/** The same at the start of a gateway: what is left may hold what its servers need. Its clients need not wait for the end. Never rejects. */
export async function clearLeftovers(log: Log): Promise<void> {
  try {
    const left = await endLeftovers()
    if (left.length > 0) log.warn(`Ended what a gateway that was killed has left of ${left.join(', ')}`)
  } catch (error) {
    log.warn(`What a gateway that was killed has left could not be looked for: ${errorText(error)}`)
  }
}
