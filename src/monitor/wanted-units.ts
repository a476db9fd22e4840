/** The units that a configuration asks for. A kind of unit is made here. */
import type { Configuration, ForwardConfiguration } from '../config/configuration.ts'
import type { ProgramConfiguration } from '../config/program-configuration.ts'
import { ForwardUnit } from '../forward/unit/index.ts'
import type { InheritedSocket } from '../process/inheritance.ts'
import type { LeadingForwards } from '../program/index.ts'
import { forwardId, programId } from '../record/shapes/runtime-state.ts'
import type { WantedUnit } from '../watch/watched-units.ts'

/** The kinds of units that only some configurations have: their rooms are loaded where they are used. */
export interface OtherKinds {
  readonly ProgramUnit?: typeof import('../program/index.ts').ProgramUnit
}

/** Loads what a configuration needs. */
export async function loadKinds({ programs }: Configuration, known: OtherKinds = {}): Promise<OtherKinds> {
  if (programs.length === 0 || known.ProgramUnit !== undefined) return known
  const { ProgramUnit } = await import('../program/index.ts')
  return { ...known, ProgramUnit }
}

/** What units need of the monitor around them. */
export interface UnitSurroundings {
  readonly stateDirectory: string
  /** Makes the state directory when it is gone. Throws when it cannot be used. */
  readonly prepareDirectory: () => void
  /** Listening sockets that the monitor holds, by their ports. */
  readonly sockets: ReadonlyMap<number, readonly InheritedSocket[]>
  /** Says something that a person should hear. */
  readonly warn: (message: string) => void
  /** Those that lead to programs. */
  readonly forwards: LeadingForwards
}

/** In the order of the configuration, the forwards first. @param kinds as `loadKinds` loaded them for this configuration. */
export function wantedUnits(
  { forwards, programs }: Configuration,
  kinds: OtherKinds,
  around: UnitSurroundings,
): readonly WantedUnit[] {
  return [
    ...forwards.map((forward) => wantedForward(forward, around)),
    ...programs.map((program) => wantedProgram(program, kinds, around)),
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

/** `6274, 6275 and the programs web, api`. */
export function watchedInWords({ forwards, programs }: Configuration): string {
  const names = programs.map(({ name }) => name).join(', ')
  const parts = [
    forwards.map(portOf).join(', '),
    names && `the ${programs.length === 1 ? 'program' : 'programs'} ${names}`,
  ]
  return parts.filter((part) => part !== '').join(' and ') || 'no port'
}

/** The port by which a forward is known. */
export function portOf({ options }: ForwardConfiguration): number {
  return options.listenPort
}
