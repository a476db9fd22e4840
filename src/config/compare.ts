import { isDeepStrictEqual } from 'node:util'
import type { Configuration, ForwardConfiguration } from './configuration.ts'

/** What a new configuration asks for that the one before did not. */
export interface ConfigurationChange {
  readonly added: readonly ForwardConfiguration[]
  readonly removed: readonly ForwardConfiguration[]
  /** Same name and port, other options or another restart policy. */
  readonly changed: readonly ForwardConfiguration[]
}

/** Compares by name. A forward that listens on another port now is one removed and one added: its files are named by its port. */
export function compareConfigurations(before: Configuration, after: Configuration): ConfigurationChange {
  const isSame = (a: ForwardConfiguration, b: ForwardConfiguration) =>
    a.name === b.name && a.options.listenPort === b.options.listenPort
  const earlier = (one: ForwardConfiguration) => before.forwards.find((other) => isSame(one, other))
  return {
    added: after.forwards.filter((one) => earlier(one) === undefined),
    removed: before.forwards.filter((one) => !after.forwards.some((other) => isSame(one, other))),
    changed: after.forwards.filter((one) => {
      const old = earlier(one)
      return old !== undefined && !isDeepStrictEqual(one, old)
    }),
  }
}

/**
 * The change in words: `added web; removed api; changed inspector; files moved from port 1 to 2`; undefined when nothing changed.
 */
export function changeInWords({ added, removed, changed }: ConfigurationChange): string | undefined {
  const moved = added.flatMap((to) => {
    const from = removed.find(({ name }) => name === to.name)
    return from === undefined ? [] : [{ name: to.name, from: from.options, to: to.options }]
  })
  const isMoved = ({ name }: ForwardConfiguration) => moved.some((one) => one.name === name)
  const parts = [
    ['added', added.filter((one) => !isMoved(one))],
    ['removed', removed.filter((one) => !isMoved(one))],
    ['changed', changed],
  ] as const
  const said = [
    ...parts
      .filter(([, forwards]) => forwards.length > 0)
      .map(([verb, forwards]) => `${verb} ${forwards.map(({ name }) => name).join(', ')}`),
    ...moved.map(({ name, from, to }) => `${name} moved from port ${from.listenPort} to ${to.listenPort}`),
  ]
  return said.length === 0 ? undefined : said.join('; ')
}
