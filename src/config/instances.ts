/** Copies of one program: how an entry with `instances` becomes a program for each. */
import {
  type HealthCondition,
  type Probe,
  type ProgramConfiguration,
  portOf,
  type ReadyCondition,
} from './program-configuration.ts'

/** Every process of a copy has the copy's number in its environment, from 1. */
const instanceVariable = 'PORT_WATCHDOG_INSTANCE'

/** How many copies an order may ask for when the file does not say; more when the file itself asks for more. */
export const usualMaxInstances = 8

/** The name of a copy: `web-2`. It fits wherever a name does: file names, orders, globs. */
export function instanceName(program: string, number: number): string {
  return `${program}-${number}`
}

/**
 * The port on which a program, or its first copy, takes connections: that of `env.PORT`, else that which makes it ready, else one that the monitor
 * holds for it; undefined = it has none.
 */
export function servedPort({
  env,
  ready,
  sockets,
}: Pick<ProgramConfiguration, 'env' | 'ready' | 'sockets'>): number | undefined {
  const { PORT } = env
  if (PORT !== undefined && /^\d{1,5}$/.test(PORT)) return Number(PORT)
  return portOf(ready?.probe) ?? sockets[0]?.port
}

/** Every program that may run, as many copies as the file says. @param countOf another number for a program, by its name. */
export function withInstances(
  programs: readonly ProgramConfiguration[],
  countOf: (program: ProgramConfiguration) => number = ({ instances }) => instances?.count ?? 1,
): readonly ProgramConfiguration[] {
  return programs.flatMap((program) => instancesOf(program, countOf(program)))
}

/**
 * A program for each copy; the program itself when it has none. Copy i gets the ports of the first one plus i - 1: in `ready`, in `health`, in
 * the variable PORT, and wherever `{port}` stands in its command or variables. `{instance}` stands for its number.
 */
export function instancesOf(program: ProgramConfiguration, count: number): readonly ProgramConfiguration[] {
  if (program.instances === undefined) return [program]
  return Array.from({ length: count }, (_, index) => instance(program, index + 1))
}

function instance(program: ProgramConfiguration, number: number): ProgramConfiguration {
  const { instances: _, ...rest } = program
  const first = servedPort(program)
  const port = first === undefined ? undefined : first + number - 1
  const fill = (text: string) => {
    const numbered = text.replaceAll('{instance}', String(number))
    return port === undefined ? numbered : numbered.replaceAll('{port}', String(port))
  }
  const env = Object.fromEntries(Object.entries(program.env).map(([name, value]) => [name, fill(value)]))
  return {
    ...rest,
    name: instanceName(program.name, number),
    instanceOf: { program: program.name, number },
    command: program.command.map(fill) as unknown as ProgramConfiguration['command'],
    env: {
      ...env,
      ...(port === undefined ? {} : { PORT: String(port) }),
      [instanceVariable]: String(number),
    },
    ready: program.ready && moved(program.ready, number - 1),
    health: program.health && moved(program.health, number - 1),
  }
}

/** A condition that asks the port of a copy. */
function moved<Condition extends ReadyCondition | HealthCondition>(
  condition: Condition,
  by: number,
): Condition {
  return { ...condition, probe: movedProbe(condition.probe, by) }
}

function movedProbe(probe: ReadyCondition['probe'], by: number): ReadyCondition['probe'] {
  const port = portOf(probe)
  if (port === undefined || by === 0) return probe
  if (probe.kind === 'port') return { ...probe, port: port + by } satisfies Probe
  if (probe.kind !== 'http') return probe
  const url = new URL(probe.url)
  url.port = String(port + by)
  return { ...probe, url: url.href }
}
