import { closeSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type ForwardOptions, gateTokenVariable, relayVariable } from '../config/forward-options.ts'
import { optionWords } from '../config/option-table.ts'
import {
  firstPassedDescriptor,
  type NotRun,
  type StartedProcess,
  startProcess,
} from '../control/start-process.ts'
import { childEnvironment } from '../os/child-environment.ts'
import { errorCode, errorText, exitCode } from '../os/failure.ts'
import { type ProcessIdentity, signalProcess } from '../os/process-identity.ts'
import { openForAppending } from '../os/regular-file.ts'
import { type Shortage, shortageAtStart, shortageOf } from '../os/shortage.ts'
import { type Inheritance, type InheritedSocket, inheritanceVariable } from '../os/socket-activation.ts'

/** What became of a start. */
export type StartOutcome =
  | { readonly ok: true; readonly identity: ProcessIdentity }
  | {
      readonly ok: false
      readonly message: string
      readonly portTaken: boolean
      /** What this machine lacks for it, when that is why. */
      readonly shortage?: Shortage | undefined
    }

export interface StartedForwarder {
  /** Undefined when it could not be run at all. */
  readonly pid: number | undefined
  readonly outcome: Promise<StartOutcome>
  /** Resolves when the process has ended, with how: `was killed by SIGKILL`, `ended with exit code 1`. */
  readonly exited: Promise<string>
  /** Kills it if it has not become ready. */
  abandon(): void
}

const program = fileURLToPath(new URL('../../bin/tcp-proxy.cjs', import.meta.url))

/** Program and words of a forwarder with these options. */
export function forwarderCommand(options: ForwardOptions, stateDirectory: string): [string, ...string[]] {
  return [process.execPath, program, ...optionWords(options), '--state-dir', stateDirectory]
}

/**
 * Starts a forwarder in a session of its own: it outlives the monitor, its terminal and its signals. What it prints goes to its log. Never
 * throws: what prevents the start is its outcome.
 * @param prepare makes the state directory when it is gone: without it nothing could be started.
 * @param sockets held by this process, on which it listens instead of binding: while they are held, a connect to a forwarder that
 *   has died waits for the next one. None = it binds its own.
 */
export function startForwarder(
  options: ForwardOptions,
  stateDirectory: string,
  logFile: string,
  prepare: () => void,
  sockets: readonly InheritedSocket[],
): StartedForwarder {
  try {
    prepare()
    return run(options, stateDirectory, logFile, sockets)
  } catch (error) {
    const message = `it could not be run: ${errorText(error)}`
    return failed({ ok: false, message, portTaken: false, shortage: shortageOf(errorCode(error)) })
  }
}

function run(
  options: ForwardOptions,
  stateDirectory: string,
  logFile: string,
  sockets: readonly InheritedSocket[],
): StartedForwarder {
  const log = openForAppending(logFile)
  const [node, ...words] = forwarderCommand(options, stateDirectory)
  const started = startProcess({
    program: node,
    words,
    environment: { ...forwarderEnvironment(process.env, options), ...inherited(sockets) },
    output: log,
    channel: 'report',
    sockets: sockets.map(({ descriptor }) => descriptor),
  })
  closeSync(log)
  if ('notRun' in started) return neverRan(started.notRun)
  const { child, exited } = started
  child.unref()
  return {
    pid: child.pid,
    outcome: startOutcome(started),
    exited,
    abandon: () => {
      // With all that it has started: it leads its group, and nobody else could have its PID while it is our child.
      if (!signalProcess(started.identity, 'SIGKILL', true)) child.kill('SIGKILL')
    },
  }
}

/** ms within which the exit of a child is known after its control connection has ended. */
const exitKnownWithinMs = 20

/** How a process that is gone has ended, when it is the child that was started: its exit is known a moment after its connection has ended. */
export async function howEnded(
  started: StartedForwarder | undefined,
  { pid }: ProcessIdentity,
): Promise<string> {
  if (started?.pid !== pid) return 'is gone'
  const giveUp = new Promise<string>((resolve) => setTimeout(resolve, exitKnownWithinMs, 'is gone').unref())
  return await Promise.race([started.exited, giveUp])
}

function failed(outcome: StartOutcome): StartedForwarder {
  return {
    pid: undefined,
    outcome: Promise.resolve(outcome),
    exited: Promise.resolve('was not run'),
    abandon: () => {},
  }
}

/** What tells a forwarder of the sockets that it gets after its report's descriptor. */
function inherited(sockets: readonly InheritedSocket[]): NodeJS.ProcessEnv {
  if (sockets.length === 0) return {}
  const passed = sockets.map(({ name }, index) => ({ descriptor: firstPassedDescriptor + index, name }))
  const inheritance: Inheritance = { kind: 'activation', sockets: passed }
  return { [inheritanceVariable]: JSON.stringify(inheritance) }
}

function neverRan(notRun: Promise<NotRun>): StartedForwarder {
  const outcome = notRun.then(({ how, code }) => {
    return { ok: false, message: `it ${how}`, portTaken: false, shortage: shortageAtStart(code) } as const
  })
  return { pid: undefined, outcome, exited: notRun.then(({ how }) => how), abandon: () => {} }
}

async function startOutcome(started: StartedProcess): Promise<StartOutcome> {
  const report = await started.report
  if (report?.ready === true) return { ok: true, identity: started.identity }
  if (report?.ready === false) {
    const portTaken = report.exitCode === exitCode.unavailable
    return { ok: false, message: report.message, portTaken, shortage: shortageOf(report.code) }
  }
  const message = `it ${await started.exited} before it was ready`
  return { ok: false, message, portTaken: false, shortage: isProgramWhole() ? undefined : brokenProgram }
}

/** The last line of the program: scripts/bundle writes it, and a file that is being written does not have it yet. */
const lastLine = '//# whole\n'

const brokenProgram: Shortage = {
  kind: 'program',
  words: `${program} is missing or incomplete; is it being upgraded?`,
}

function isProgramWhole(): boolean {
  try {
    return readFileSync(program, 'utf8').endsWith(lastLine)
  } catch {
    return false
  }
}

/**
 * A forwarder gets no variable of a service manager's: it must not speak to systemd in the monitor's name. Only one with a gate gets the
 * gate's token, and only one that verifies certificates is told of more authorities: Node reads them all before it does anything else,
 * 35 ms of every restart.
 */
function forwarderEnvironment(
  environment: NodeJS.ProcessEnv,
  { gate, gateTokenFile, targetTls }: ForwardOptions,
): NodeJS.ProcessEnv {
  return childEnvironment(environment, [
    relayVariable,
    ...(gate !== '' && gateTokenFile === '' ? [gateTokenVariable] : []),
    ...(targetTls ? ['NODE_EXTRA_CA_CERTS'] : []),
  ])
}
