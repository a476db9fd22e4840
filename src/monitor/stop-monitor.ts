import path from 'node:path'
import { type ControlClient, connectControl } from '../control/client.ts'
import { connectMonitor, giveOrder } from '../orders/client.ts'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { endProcesses, hasEnded, type Recognition } from '../process/ending.ts'
import type { ProcessIdentity } from '../process/identity.ts'
import { isOwnProgram } from '../process/own-processes.ts'
import { isOfProgram } from '../process/program-mark.ts'
import { describeProcesses } from '../process/summary.ts'
import { judgePidFile, readPidFile } from '../record/pid-file.ts'
import { readRuntimeState } from '../record/runtime-state.ts'
import { forwarderIdentity, monitorIdentity } from '../record/shapes/control.ts'
import { fileNames } from '../record/state-directory.ts'
import { ownPrograms, shellWord } from '../report/own-programs.ts'

export interface StopOptions {
  readonly stateDirectory: string
  /** End the forwarders, too. */
  readonly stopForwards: boolean
  readonly say: (line: string) => void
}

/** A forwarder that answers, or a program. */
interface Running {
  readonly name: string
  readonly kind: 'forward' | 'program' | 'gateway'
  readonly identity: ProcessIdentity
  /** ms that it has before it is killed. */
  readonly killAfterMs: number
  /** Whether a process that has outlived it is its own. */
  readonly isOurs: Recognition
}

/** ms that a forwarder may take to end after the time that its connections have, and a program in all, before it is killed. */
const killAfterMs = 5000
const programKillAfterMs = 10_000

/** What is said of those that go on without the monitor. */
const goOn = [
  ['forward', 'forwards keep running'],
  ['program', 'programs keep running'],
  ['gateway', 'gateway keeps running'],
] as const

/** ms after which a person is told what is waited for. */
const patienceMs = 2000

/**
 * The order `stop-monitor` as `proxy-ctl` and `proxy-monitor --stop` carry it through: ends the monitor of a state directory and waits until
 * it is gone. Without one there is only the forwarders' end to see to.
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
  const running = [
    ...(await runningForwarders(stateDirectory)),
    ...runningPrograms(stateDirectory),
    ...runningGateway(stateDirectory),
  ]
  if (!stopForwards) {
    if (running.length === 0) return exitCode.ok
    for (const [kind, go] of goOn) {
      const some = running.filter((one) => one.kind === kind)
      const names = some.map(({ name, identity }) => `${name} (PID: ${identity.pid})`).join(', ')
      if (some.length > 0) say(`Its ${go}: ${names}`)
    }
    say(
      `To end them: ${ownPrograms().monitor} --stop --stop-forwards --state-dir ${shellWord(stateDirectory)}`,
    )
    return exitCode.ok
  }
  const left = await Promise.all(running.map((one) => end(one, say)))
  return left.some(Boolean) ? exitCode.unavailable : exitCode.ok
}

async function endMonitor(
  stateDirectory: string,
  stopForwards: boolean,
  say: (line: string) => void,
): Promise<ProcessIdentity | undefined> {
  const control = await connectMonitor(stateDirectory)
  if (control === undefined) return undefined
  const silent = setTimeout(
    () => say('Waiting for the monitor, and for what still finishes, to end …'),
    patienceMs,
  )
  try {
    const answer = monitorIdentity.read(await control.request('identify'))
    if (answer === undefined) throw new Error('the process that holds its control socket is no monitor')
    const { identity } = answer
    await order(control, stopForwards)
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

/** ms that a monitor may take to say that it ends. */
const answerTakesMs = 5000

/** The order `stop-monitor`. */
async function order(control: ControlClient, stopForwards: boolean): Promise<void> {
  const given = {
    order: 'stop-monitor',
    input: { stopForwards },
    via: 'cli',
    timeoutMs: answerTakesMs,
  } as const
  const answer = await giveOrder(control, given).catch((error) => {
    if (errorCode(error) !== 'unknown-command') throw error
    // A monitor of a version before orders.
    return control.request('stop', { stopForwards }).then(() => undefined)
  })
  if (answer !== undefined && 'error' in answer) throw new Error(answer.error.message)
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
      const known = forwarderIdentity.read(answer)
      if (known === undefined) return []
      const { drainMs } = JSON.parse(known.options) as { readonly drainMs?: number }
      const takesMs = (drainMs ?? 0) + killAfterMs
      return [{ name, kind: 'forward', identity: known.identity, killAfterMs: takesMs, isOurs: isOwnProgram }]
    }),
  )
  return asked.flat()
}

/** Programs that were to go on without their monitor, and those that a killed one has left. */
function runningPrograms(stateDirectory: string): Running[] {
  const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
  const programs = reading.kind === 'read' ? (reading.state.programs ?? []) : []
  return programs.flatMap(({ name }): Running[] => {
    const file = readPidFile(path.join(stateDirectory, fileNames.programPidFile(name)))
    const verdict = judgePidFile(file)
    if (file.kind !== 'identified' || (verdict !== 'alive' && verdict !== 'stopped')) return []
    const isOurs: Recognition = (_words, pid) => isOfProgram(pid, name)
    return [{ name, kind: 'program', identity: file.identity, killAfterMs: programKillAfterMs, isOurs }]
  })
}

/** The MCP gateway, which goes on without its monitor. */
function runningGateway(stateDirectory: string): Running[] {
  const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
  const gateway = reading.kind === 'read' ? reading.state.gateway : undefined
  if (gateway === undefined) return []
  const file = readPidFile(path.join(stateDirectory, fileNames.gatewayPidFile))
  const verdict = judgePidFile(file)
  if (file.kind !== 'identified' || (verdict !== 'alive' && verdict !== 'stopped')) return []
  const { name } = gateway
  return [
    { name, kind: 'gateway', identity: file.identity, killAfterMs: programKillAfterMs, isOurs: isOwnProgram },
  ]
}

/** @returns true when something of it is left. */
async function end(
  { name, identity, killAfterMs: takesMs, isOurs }: Running,
  say: (line: string) => void,
): Promise<boolean> {
  const left = await endProcesses(identity, takesMs, isOurs)
  say(
    left.length === 0
      ? `${name} has ended (PID: ${identity.pid})`
      : `${name} does not end: ${describeProcesses(left)} left`,
  )
  return left.length > 0
}
