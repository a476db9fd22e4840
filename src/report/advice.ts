import path from 'node:path'
import type { ForwarderHealth } from '../record/forwarder-health.ts'
import type { ForwardRecord, StateReading } from '../record/runtime-state.ts'
import { type AlertChannelStatus, alertChannelSteps } from './alert-channels.ts'
import type { ForwardFacts, StatusFacts } from './facts.ts'
import { judgeInspector } from './inspector-verdict.ts'
import { shellWord } from './own-programs.ts'
import type { ForwardStatus, ForwardStatusState, MonitorStatus } from './status.ts'

/** What to type, or to do, about what is wrong, most urgent first. Pure. Every command works as typed from any folder. */
export function nextSteps(
  monitor: MonitorStatus,
  forwards: readonly ForwardStatus[],
  alertChannels: readonly AlertChannelStatus[],
  facts: StatusFacts,
): string[] {
  const steps = [
    ...monitorStep(monitor, facts),
    ...forwards.flatMap((forward) => forwardSteps(forward, facts)),
    ...strayForwardSteps(monitor, facts),
    ...alertChannelSteps(alertChannels, facts.programs, monitor.configuration),
  ]
  return [...new Set(steps)]
}

/** What to do about a forward where there is nothing to type; null when there is nothing to do. */
export function adviceFor(
  state: ForwardStatusState,
  { record, health }: ForwardFacts,
  reading: StateReading,
): string | null {
  const target =
    record?.target ?? (health === undefined ? 'its target' : `${health.target.host}:${health.target.port}`)
  if (state === 'unreachable') return `start your app on ${target}; the port then works at once`
  if (health !== undefined && (state === 'exposed' || state === 'degraded'))
    return inspectorAdvice(health, loginCure(record, reading))
  if (state === 'waiting') return `start your app on ${target} (if you need it)`
  return null
}

function forwardSteps({ name, state, port, pid, advice }: ForwardStatus, facts: StatusFacts): string[] {
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
      return [`${facts.programs.log} --why ${shellWord(name)}${facts.directoryOption}`]
    case 'exposed':
    case 'degraded':
      return [...loginStep(name, found, facts), ...(advice === null ? [] : [advice])]
    case 'healthy':
    case 'draining':
    case 'starting':
    case 'hung':
    case 'dead':
    case 'down':
      return []
  }
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
    return `kill ${holder.pid}   (${holder.command}; holds port ${port}), or give this forward another port`
  return `sudo ss -ltnp 'sport = :${port}'   (shows what holds port ${port})`
}

/** Forwards that no monitor knows: none that is started takes them over. */
function strayForwardSteps(
  { state, cause }: MonitorStatus,
  { forwards, pidNamespace, programs, stateDirectory }: StatusFacts,
): string[] {
  if (state === 'UNKNOWN') return []
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
