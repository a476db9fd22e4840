import type { ForwardConfiguration } from '../../config/configuration.ts'
import { targetsOf } from '../../config/forward-options.ts'
import { isOwnLoopback, isSamePort, planListeners } from '../../forward/listen/listen-plan.ts'
import type { TcpListener } from '../../os/backend.ts'
import { hostAndPort, machineAddresses, takesConnectionsTo } from '../../os/interfaces.ts'
import { system } from '../../os/system.ts'
import { ownUid } from '../../os/trusted-path.ts'
import type { OwnProcess } from '../../process/own-processes.ts'
import { identifyPortHolder } from '../../process/port-holder.ts'
import { describeProcess, type ProcessSummary } from '../../process/summary.ts'
import { type Check, type Finding, failed, note, ok } from '../check.ts'

/** One address that a forward wants, and who has it. */
export interface Claim {
  readonly address: string
  readonly holder: ProcessSummary | undefined
}

export interface PortFacts {
  readonly name: string
  readonly port: number
  readonly claims: readonly Claim[]
  /** Processes of the forward itself. */
  readonly own: readonly number[]
  /** What these are called. */
  readonly owner: string
  /** `localhost:3000`, for a target on this machine. */
  readonly localTarget: string | undefined
  /** Whether somebody listens there; undefined when the system does not tell. */
  readonly targetListens: boolean | undefined
  /** The forward may not bind a port so low. */
  readonly isForbidden: boolean
}

/** Judges the port of a forward, or of the gateway: taken by somebody else, its own, or free; and whether its target is there. */
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
  const others = claims.flatMap(({ address, holder }) =>
    holder === undefined || own.includes(holder.pid ?? 0) ? [] : [{ address, holder }],
  )
  const strangers = new Map(others.map(({ holder }) => [holder.pid ?? 0, holder]))
  for (const [pid, holder] of strangers) {
    const where = others
      .filter((claim) => (claim.holder.pid ?? 0) === pid)
      .map(({ address }) => hostAndPort(address, port))
    const cure =
      pid === 0 ? `sudo ss -ltnp 'sport = :${port}'` : `kill ${pid}, or choose another port for ${name}`
    findings.push(
      failed('port-taken', `${name}: ${where.join(', ')} is held by ${describeProcess(holder)}`, cure),
    )
  }
  if (findings.length === 0) {
    const isServed = claims.some(({ holder }) => holder !== undefined)
    findings.push(
      ok(
        isServed ? 'port-served' : 'port-free',
        `${name}: port ${port} is ${isServed ? `held by ${facts.owner}, PID ${own[0]}` : 'free'}`,
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
  const table = system.tcpListeners()
  // Without the table, doctor cannot rule out a listener. Where the target has the same port, the listener may be the target.
  const isDoubtful = table === undefined && !isSamePort(options)
  const claims: Claim[] = []
  for (const address of planListeners(options, machineAddresses()).addresses) {
    claims.push({ address, holder: await identifyPortHolder(port, address, isDoubtful) })
  }
  const local = targetsOf(options).find(({ host }) =>
    isOwnLoopback({ ...options, listenPort: 0 }, { host, port: 0 }),
  )
  return {
    name,
    port,
    claims,
    own: own.map(({ pid }) => pid),
    owner: 'its forwarder',
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

/** Whether only root may listen there. */
export function isForbidden(port: number): boolean {
  return ownUid() !== 0 && port < system.lowestFreePort()
}
