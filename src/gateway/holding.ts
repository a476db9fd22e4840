import path from 'node:path'
import { askControl } from '../control/client.ts'
import { ControlRefusal } from '../control/protocol.ts'
import { type ControlServer, ControlSocketHeld, holdControlSocket } from '../control/server.ts'
import { wallTime } from '../os/clock.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { version } from '../os/version.ts'
import { ownIdentity } from '../process/identity.ts'
import type { HandedOver } from '../record/shapes/control.ts'
import { type GatewayIdentity, gatewayIdentity } from '../record/shapes/gateway-health.ts'
import { fileNames } from '../record/state-directory.ts'
import type { GatewayOptions } from './options.ts'
import type { RunningOrders } from './running-orders.ts'
import type { SelfReport } from './self-report.ts'

/** What other processes can ask of the gateway over its control socket. */
export interface Controlled {
  readonly report: SelfReport
  readonly orders: RunningOrders
  giveWay(): null
  handOver(order: Readonly<Record<string, unknown>>): Promise<HandedOver>
  takeSessions(order: Readonly<Record<string, unknown>>): null
}

/**
 * Holds the control socket: who holds it is the gateway of its state directory.
 * @param begun the gateway, once it has begun.
 * @param isHeir true = the gateway that holds it wants this process to have it.
 * @throws Failure when another process is it.
 */
export async function holdPlace(
  { stateDirectory, reportDescriptor }: GatewayOptions,
  begun: () => Controlled | undefined,
  isHeir: () => boolean,
): Promise<ControlServer> {
  const isKept = reportDescriptor !== undefined
  const starting: GatewayIdentity = {
    role: 'gateway',
    identity: ownIdentity(),
    version,
    startedAt: wallTime(),
    isKept,
  }
  const file = path.join(stateDirectory, fileNames.gatewaySocket)
  const started = () => {
    const running = begun()
    if (running === undefined)
      throw new ControlRefusal('starting', 'the gateway is only starting', 'try again')
    return running
  }
  const hold = () =>
    holdControlSocket(
      file,
      {
        identify: () => begun()?.report.identify() ?? starting,
        health: () => begun()?.report.health() ?? null,
        reload: () => started().orders.reload(),
        retry: ({ connectors }) => begun()?.orders.retry(connectors) ?? null,
        tap: ({ forMs }) => begun()?.orders.watch(forMs) ?? null,
        'log-level': ({ level }) => begun()?.orders.logLevel(level) ?? null,
        pins: () => begun()?.orders.pinned() ?? null,
        'accept-pins': (asked) => begun()?.orders.acceptPins(asked) ?? null,
        'give-way': () => begun()?.giveWay() ?? null,
        'hand-over': (order) => started().handOver(order),
        'take-sessions': (order) => started().takeSessions(order),
      },
      isHeir,
    )
  try {
    return await hold()
  } catch (error) {
    if (!(error instanceof ControlSocketHeld)) throw error
    const holder = gatewayIdentity.read(error.holder)
    // One that a client has started leaves its place to the one that a monitor keeps.
    if (isKept && holder?.isKept === false) {
      try {
        await askControl(file, 'give-way')
        return await hold()
      } catch (refusal) {
        throw new Failure(errorText(refusal), exitCode.unavailable)
      }
    }
    const who = holder === undefined ? 'and does not answer' : `as PID ${holder.identity.pid}`
    const what = `a gateway already runs in ${stateDirectory}, ${who}; see mcp-proxy status --state-dir ${stateDirectory}`
    throw new Failure(what, exitCode.unavailable)
  }
}
