/** One place at which two values of JSON differ. */
export interface Difference {
  /** `content[0].text`; empty = the whole. */
  readonly place: string
  /** Undefined = it is missing there. */
  readonly before: unknown
  readonly after: unknown
}

/** Where two values of JSON differ, in the order of their members. */
export function differencesOf(before: unknown, after: unknown, place = ''): readonly Difference[] {
  if (Object.is(before, after)) return []
  const areLists = Array.isArray(before) && Array.isArray(after)
  const areObjects = isObject(before) && isObject(after) && !Array.isArray(before) && !Array.isArray(after)
  if (!areLists && !areObjects) return [{ place, before, after }]
  const [one, other] = [before, after] as readonly Readonly<Record<string, unknown>>[]
  const keys = [...new Set([...Object.keys(one ?? {}), ...Object.keys(other ?? {})])]
  return keys.flatMap((key) => {
    const member = areLists ? `${place}[${key}]` : place === '' ? key : `${place}.${key}`
    return differencesOf(one?.[key], other?.[key], member)
  })
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
