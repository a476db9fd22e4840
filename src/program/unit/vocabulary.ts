import path from 'node:path'
import { type ProgramConfiguration, portOf } from '../../config/program-configuration.ts'
import { duration } from '../../os/duration.ts'
import { describeEnd, type ProcessEnd, type StartFailure, startFailureInWords } from '../../process/start.ts'
import type { Fault, Vocabulary } from '../../watch/unit.ts'
import { takenInWords } from '../ready/port.ts'

/** What can be wrong with a program. */
export type ProgramFault =
  | { readonly code: 'not-running' }
  /** What is asked of it while it runs has failed too often in a row. */
  | { readonly code: 'unhealthy'; readonly problem: string; readonly failures: number }
  /** It prints more errors than it may. */
  | {
      readonly code: 'error-rate'
      readonly errors: number
      readonly above: number
      readonly withinMs: number
    }
  /** SIGSTOP, or a debugger. */
  | { readonly code: 'stopped'; readonly pid: number }
  /** A monitor that was killed has started it: nobody reads what it prints. */
  | { readonly code: 'left-by-monitor'; readonly pid: number }
  /** It was to outlive the monitor that has started it, which ended before it was ready: nobody knows how far it has come. */
  | { readonly code: 'left-starting'; readonly pid: number }
  /** Its PID file, which counts for nothing. */
  | { readonly code: 'pid-file-invalid'; readonly why: string }
  | { readonly code: 'pid-gone' | 'pid-reused' | 'pid-elsewhere'; readonly pid: number }
  | { readonly code: 'identity-unproven'; readonly pid: number }
  /** A start that came to nothing. */
  | { readonly code: 'start-given-up' }
  /** What a process had left behind, and was to be taken over, is gone. */
  | { readonly code: 'rest-gone'; readonly pid: number }
  | { readonly code: 'port-taken'; readonly port: number }
  /** There is nothing that makes terminals. */
  | { readonly code: 'terminal-missing'; readonly why: string }
  /** The monitor cannot listen for it. */
  | { readonly code: 'socket-refused'; readonly why: string }
  | { readonly code: 'environment-unreadable' | 'output-unusable'; readonly why: string }
  /** Whom it is to run as. */
  | { readonly code: 'user-unknown' | 'not-root'; readonly user: string }
  | { readonly code: 'user-unreadable'; readonly user: string; readonly why: string }
  | { readonly code: 'group-unknown'; readonly group: string }
  | { readonly code: 'setpriv-missing' }
  | { readonly code: 'folder-missing'; readonly folder: string }
  | { readonly code: 'command-missing'; readonly command: string; readonly cwd: string }
  /** `left`: what it has left in the background, which is ended. */
  | {
      readonly code: 'ended-at-start'
      readonly end: ProcessEnd
      readonly left: readonly number[]
      /** What has gone off into a session of its own, and is left alone. */
      readonly away: readonly number[]
    }
  | { readonly code: 'not-started'; readonly failure: StartFailure }
  /** What one that is not ready in time lacks. `ports`: where it listens instead; `isTaken`: somebody listens there who cannot be seen. */
  | {
      readonly code: 'not-on-port'
      readonly port: number
      readonly ports: readonly number[]
      readonly isTaken: boolean
    }
  | { readonly code: 'not-printed'; readonly pattern: string }
  | { readonly code: 'not-answered'; readonly problem: string }

/** The words for a program in logs, alerts and the journal. */
export function programVocabulary(
  configuration: Pick<ProgramConfiguration, 'ready' | 'oneshot' | 'sockets'>,
): Vocabulary {
  const { ready, oneshot, sockets } = configuration
  const port = portOf(ready?.probe) ?? sockets[0]?.port
  return {
    process: 'program',
    ...(port === undefined ? {} : { place: { kind: 'port', name: String(port) } }),
    fault: (fault: Fault) => faultInWords(fault as ProgramFault, oneshot),
    endHint: (end) => endHint(end, oneshot),
  }
}

/** Exit code 0 says that its work is done: then it is no failure, and only the configuration can say so. */
function endHint(end: ProcessEnd, isOneshot: boolean): string | undefined {
  if (isOneshot || end.kind !== 'exited' || end.code !== 0) return undefined
  return 'for a program that runs once, write oneshot: true'
}

function faultInWords(fault: ProgramFault, isOneshot: boolean): string {
  switch (fault.code) {
    case 'not-running':
      return 'is not running'
    case 'unhealthy':
      return `is not healthy: ${fault.problem} (${fault.failures} times in a row)`
    case 'error-rate':
      return `is not healthy: ${errorRateInWords(fault)}`
    case 'stopped':
      return `is stopped (SIGSTOP) as PID ${fault.pid}`
    case 'left-by-monitor':
      return `still runs as PID ${fault.pid}, started by a monitor that was killed: its output is lost`
    case 'left-starting':
      return `was still starting as PID ${fault.pid} when its monitor ended`
    case 'pid-file-invalid':
      return fault.why
    case 'pid-gone':
      return `PID ${fault.pid} is gone`
    case 'pid-reused':
      return `PID ${fault.pid} is another process now`
    case 'pid-elsewhere':
      return `PID ${fault.pid} was counted in another PID namespace`
    case 'identity-unproven':
      return `PID ${fault.pid} may be the program, but its identity cannot be verified`
    case 'rest-gone':
      return `the processes that PID ${fault.pid} had left behind are gone`
    case 'start-given-up':
      return 'its start was given up'
    case 'port-taken':
      return takenInWords(fault.port)
    case 'environment-unreadable':
    case 'output-unusable':
      return fault.why
    case 'terminal-missing':
      return fault.why
    case 'socket-refused':
      return `the monitor cannot listen for it: ${fault.why}`
    case 'user-unknown':
      return `its user ${fault.user} does not exist; create it, or correct user`
    case 'group-unknown':
      return `its group ${fault.group} does not exist; create it, or correct group`
    case 'user-unreadable':
      return `its user ${fault.user} cannot be looked up: ${fault.why}`
    case 'not-root':
      return `only a monitor that runs as root can start it as ${fault.user}; run the monitor as root, or leave out user`
    case 'setpriv-missing':
      return 'setpriv, which starts it as another user, is not installed; install util-linux'
    case 'folder-missing':
      return `its folder ${fault.folder} does not exist; make it, or correct cwd`
    case 'command-missing':
      return missingCommand(fault.command, fault.cwd)
    case 'ended-at-start': {
      const { end, left, away } = fault
      const ended = `it ${describeEnd(end)} before it was ready`
      if (left.length > 0) return `${ended}; ${leftInWords(left)}`
      if (away.length > 0) return `${ended}; ${awayInWords(away)}`
      const hint = endHint(end, isOneshot)
      return hint === undefined ? ended : `${ended}; ${hint}`
    }
    case 'not-started':
      return startFailureInWords(fault.failure)
    case 'not-on-port': {
      const { port, ports, isTaken } = fault
      if (isTaken) return `a process of another user listens on port ${port}`
      if (ports.length === 0) return `it does not listen on port ${port}, or on any other`
      return `it does not listen on port ${port}, but on port ${listed(ports)}; correct ready or its command`
    }
    case 'not-printed':
      return `it has printed no line with ${fault.pattern}`
    case 'not-answered':
      return fault.problem
  }
}

/** `it printed 12 errors within 1 min; the limit is 10`. */
export function errorRateInWords(told: {
  readonly errors: number
  readonly above: number
  readonly withinMs: number
}): string {
  const { errors, above, withinMs } = told
  const count = errors === 1 ? '1 error' : `${errors} errors`
  return `it printed ${count} within ${duration(withinMs)}; the limit is ${above}`
}

function listed(numbers: readonly number[]): string {
  return numbers.map(String).join(' and ')
}

/** A program that sends itself to the background has ended for whoever watches it. */
function leftInWords(pids: readonly number[]): string {
  const who = pids.map((pid) => `PID ${pid}`).join(' and ')
  return `it has left ${who} in the background, which the monitor ends: run the program in the foreground`
}

/** A daemon has left the session by which it would be known. */
function awayInWords(pids: readonly number[]): string {
  const who = pids.map((pid) => `PID ${pid}`).join(' and ')
  return `${who} began a session of its own, so the monitor leaves it alone: run the program in the foreground`
}

/** The system looks for a name in PATH, and for what has a slash from the folder on. */
function missingCommand(command: string, cwd: string): string {
  if (!command.includes('/')) return `${command} was not found; is it in PATH?`
  const file = path.resolve(cwd, command)
  const isOfPackage = command.includes('node_modules/')
  if (isOfPackage) return `${file} does not exist; to install the packages: npm --prefix ${cwd} install`
  return `${file} cannot be run: it, or the interpreter in its first line, does not exist`
}
