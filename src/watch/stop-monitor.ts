import path from 'node:path'
import { connectControl, holderAfter } from '../control/client.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import type { ProcessIdentity } from '../os/process-identity.ts'
import type { ForwarderIdentity } from '../record/forwarder-health.ts'
import { readRuntimeState } from '../record/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { ownPrograms, shellWord } from '../report/own-programs.ts'
import type { MonitorIdentity } from './monitor-process.ts'
import { endProcesses, hasEnded } from './process-ending.ts'

export interface StopOptions {
  readonly stateDirectory: string
  /** End the forwarders, too. */
  readonly stopForwards: boolean
  readonly say: (line: string) => void
}

/** A forwarder that answers. */
interface Running {
  readonly name: string
  readonly port: number
  readonly identity: ProcessIdentity
  readonly drainMs: number
}

/** ms that a forwarder may take to end after the time that its connections have, before it is killed. */
const killAfterMs = 5000

/** ms after which a person is told what is waited for. */
const patienceMs = 2000

/**
 * Ends the monitor of a state directory and waits until it is gone. Without one there is only the forwarders' end to see to.
 * @returns the exit code: 0 when everything is as it was asked for, 69 when something did not end.
 * @throws Failure when the monitor cannot be asked (69).
 */
export async function stopMonitor({ stateDirectory, stopForwards, say }: StopOptions): Promise<number> {
  const monitor = await endMonitor(stateDirectory, stopForwards, say)
  say(
    monitor === undefined
      ? `No monitor runs with ${stateDirectory}`
      : `The monitor has ended (PID: ${monitor.pid})`,
  )
  const running = await runningForwarders(stateDirectory)
  if (!stopForwards) {
    if (running.length === 0) return exitCode.ok
    const names = running.map(({ name, identity }) => `${name} (PID: ${identity.pid})`).join(', ')
    say(`Its forwards keep running: ${names}`)
    say(
      `To end them: ${ownPrograms().monitor} --stop --stop-forwards --state-dir ${shellWord(stateDirectory)}`,
    )
    return exitCode.ok
  }
  const left = await Promise.all(running.map((one) => endForwarder(one, say)))
  return left.some(Boolean) ? exitCode.unavailable : exitCode.ok
}

async function endMonitor(
  stateDirectory: string,
  stopForwards: boolean,
  say: (line: string) => void,
): Promise<ProcessIdentity | undefined> {
  const control = await connectControl(path.join(stateDirectory, fileNames.monitorSocket)).catch((error) => {
    if (holderAfter(error) === 'absent') return undefined
    throw new Failure(
      `the monitor of ${stateDirectory} cannot be asked: ${errorText(error)}`,
      exitCode.unavailable,
    )
  })
  if (control === undefined) return undefined
  const silent = setTimeout(
    () => say('Waiting for the monitor, and for what still finishes, to end …'),
    patienceMs,
  )
  try {
    const { identity } = (await control.request('identify')) as MonitorIdentity
    await control.request('stop', { stopForwards })
    await control.closed
    if (!(await hasEnded(identity, killAfterMs))) {
      throw new Failure(`the monitor (PID: ${identity.pid}) does not end`, exitCode.unavailable)
    }
    return identity
  } catch (error) {
    if (error instanceof Failure) throw error
    const what = `the monitor of ${stateDirectory} does not end: ${errorText(error)}`
    throw new Failure(`${what}; see proxy-status --state-dir ${stateDirectory}`, exitCode.unavailable)
  } finally {
    clearTimeout(silent)
    control.close()
  }
}

/** Those that the monitor's records name and that answer. */
async function runningForwarders(stateDirectory: string): Promise<Running[]> {
  const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
  if (reading.kind !== 'read') return []
  const asked = await Promise.all(
    reading.state.forwards.map(async ({ name, port }): Promise<Running[]> => {
      const control = await connectControl(path.join(stateDirectory, fileNames.forwarderSocket(port))).catch(
        () => undefined,
      )
      const answer = await control?.request('identify').catch(() => undefined)
      control?.close()
      const { identity, options } = (answer ?? {}) as Partial<ForwarderIdentity>
      if (identity === undefined || options === undefined) return []
      const { drainMs } = JSON.parse(options) as { readonly drainMs?: number }
      return [{ name, port, identity, drainMs: drainMs ?? 0 }]
    }),
  )
  return asked.flat()
}

/** @returns true when something of it is left. */
async function endForwarder(
  { name, identity, drainMs }: Running,
  say: (line: string) => void,
): Promise<boolean> {
  const left = await endProcesses(identity, drainMs + killAfterMs)
  say(
    left.length === 0
      ? `${name} has ended (PID: ${identity.pid})`
      : `${name} does not end: ${left.join(' and ')} left`,
  )
  return left.length > 0
}
