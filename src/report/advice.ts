import path from 'node:path'
import { targetProgram } from '../config/values.ts'
import type { StateReading } from '../record/runtime-state.ts'
import type { ForwarderHealth } from '../record/shapes/forwarder-health.ts'
import type { ForwardRecord } from '../record/shapes/runtime-state.ts'
import type {
  AlertChannelStatus,
  ForwardStatus,
  ForwardStatusState,
  MonitorStatus,
  ProgramStatus,
  StatusReport,
} from '../record/shapes/status-report.ts'
import { alertChannelSteps } from './alert-channels.ts'
import type { ForwardFacts, StatusFacts } from './facts.ts'
import { judgeInspector } from './inspector-verdict.ts'
import { shellWord } from './own-programs.ts'

/** What to type, or to do, about what is wrong, most urgent first. Pure. Every command works as typed from any folder. */
export function nextSteps(
  monitor: MonitorStatus,
  forwards: readonly ForwardStatus[],
  programs: readonly ProgramStatus[],
  alertChannels: readonly AlertChannelStatus[],
  facts: StatusFacts,
): NextStep[] {
  const steps: readonly (string | NextStep)[] = [
    ...monitorStep(monitor, facts),
    ...forwards.flatMap((forward) => forwardSteps(forward, facts)),
    ...programs.flatMap((program) => programSteps(program, facts)),
    ...strayForwardSteps(monitor, facts),
    ...alertChannelSteps(alertChannels, facts.programs, monitor.configuration),
  ]
  const told = new Map<string, NextStep>()
  for (const step of steps) {
    const whole = typeof step === 'string' ? { text: step, order: null, units: [] } : step
    if (!told.has(whole.text)) told.set(whole.text, whole)
  }
  return [...told.values()]
}

/** A step, and the order of the monitor that it is; null = it is none. */
type NextStep = NonNullable<StatusReport['steps']>[number]

/** A step that is an order. @param command without the state directory. */
function orderStep(order: string, unit: string, command: string, facts: StatusFacts): NextStep {
  return { text: `${command} ${shellWord(unit)}${facts.directoryOption}`, order, units: [unit] }
}

/** What has happened to it. */
const whyStep = (unit: string, facts: StatusFacts) =>
  orderStep('status', unit, `${facts.programs.log} --why`, facts)

const startStep = (unit: string, facts: StatusFacts) =>
  orderStep('start', unit, `${facts.programs.ctl} start`, facts)

/** What to do about a forward where there is nothing to type; null when there is nothing to do. */
export function adviceFor(
  state: ForwardStatusState,
  { record, health }: ForwardFacts,
  reading: StateReading,
): string | null {
  const target =
    record?.target ?? (health === undefined ? 'its target' : `${health.target.host}:${health.target.port}`)
  // The program's own rows say what to do about it.
  if (targetProgram(target) !== undefined)
    return health?.program?.isTold === false
      ? 'start the monitor, which says which of its processes are ready'
      : null
  if (state === 'unreachable') return `start your app on ${target}; the port then works at once`
  if (health !== undefined && (state === 'exposed' || state === 'degraded'))
    return inspectorAdvice(health, loginCure(record, reading))
  if (state === 'waiting') return `start your app on ${target} (if you need it)`
  return null
}

function forwardSteps(
  { name, state, port, pid, advice }: ForwardStatus,
  facts: StatusFacts,
): (string | NextStep)[] {
  const found = facts.forwards.find((one) => one.port === port)
  switch (state) {
    case 'unreachable':
    case 'waiting':
      return advice === null ? [] : [advice]
    case 'blocked':
      return [freePortStep(port, found, facts)]
    case 'unverifiable':
      return found?.process?.isElsewhere === true
        ? [`look at PID ${pid} in the container in which ${name} was started`]
        : [`ps -fp ${pid}   (is it the forwarder of ${name}?)`]
    case 'suspended':
      // The verdict proves who it is: it is given only to a process of this PID namespace whose start time was compared.
      return [`kill -CONT ${pid}   (resumes ${name})`]
    case 'backoff':
    case 'flapping':
      return [whyStep(name, facts)]
    case 'exposed':
    case 'degraded':
      return [...loginStep(name, found, facts), ...(advice === null ? [] : [advice])]
    case 'down':
      // Only a monitor that runs takes the order.
      if (found?.wantedDown === undefined || facts.monitorControl !== 'answered') return []
      return [startStep(name, facts)]
    case 'healthy':
    case 'draining':
    case 'starting':
    case 'detached':
    case 'hung':
    case 'dead':
      return []
  }
}

function programSteps({ name, state, port, pid }: ProgramStatus, facts: StatusFacts): (string | NextStep)[] {
  const found = () => facts.programFacts?.find(({ record }) => record.name === name)
  switch (state) {
    case 'blocked': {
      const holder = found()?.holder
      const pid = holder?.pid
      if (pid !== undefined)
        return [`kill ${pid}   (${holder?.command ?? 'unknown'}; holds port ${port}, which ${name} needs)`]
      return port === null ? [whyStep(name, facts)] : [showHolder(port)]
    }
    case 'detached':
      if (facts.monitorControl !== 'answered') return []
      return ['adopt', 'end'].map((order) => orderStep(order, name, `${facts.programs.ctl} ${order}`, facts))
    case 'unverifiable':
      return [`ps -fp ${pid}   (is it the ${found()?.record.kind ?? `program ${name}`}?)`]
    case 'suspended':
      return [`kill -CONT ${pid}   (resumes ${name})`]
    case 'backoff':
    case 'flapping':
      return [found()?.record.cause?.isInOutput === true ? outputStep(name, facts) : whyStep(name, facts)]
    case 'degraded':
      return found()?.record.unwell == null ? [] : [outputStep(name, facts)]
    case 'down':
      if (found()?.wantedDown === undefined || facts.monitorControl !== 'answered') return []
      return [startStep(name, facts)]
    default:
      return []
  }
}

/** What it printed. A monitor that does not run cannot be asked; the files are there. */
function outputStep(unit: string, facts: StatusFacts): NextStep {
  const { programs, monitorControl } = facts
  const command = monitorControl === 'answered' ? `${programs.ctl} logs` : programs.log
  return orderStep('logs', unit, command, facts)
}

/** What puts a login in front of an Inspector: something to type, or to do. */
type LoginCure = { readonly kind: 'restart-monitor' } | { readonly kind: 'words'; readonly text: string }

function loginCure(record: ForwardRecord | undefined, reading: StateReading): LoginCure {
  if (record === undefined || reading.kind !== 'read') {
    return { kind: 'words', text: 'put a login in front: start the forward with --gate token' }
  }
  const { configuration, serviceManager } = reading.state.writer
  if (configuration !== null) {
    const text = `put a login in front: write gate: token in ${configuration} for each forward of the Inspector`
    return { kind: 'words', text }
  }
  if (serviceManager === null) return { kind: 'restart-monitor' }
  const text =
    'put a login in front: write a file with gate: token for each forward of the Inspector (proxy-monitor --init makes one), and install ' +
    'the service with it: install-systemd --config FILE'
  return { kind: 'words', text }
}

function inspectorAdvice(health: ForwarderHealth, cure: LoginCure): string | null {
  const verdict = judgeInspector(health)
  if (verdict === undefined) return null
  const { allowedOrigins } = verdict
  const cures = cure.kind === 'words' ? [cure.text] : []
  if (allowedOrigins !== undefined)
    cures.push(`start the Inspector with ALLOWED_ORIGINS=${allowedOrigins.join(',')}`)
  return cures.length === 0 ? null : cures.join('; or ')
}

/** The same for all three forwards, which share the monitor. */
function loginStep(
  name: string,
  found: ForwardFacts | undefined,
  { programs, directoryOption, reading }: StatusFacts,
): string[] {
  if (found?.health === undefined || judgeInspector(found.health) === undefined) return []
  if (loginCure(found.record, reading).kind !== 'restart-monitor') return []
  const { monitor } = programs
  return [
    `${monitor} --stop${directoryOption} && ${monitor} --gate token${directoryOption}   (puts a login in front of ${name})`,
  ]
}

/** The holder was looked up just now, in this PID namespace: its PID is no guess. The port in the configuration may be the mistake, too. */
function freePortStep(port: number, found: ForwardFacts | undefined, { forwards }: StatusFacts): string {
  const holder = found?.holder
  const isOurs = forwards.some(({ process, health }) =>
    [process?.pid, health?.identity.pid].includes(holder?.pid ?? -1),
  )
  if (holder?.pid !== undefined && !isOurs)
    return `kill ${holder.pid}   (${holder.command ?? 'unknown'}; holds port ${port}), or give this forward another port`
  return showHolder(port)
}

function showHolder(port: number): string {
  return `sudo ss -ltnp 'sport = :${port}'   (shows what holds port ${port})`
}

/** Forwards that no monitor knows: none that is started takes them over. */
function strayForwardSteps(
  { state, cause }: MonitorStatus,
  { forwards, pidNamespace, programs, stateDirectory }: StatusFacts,
): string[] {
  if (state === 'UNKNOWN' || state === 'STARTING') return []
  const strays = forwards.filter(({ record, health }) => record === undefined && health !== undefined)
  if (strays.length === 0) return []
  if (cause === 'never-ran') {
    const ports = strays.map(({ port }) => port).join(', ')
    const start = `${programs.monitor} --config FILE --state-dir ${shellWord(stateDirectory)}`
    return [`to have port ${ports} monitored, list it in a configuration file, then: ${start}`]
  }
  return strays.flatMap(({ health, port }) =>
    health?.identity.pidNamespace === pidNamespace
      ? [`kill ${health.identity.pid}   (stops the forward of port ${port}, if you do not need it)`]
      : [],
  )
}

function monitorStep(monitor: MonitorStatus, facts: StatusFacts): string[] {
  const { cause, pid, serviceManager, configuration } = monitor
  const { stateDirectory, programs, writerVerdict, writerIsElsewhere } = facts
  const directory = shellWord(stateDirectory)
  const configured = configuration === null ? '' : ` --config ${shellWord(configuration)}`
  const isRelative = configuration !== null && !path.isAbsolute(configuration)
  const where = isRelative ? '   (in the folder in which it was started)' : ''
  const gated = facts.reading.kind === 'read' && facts.reading.state.writer.gate ? ' --gate token' : ''
  const start = `${programs.monitor} --state-dir ${directory}${configured}${gated}${where}`
  const isSystems = /^\/(?:var\/lib|run)\/(?!user\/)/.test(stateDirectory)
  const service = (verb: string) => `systemctl ${isSystems ? '' : '--user '}${verb} proxy-monitor`
  const isService = serviceManager === 'systemd'
  switch (cause) {
    case null:
    case 'starting':
      return []
    case 'never-ran': {
      // A monitor without a configuration would watch other ports than those that are forwarded.
      const isAlone = facts.forwards.some(({ health }) => health !== undefined)
      return isAlone ? [] : [start]
    }
    case 'ended':
    case 'rebooted':
    case 'died':
      return [isService ? service('start') : start]
    case 'suspended':
      return [`kill -CONT ${pid}`]
    case 'hangs':
    case 'no-checks':
      if (writerIsElsewhere === true) return ['restart the container in which the monitor was started']
      if (isService) return [service('restart')]
      // Only a process whose identity was verified is named as one to kill.
      return writerVerdict === 'alive'
        ? [`kill -9 ${pid}; ${start}`]
        : [`look at PID ${pid} where the monitor was started`]
    case 'unreadable':
    case 'newer':
      return [`ls -l ${directory}`]
    case 'corrupt':
      return [`${isService ? service('restart') : start}   (it keeps the corrupt file aside)`]
    case 'records':
      return [`df -h ${directory}; df -i ${directory}`]
    case 'configuration':
      return [`${programs.monitor} --check${configured}${where}`]
  }
}
