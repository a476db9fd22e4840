/** The other end of the road: how a command of ours gives an order to a running monitor. Loads nothing of the table. */
import { userInfo } from 'node:os'
import path from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { type ControlClient, connectControl, holderAfter } from '../control/client.ts'
import { monotonicMs } from '../os/clock.ts'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { ownUid } from '../os/trusted-path.ts'
import type { Actor } from '../record/shapes/journal.ts'
import { fileNames } from '../record/state-directory.ts'
import type { OrderAnswer } from './order.ts'

export interface GivenOrder {
  readonly order: string
  readonly input: Readonly<Record<string, unknown>>
  readonly via: Actor['via']
  /** ms that the answer may take; the order itself may wait for its effect. */
  readonly timeoutMs: number
  /** Gets what the order tells before it answers. */
  readonly onEvent?: (event: unknown) => void
}

/** ms that a monitor which is starting is waited for. */
const startTakesMs = 2000

/** ms between two tries. */
const tryEveryMs = 100

/**
 * Opens the control socket of a monitor. Waits up to 2 s for one that is starting.
 * @returns undefined when none runs there.
 * @throws Failure when this user may not ask it (77), or it does not accept (69), not even after the 2 s.
 */
export async function connectMonitor(stateDirectory: string): Promise<ControlClient | undefined> {
  return (await tryToConnect(stateDirectory)) ?? (await connectStarting(stateDirectory))
}

async function connectStarting(stateDirectory: string): Promise<ControlClient | undefined> {
  const { startingByProcess } = await import('../report/starting-monitor.ts')
  const until = monotonicMs() + startTakesMs
  for (;;) {
    const starting = await startingByProcess(stateDirectory)
    if (starting === undefined) return undefined
    const control = await tryToConnect(stateDirectory)
    if (control !== undefined) return control
    if (monotonicMs() >= until) {
      const what = `the monitor (PID ${starting.pid}) is starting and takes no orders yet`
      throw new Failure(`${what}; try again, or see ${statusOf(stateDirectory)}`, exitCode.unavailable)
    }
    await after(tryEveryMs)
  }
}

async function tryToConnect(stateDirectory: string): Promise<ControlClient | undefined> {
  try {
    return await connectControl(path.join(stateDirectory, fileNames.monitorSocket))
  } catch (error) {
    if (holderAfter(error) === 'absent') return undefined
    if (errorCode(error) === 'EACCES') {
      const whose = `the monitor of ${stateDirectory} belongs to another user`
      throw new Failure(`${whose}; give orders as that user, or as root`, exitCode.noPermission)
    }
    throw unanswered(stateDirectory, error)
  }
}

/**
 * Gives an order on an open connection; again for up to 2 s while the monitor says that it is only starting.
 * @throws as `ControlClient.request`; an order that failed is an answer, not an error.
 */
export async function giveOrder(
  control: ControlClient,
  { order, input, via, timeoutMs, onEvent }: GivenOrder,
): Promise<OrderAnswer> {
  const request = { order, input, actor: ownActor(via) }
  const until = monotonicMs() + startTakesMs
  for (;;) {
    const answer = (await control.request('order', request, timeoutMs, onEvent)) as OrderAnswer
    const isStarting = 'error' in answer && answer.error.code === 'not-ready'
    if (!isStarting || monotonicMs() >= until) return answer
    await after(tryEveryMs)
  }
}

/**
 * Gives an order.
 * @returns undefined when no monitor runs there.
 * @throws Failure when it cannot be asked (69, 77).
 */
export async function askOrder(stateDirectory: string, given: GivenOrder): Promise<OrderAnswer | undefined> {
  const control = await connectMonitor(stateDirectory)
  if (control === undefined) return undefined
  try {
    return await giveOrder(control, given)
  } catch (error) {
    throw unanswered(stateDirectory, error)
  } finally {
    control.close()
  }
}

/** Why no monitor runs there, and what starts it, as `proxy-status` knows it. */
export async function noMonitor(
  stateDirectory: string,
): Promise<{ readonly message: string; readonly next: string }> {
  const { assess } = await import('../report/assess.ts')
  const { gather } = await import('../report/gather.ts')
  const { withLocalTimes } = await import('../report/render-summary.ts')
  const { monitor, next } = assess(await gather(stateDirectory, { withFigures: false }))
  const why = monitor.reason === null ? stateDirectory : withLocalTimes(monitor.reason)
  const [start = 'proxy-monitor'] = next
  return { message: `no monitor is running (${why})`, next: `to start it: ${start}` }
}

/** An order that was not answered, for a person. */
export function unanswered(stateDirectory: string, error: unknown): Failure {
  if (errorCode(error) === 'unknown-command') {
    const older = 'the monitor that runs is of an older version, which takes no orders'
    return new Failure(`${older}; restart it with this version`, exitCode.unavailable)
  }
  const what = `the monitor of ${stateDirectory} cannot be asked: ${errorText(error)}`
  return new Failure(`${what}; see ${statusOf(stateDirectory)}`, exitCode.unavailable)
}

function statusOf(stateDirectory: string): string {
  return `proxy-status --state-dir ${stateDirectory}`
}

function ownActor(via: Actor['via']): Actor {
  const uid = ownUid()
  try {
    return { user: userInfo().username, uid, via }
  } catch {
    // In a container a UID need not have a name.
    return { user: `UID ${uid}`, uid, via }
  }
}
