import { isDeepStrictEqual } from 'node:util'
import type { Configuration, ForwardConfiguration } from './configuration.ts'
import type { ProgramConfiguration } from './program-configuration.ts'

/** What a new configuration asks for that the one before did not. */
export interface ConfigurationChange {
  readonly added: readonly ForwardConfiguration[]
  readonly removed: readonly ForwardConfiguration[]
  /** Same port, other options or another restart policy. */
  readonly changed: readonly ForwardConfiguration[]
  /** Same port, another name. One that has other options as well is in `changed`, too. */
  readonly renamed: readonly Renaming[]
  /** A program is what has its name. */
  readonly programs: {
    readonly added: readonly ProgramConfiguration[]
    readonly removed: readonly ProgramConfiguration[]
    readonly changed: readonly ProgramConfiguration[]
  }
}

/** A forward is what listens on its port, whatever it is called. */
export interface Renaming {
  readonly from: string
  readonly to: string
  readonly port: number
}

/** Compares forwards by port: a forward's process and files belong to it, and a name is only what people call it. Programs go by their names. */
export function compareConfigurations(before: Configuration, after: Configuration): ConfigurationChange {
  const earlier = (one: ForwardConfiguration) => before.forwards.find((other) => isSamePort(one, other))
  return {
    added: after.forwards.filter((one) => earlier(one) === undefined),
    removed: before.forwards.filter((one) => !after.forwards.some((other) => isSamePort(one, other))),
    changed: after.forwards.filter((one) => {
      const old = earlier(one)
      return old !== undefined && !isDeepStrictEqual(one, { ...old, name: one.name })
    }),
    renamed: renamings(
      before.forwards.map(({ name, options }) => ({ name, port: options.listenPort })),
      after.forwards.map(({ name, options }) => ({ name, port: options.listenPort })),
    ),
    programs: comparePrograms(before.programs, after.programs),
  }
}

function comparePrograms(
  before: readonly ProgramConfiguration[],
  after: readonly ProgramConfiguration[],
): ConfigurationChange['programs'] {
  const named = (programs: readonly ProgramConfiguration[], name: string) =>
    programs.find((one) => one.name === name)
  return {
    added: after.filter(({ name }) => named(before, name) === undefined),
    removed: before.filter(({ name }) => named(after, name) === undefined),
    changed: after.filter((one) => {
      const old = named(before, one.name)
      return old !== undefined && !isDeepStrictEqual(one, old)
    }),
  }
}

/** What is called otherwise now than before. */
export function renamings(
  before: readonly { readonly name: string; readonly port: number }[],
  after: readonly { readonly name: string; readonly port: number }[],
): Renaming[] {
  return after.flatMap(({ name, port }) => {
    const old = before.find((one) => one.port === port)
    return old === undefined || old.name === name ? [] : [{ from: old.name, to: name, port }]
  })
}

function isSamePort(a: ForwardConfiguration, b: ForwardConfiguration): boolean {
  return a.options.listenPort === b.options.listenPort
}

/**
 * The change in words: `added web; removed api; changed inspector; renamed app to shop; files moved from port 1 to 2`; undefined when
 * nothing changed.
 */
export function changeInWords({
  added,
  removed,
  changed,
  renamed,
  programs,
}: ConfigurationChange): string | undefined {
  const moved = added.flatMap((to) => {
    const from = removed.find(({ name }) => name === to.name)
    return from === undefined ? [] : [{ name: to.name, from: from.options, to: to.options }]
  })
  const isMoved = ({ name }: ForwardConfiguration) => moved.some((one) => one.name === name)
  const parts = [
    ['added', [...added.filter((one) => !isMoved(one)), ...programs.added]],
    ['removed', [...removed.filter((one) => !isMoved(one)), ...programs.removed]],
    ['changed', [...changed, ...programs.changed]],
  ] as const
  const said = [
    ...parts
      .filter(([, units]) => units.length > 0)
      .map(([verb, units]) => `${verb} ${units.map(({ name }) => name).join(', ')}`),
    ...renamed.map(({ from, to }) => `renamed ${from} to ${to}`),
    ...moved.map(({ name, from, to }) => `${name} moved from port ${from.listenPort} to ${to.listenPort}`),
  ]
  return said.length === 0 ? undefined : said.join('; ')
}

/** Everything that differs between two configurations, in words; undefined when nothing does. */
export function differenceInWords(before: Configuration, after: Configuration): string | undefined {
  const parts = [
    changeInWords(compareConfigurations(before, after)),
    isDeepStrictEqual(before.alerts, after.alerts) ? undefined : 'other alerts',
    isDeepStrictEqual(before.http, after.http) ? undefined : 'another HTTP API',
    isDeepStrictEqual(before.configChange, after.configChange) ? undefined : 'other rights to change it',
    isDeepStrictEqual(before.gateway, after.gateway) ? undefined : 'another gateway',
    isDeepStrictEqual(before.connectors, after.connectors) ? undefined : 'other connectors',
    before.intervalMs === after.intervalMs ? undefined : 'another interval',
  ].filter((part) => part !== undefined)
  return parts.length === 0 ? undefined : parts.join('; ')
}
