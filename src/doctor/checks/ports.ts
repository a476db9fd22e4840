import { readFileSync } from 'node:fs'
import type { ForwardConfiguration } from '../../config/configuration.ts'
import { targetsOf } from '../../config/forward-options.ts'
import { isOwnLoopback, planListeners } from '../../forward/listen/listen-plan.ts'
import { hostAndPort, machineAddresses } from '../../os/interfaces.ts'
import { type TcpListener, takesConnectionsTo, tcpListeners } from '../../os/listener-table.ts'
import type { OwnProcess } from '../../os/own-processes.ts'
import { findPortHolder, type PortHolder } from '../../os/port-holder.ts'
import { printable } from '../../os/printable.ts'
import { ownUid } from '../../os/trusted-path.ts'
import { type Check, type Finding, failed, note, ok } from '../check.ts'

/** One address that a forward wants, and who has it. */
export interface Claim {
  readonly address: string
  readonly holder: PortHolder | undefined
}

export interface PortFacts {
  readonly name: string
  readonly port: number
  readonly claims: readonly Claim[]
  /** Processes of the forward itself. */
  readonly own: readonly number[]
  /** `localhost:3000`, for a target on this machine. */
  readonly localTarget: string | undefined
  /** Whether somebody listens there; undefined when the system does not tell. */
  readonly targetListens: boolean | undefined
  /** The forward may not bind a port so low. */
  readonly isForbidden: boolean
}

/** Judges one forward's port: taken by somebody else, its own, or free; and whether its target is there. */
export function judgePort(facts: PortFacts): Finding[] {
  const { name, port, claims, own } = facts
  const findings: Finding[] = []
  if (facts.isForbidden) {
    findings.push(
      failed(
        'port-forbidden',
        `${name}: only root may listen on port ${port}`,
        'use a port from 1024, run it as a system service (port-watchdog install-service), or: sudo sysctl net.ipv4.ip_unprivileged_port_start=80',
      ),
    )
  }
  const others = claims.filter(({ holder }) => holder !== undefined && !own.includes(holder.pid ?? 0))
  const strangers = new Map(others.map(({ holder }) => [holder?.pid ?? 0, holder]))
  for (const [pid, holder] of strangers) {
    const where = others
      .filter((claim) => (claim.holder?.pid ?? 0) === pid)
      .map(({ address }) => hostAndPort(address, port))
    const who = pid === 0 ? 'a process of another user' : `PID ${pid} (${holder?.command})`
    const cure =
      pid === 0 ? `sudo ss -ltnp 'sport = :${port}'` : `kill ${pid}, or choose another port for ${name}`
    findings.push(failed('port-taken', `${name}: ${where.join(', ')} is held by ${who}`, cure))
  }
  if (findings.length === 0) {
    const isServed = claims.some(({ holder }) => holder !== undefined)
    findings.push(
      ok(
        isServed ? 'port-served' : 'port-free',
        `${name}: port ${port} is ${isServed ? `held by its forwarder, PID ${own[0]}` : 'free'}`,
      ),
    )
  }
  if (facts.localTarget !== undefined && facts.targetListens === false) {
    findings.push(
      note('target-absent', `${name}: nothing listens on ${facts.localTarget} yet`, 'start your app there'),
    )
  }
  return findings
}

export const ports: Check = {
  name: 'ports',
  run: async ({ configuration, processes }) => {
    const findings: Finding[] = []
    for (const forward of configuration?.forwards ?? [])
      findings.push(...judgePort(await lookAt(forward, processes)))
    return findings
  },
}

async function lookAt(
  { name, options }: ForwardConfiguration,
  processes: readonly OwnProcess[],
): Promise<PortFacts> {
  const port = options.listenPort
  const own = processes.filter(
    (one) => one.port === port && (one.kind === 'forwarder' || one.kind === 'worker'),
  )
  const table = tcpListeners()
  const claims: Claim[] = []
  for (const address of planListeners(options, machineAddresses()).addresses) {
    claims.push({ address, holder: await holderOf(port, address, table) })
  }
  const local = targetsOf(options).find(({ host }) =>
    isOwnLoopback({ ...options, listenPort: 0 }, { host, port: 0 }),
  )
  return {
    name,
    port,
    claims,
    own: own.map(({ pid }) => pid),
    localTarget: local && hostAndPort(local.host, local.port),
    targetListens: local && listens(table, local.port),
    isForbidden: isForbidden(port),
  }
}

function listens(table: readonly TcpListener[] | undefined, port: number): boolean | undefined {
  return table?.some((one) => {
    return (
      one.port === port &&
      (takesConnectionsTo(one.address, '127.0.0.1') || takesConnectionsTo(one.address, '::1'))
    )
  })
}

/** Where /proc does not tell who it is, find-process may: it asks ss, netstat or lsof, of which one may have more rights. */
async function holderOf(
  port: number,
  address: string,
  table: readonly TcpListener[] | undefined,
): Promise<PortHolder | undefined> {
  const seen = findPortHolder(port, address)
  if (seen === undefined || seen.pid !== undefined) return seen
  // It tells one holder of the port, whatever the address: with several, that may be another one.
  if (table !== undefined && table.filter((one) => one.port === port).length > 1) return seen
  try {
    const { default: find } = await import('find-process')
    const [found] = await find('port', port)
    return found === undefined ? seen : { pid: found.pid, command: printable(found.cmd || found.name) }
  } catch {
    return seen
  }
}

function isForbidden(port: number): boolean {
  if (ownUid() === 0 || process.platform !== 'linux') return false
  try {
    return port < Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
  } catch {
    return port < 1024
  }
}
