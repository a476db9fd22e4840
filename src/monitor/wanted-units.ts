/** The units that a configuration asks for. A kind of unit is made here. */
import type { Configuration, ForwardConfiguration } from '../config/configuration.ts'
import type { ProgramConfiguration } from '../config/program-configuration.ts'
import { ForwardUnit } from '../forward/unit/index.ts'
import type { InheritedSocket } from '../process/inheritance.ts'
import type { LeadingForwards } from '../program/index.ts'
import { forwardId, gatewayId, programId } from '../record/shapes/runtime-state.ts'
import type { WantedUnit } from '../watch/watched-units.ts'

/** The kinds of units that only some configurations have: their rooms are loaded where they are used. */
export interface OtherKinds {
  readonly ProgramUnit?: typeof import('../program/index.ts').ProgramUnit
  readonly GatewayUnit?: typeof import('../gateway/unit/index.ts').GatewayUnit
}

/** Loads what a configuration needs. */
export async function loadKinds(configuration: Configuration, known: OtherKinds = {}): Promise<OtherKinds> {
  let kinds = known
  if (configuration.programs.length > 0 && kinds.ProgramUnit === undefined) {
    const { ProgramUnit } = await import('../program/index.ts')
    kinds = { ...kinds, ProgramUnit }
  }
  if (hasGateway(configuration) && kinds.GatewayUnit === undefined) {
    const { GatewayUnit } = await import('../gateway/unit/index.ts')
    kinds = { ...kinds, GatewayUnit }
  }
  return kinds
}

/** The gateway is a unit where the file speaks of it, and where it has something to serve. */
function hasGateway({ gateway, connectors }: Configuration): boolean {
  return (
    gateway.kept !== undefined && (gateway.import.length > 0 || connectors.some(({ enabled }) => enabled))
  )
}

/** What units need of the monitor around them. */
export interface UnitSurroundings {
  readonly stateDirectory: string
  /** The absolute path of the configuration file; undefined = there is none. */
  readonly file: string | undefined
  /** Makes the state directory when it is gone. Throws when it cannot be used. */
  readonly prepareDirectory: () => void
  /** Listening sockets that the monitor holds, by their ports. */
  readonly sockets: ReadonlyMap<number, readonly InheritedSocket[]>
  /** Says something that a person should hear. */
  readonly warn: (message: string) => void
  /** Those that lead to programs. */
  readonly forwards: LeadingForwards
}

/** In the order of the configuration, the forwards first, the gateway last. @param kinds as `loadKinds` loaded them for this configuration. */
export function wantedUnits(
  configuration: Configuration,
  kinds: OtherKinds,
  around: UnitSurroundings,
): readonly WantedUnit[] {
  const { forwards, programs } = configuration
  return [
    ...forwards.map((forward) => wantedForward(forward, around)),
    ...programs.map((program) => wantedProgram(program, kinds, around)),
    ...wantedGateway(configuration, kinds, around),
  ]
}

function wantedForward(
  forward: ForwardConfiguration,
  { stateDirectory, prepareDirectory, sockets }: UnitSurroundings,
): WantedUnit {
  const port = portOf(forward)
  return {
    id: forwardId(port),
    create: () =>
      new ForwardUnit(forward, { stateDirectory, prepareDirectory, sockets: sockets.get(port) ?? [] }),
    reconfigure: (unit) => unit instanceof ForwardUnit && unit.reconfigure(forward),
  }
}

function wantedProgram(
  program: ProgramConfiguration,
  { ProgramUnit }: OtherKinds,
  { stateDirectory, prepareDirectory, warn, forwards }: UnitSurroundings,
): WantedUnit {
  if (ProgramUnit === undefined) throw new Error('programs are configured, and their room is not loaded')
  return {
    id: programId(program.name),
    create: () => new ProgramUnit(program, { stateDirectory, prepareDirectory, warn, forwards }),
    reconfigure: (unit) => unit instanceof ProgramUnit && unit.reconfigure(program),
  }
}

function wantedGateway(
  configuration: Configuration,
  { GatewayUnit }: OtherKinds,
  { stateDirectory, prepareDirectory, warn, file }: UnitSurroundings,
): readonly WantedUnit[] {
  const { gateway, connectors } = configuration
  const { kept } = gateway
  if (kept === undefined || file === undefined || !hasGateway(configuration)) return []
  if (GatewayUnit === undefined) throw new Error('a gateway is configured, and its room is not loaded')
  const wanted = { file, gateway, kept, connectors }
  return [
    {
      id: gatewayId,
      create: () => new GatewayUnit(wanted, { stateDirectory, prepareDirectory, warn }),
      reconfigure: (unit) => unit instanceof GatewayUnit && unit.reconfigure(wanted),
    },
  ]
}

/** `6274, 6275, the programs web, api and the gateway`. */
export function watchedInWords(configuration: Configuration): string {
  const { forwards, programs } = configuration
  const names = programs.map(({ name }) => name).join(', ')
  const parts = [
    forwards.map(portOf).join(', '),
    names && `the ${programs.length === 1 ? 'program' : 'programs'} ${names}`,
    hasGateway(configuration) ? 'the gateway' : '',
  ]
  return parts.filter((part) => part !== '').join(' and ') || 'no port'
}

/** The port by which a forward is known. */
export function portOf({ options }: ForwardConfiguration): number {
  return options.listenPort
}
