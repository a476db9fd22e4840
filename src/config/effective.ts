/**
 * The values that hold, one by one, each with where it comes from: a line of the file, a template, an order, or
 * nowhere, which is a default.
 *
 *   Configuration -> written-values.ts (names and units of the file) -> `effectiveValues` -> order `config-show`
 *   two of these lists -> `differences` -> order `config-diff`
 */
import type { Configuration } from './configuration.ts'
import type { ReadConfiguration } from './load.ts'
import type { Place } from './problems.ts'
import { Secret } from './secret.ts'
import { asWritten, isPlain } from './written-values.ts'

/** Where a value comes from. */
export type Origin =
  /** `line`: from 1; null = not known. */
  | { readonly kind: 'file'; readonly line: number | null }
  | { readonly kind: 'template'; readonly template: string }
  /** An order has set it. */
  | { readonly kind: 'order' }
  | { readonly kind: 'default' }

export interface EffectiveValue {
  /** By the names of units: `programs.web.restart.backoff`. */
  readonly path: string
  /** The unit that it is of; null = none. */
  readonly unit: string | null
  readonly value: unknown
  /** It must not be shown. */
  readonly isSecret: boolean
  /** Of a secret: what tells two of them apart without revealing them. */
  readonly fingerprint?: string
  readonly origin: Origin
}

/** What a configuration was read from; the parts of it that tell where a value comes from. */
export type Sources = Pick<ReadConfiguration, 'content' | 'overlaid' | 'expanded' | 'lineOf'>

/** @param sources undefined = there is no file, and everything is a default. */
export function effectiveValues(configuration: Configuration, sources?: Sources): EffectiveValue[] {
  const found: EffectiveValue[] = []
  const ordered = configuration.programs.map((program) => program.ordered ?? [])
  for (const leaf of leavesOf(asWritten(configuration), [], [])) {
    const { place, names, value } = leaf
    const isUnit = place[0] === 'forwards' || place[0] === 'programs'
    found.push({
      path: names.join('.'),
      unit: isUnit ? (names[1] ?? null) : null,
      value: value instanceof Secret ? value.toString() : value,
      isSecret: value instanceof Secret || isOfEnvironment(place) || isKeyedUrl(place, value),
      ...(value instanceof Secret ? { fingerprint: value.fingerprint } : {}),
      origin:
        sources === undefined
          ? { kind: 'default' }
          : originOf(place, sources, ordered[Number(place[1])] ?? []),
    })
  }
  return found
}

/** Variables and headers: what they hold may be a secret, whatever it is called. */
function isOfEnvironment([list, , key]: Place): boolean {
  return (list === 'programs' || list === 'connectors') && (key === 'env' || key === 'headers')
}

/** The URL of a server may have a key in it. */
function isKeyedUrl([list, , key]: Place, value: unknown): boolean {
  return list === 'connectors' && key === 'url' && /[?]|\/\/[^/]*@/.test(String(value))
}

/** What differs between two configurations. */
export interface Difference {
  readonly path: string
  /** Null = it is not there. */
  readonly before: EffectiveValue | null
  readonly after: EffectiveValue | null
}

/** Of a unit that only one of them has, the values that are no defaults. */
export function differences(
  before: readonly EffectiveValue[],
  after: readonly EffectiveValue[],
): Difference[] {
  const earlier = new Map(before.map((one) => [one.path, one]))
  const later = new Map(after.map((one) => [one.path, one]))
  return [...new Set([...earlier.keys(), ...later.keys()])].flatMap((path) => {
    const [was, is] = [earlier.get(path), later.get(path)]
    const isSame = JSON.stringify(was?.value) === JSON.stringify(is?.value)
    if (isSame && was?.fingerprint === is?.fingerprint) return []
    const onlyDefault = (was ?? is)?.origin.kind === 'default' && (was === undefined || is === undefined)
    return onlyDefault ? [] : [{ path, before: was ?? null, after: is ?? null }]
  })
}

interface Leaf {
  readonly place: Place
  /** As the place, with the names of units and channels for their numbers. */
  readonly names: readonly string[]
  readonly value: unknown
}

function* leavesOf(value: unknown, place: Place, names: readonly string[]): Generator<Leaf> {
  if (isPlain(value)) {
    for (const [key, one] of Object.entries(value)) {
      // Its name stands in the path.
      const isName = key === 'name' && typeof place.at(-1) === 'number'
      if (!isName) yield* leavesOf(one, [...place, key], [...names, key])
    }
  } else if (Array.isArray(value) && value.some(isNamed)) {
    for (const [index, one] of value.entries())
      yield* leavesOf(one, [...place, index], [...names, isNamed(one) ? one.name : String(index)])
  } else if (value !== undefined && value !== null) {
    yield { place, names, value }
  }
}

function isNamed(value: unknown): value is { readonly name: string } {
  return isPlain(value) && typeof value.name === 'string'
}

/** Keys that may stand outside of a unit, for all of them. */
const shared = ['restart', 'limits', 'output']

/** @param ordered the keys of its program that orders have set. */
function originOf(
  place: Place,
  { content, overlaid, expanded, lineOf }: Sources,
  ordered: readonly string[],
): Origin {
  const at = place.slice(2).join('.')
  const isOrdered = ordered.some((key) => at === key || at.startsWith(`${key}.`))
  if (place[0] === 'programs' && isOrdered) return { kind: 'order' }
  const own = nearest(content, place)
  if (own !== undefined) return { kind: 'file', line: lineOf(own) ?? null }
  const [list, index, ...keys] = place
  const isOfUnit = typeof index === 'number' && (list === 'forwards' || list === 'programs')
  if (!isOfUnit) return { kind: 'default' }
  const template = valueAt(overlaid, [list, index, 'template'])
  if (typeof template === 'string' && nearest(expanded, place) !== undefined)
    return { kind: 'template', template }
  const general = shared.includes(String(keys[0])) ? nearest(content, keys) : undefined
  return general === undefined ? { kind: 'default' } : { kind: 'file', line: lineOf(general) ?? null }
}

/** The place itself where something stands there, or one above it that is written in short: `input: true`. */
function nearest(content: unknown, place: Place): Place | undefined {
  if (valueAt(content, place) !== undefined) return place
  for (let length = place.length - 1; length > 0; length--) {
    const value = valueAt(content, place.slice(0, length))
    if (value === undefined) continue
    return isPlain(value) || Array.isArray(value) ? undefined : place.slice(0, length)
  }
  return undefined
}

function valueAt(content: unknown, place: Place): unknown {
  return place.reduce<unknown>(
    (value, step) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, step)
        ? (value as Record<PropertyKey, unknown>)[step]
        : undefined,
    content,
  )
}
