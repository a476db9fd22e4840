import type { ForwardFacts, StatusFacts } from './facts.ts'
import { type OwnPrograms, shellWord } from './own-programs.ts'
import type { ForwardStatus, MonitorStatus } from './status.ts'

/** What to type, or to do, about what is wrong, most urgent first. Pure. */
export function nextSteps(
  monitor: MonitorStatus,
  forwards: readonly ForwardStatus[],
  facts: StatusFacts,
): string[] {
  const ofForwards = forwards.flatMap((forward) => forwardStep(forward, facts.programs) ?? [])
  const steps = [...monitorStep(monitor, facts), ...ofForwards, ...leftOverSteps(monitor, facts.forwards)]
  return [...new Set(steps)]
}

/** What no monitor knows, none that is started takes over: it ends only when somebody ends it. */
function leftOverSteps({ state }: MonitorStatus, forwards: readonly ForwardFacts[]): string[] {
  if (state === 'UNKNOWN') return []
  return forwards.flatMap(({ record, health, port }) =>
    record === undefined && health !== undefined
      ? [`kill ${health.identity.pid}   (ends the forward of port ${port}, when it is not wanted)`]
      : [],
  )
}

function monitorStep(
  { cause, pid, serviceManager, configuration }: MonitorStatus,
  { stateDirectory, programs }: StatusFacts,
): string[] {
  const directory = shellWord(stateDirectory)
  const configured = configuration === null ? '' : ` --config ${shellWord(configuration)}`
  const start = `${programs.monitor} --state-dir ${directory}${configured}`
  const isSystems = /^\/(?:var\/lib|run)\/(?!user\/)/.test(stateDirectory)
  const service = (verb: string) => `systemctl ${isSystems ? '' : '--user '}${verb} proxy-monitor`
  const isService = serviceManager === 'systemd'
  switch (cause) {
    case null:
      return []
    case 'never-ran':
    case 'ended':
    case 'rebooted':
    case 'died':
      return [isService ? service('start') : start]
    case 'suspended':
      return [`kill -CONT ${pid}`]
    case 'hangs':
    case 'no-checks':
      return [isService ? service('restart') : `kill -9 ${pid}; ${start}`]
    case 'unreadable':
    case 'newer':
      return [`ls -l ${directory}`]
    case 'corrupt':
      return [`${isService ? service('restart') : start}   (it keeps the corrupt file aside)`]
    case 'records':
      return [`df -h ${directory}; df -i ${directory}`]
    case 'configuration':
      return [`${programs.monitor} --check${configured}`]
  }
}

function forwardStep({ state, target, port, pid }: ForwardStatus, programs: OwnPrograms): string | undefined {
  switch (state) {
    case 'unreachable':
      return `start what listens at ${target}; port ${port} then works at once`
    case 'waiting':
      return `start what listens at ${target}, when it is wanted`
    case 'blocked':
      return `free port ${port}: ss -ltnp 'sport = :${port}'`
    case 'unverifiable':
      return `look at it: ps -fp ${pid}`
    case 'backoff':
    case 'flapping':
      return `see why: ${programs.log} --why ${port}`
    case 'healthy':
    case 'degraded':
    case 'draining':
    case 'starting':
    case 'hung':
    case 'suspended':
    case 'dead':
    case 'down':
      return undefined
  }
}
