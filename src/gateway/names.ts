import { createHash } from 'node:crypto'
import type { ConnectorConfiguration, ToolOffer } from '../config/connector-configuration.ts'

/**
 * The names under which the tools and prompts of connectors are offered: `connectorId__name`. Model providers take 64 of `[A-Za-z0-9_-]`;
 * what does not fit gets a hash, which is the same after every start. Names are never split again: routes come from a table.
 */

export const nameSeparator = '__'

/** Characters of a name that every provider of models takes. */
export const longestName = 64

const hashLetters = 8

/** What a name is offered as. @param prefix what stands before it; empty = nothing. */
export function offeredName(connector: string, name: string, prefix = connector): string {
  const whole = prefixed(prefix, name)
  return isFitting(whole) ? whole : hashedName(connector, name, prefix)
}

/** What a tool or prompt of a connector is offered as where all connectors are. @param name as the server has it. */
export function longName({ id, tools }: Pick<ConnectorConfiguration, 'id' | 'tools'>, name: string): string {
  return offeredName(id, ownName(tools, name), tools.prefix)
}

/** The name that a connector's configuration gives it, else its server's. */
export function ownName({ rename }: Pick<ToolOffer, 'rename'>, name: string): string {
  return Object.hasOwn(rename, name) ? (rename[name] ?? name) : name
}

function prefixed(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}${nameSeparator}${name}`
}

/** The same with a hash at its end: for a name that does not fit, or that somebody else has already. */
export function hashedName(connector: string, name: string, prefix = connector): string {
  const hash = createHash('sha256').update(`${connector}\0${name}`).digest('hex').slice(0, hashLetters)
  const plain = prefixed(prefix, name).replaceAll(/[^A-Za-z0-9_-]/g, '_')
  return `${plain.slice(0, longestName - hashLetters - 1)}_${hash}`
}

function isFitting(name: string): boolean {
  return name.length <= longestName && /^[A-Za-z0-9_-]+$/.test(name)
}

/** A name with `*` for any characters. */
export function matches(glob: string, name: string): boolean {
  const parts = glob.split('*').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's').test(name)
}

/** Whether a name is among those that are allowed (none named = all), and not among those that are not. */
export function isAllowed(
  name: string,
  { allow, deny }: { readonly allow: readonly string[]; readonly deny: readonly string[] },
): boolean {
  if (deny.some((glob) => matches(glob, name))) return false
  return allow.length === 0 || allow.some((glob) => matches(glob, name))
}
