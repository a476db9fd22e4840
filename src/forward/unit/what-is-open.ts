import type { ForwardConfiguration } from '../../config/configuration.ts'
import { hostAndPort, isLinkLocal, isLoopback, isWildcard, type MachineAddress } from '../../os/interfaces.ts'
import type { ForwarderHealth } from '../../record/shapes/forwarder-health.ts'
import type { Told } from '../../watch/unit.ts'

/**
 * Says where a forward can be reached, and what is missing for it to work. Pure.
 * @param machine the machine's addresses; none at all = they could not be read, and nothing is said.
 * @returns undefined while it cannot be said.
 */
export function whatIsOpen(
  { name, options: { listenPort } }: Pick<ForwardConfiguration, 'name' | 'options'>,
  { listen, target }: Pick<ForwarderHealth, 'listen' | 'target'>,
  machine: readonly MachineAddress[],
): Told[] | undefined {
  const bound = listen.addresses.map(({ address }) => address).filter((address) => !isLinkLocal(address))
  if (machine.length === 0) return undefined
  const lines = [whereOpen(name, listenPort, bound, machine)]
  if (target.state !== 'reachable') {
    const place = hostAndPort(target.host, target.port)
    const message = `${name}: nothing is listening on ${place} yet. Start your app there; port ${listenPort} then works at once`
    lines.push({ level: 'info', message, good: false })
  }
  return lines
}

function whereOpen(
  name: string,
  port: number,
  bound: readonly string[],
  machine: readonly MachineAddress[],
): Told {
  const places = (addresses: readonly string[]) => addresses.map((one) => hostAndPort(one, port)).join('  ')
  const forOthers = reachable(bound, machine)
  if (forOthers.length > 0) {
    return { level: 'info', message: `${name} is open to other machines: ${places(forOthers)}`, good: true }
  }
  const here = bound.filter(isLoopback)
  if (here.length > 0) {
    return { level: 'info', message: `${name} is open on this machine only: ${places(here)}`, good: true }
  }
  return { level: 'warn', message: `${name}: this machine has no address but loopback yet`, good: false }
}

/** A listener on all addresses is reached at each of the machine's own; one on loopback by no other machine. */
function reachable(bound: readonly string[], machine: readonly MachineAddress[]): string[] {
  return bound.flatMap((address) => {
    if (isLoopback(address)) return []
    if (!isWildcard(address)) return [address]
    return machine
      .filter((own) => !isLoopback(own.address) && !isLinkLocal(own.address))
      .filter((own) => own.family === 4 || address === '::')
      .map((own) => own.address)
  })
}
