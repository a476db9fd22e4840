/** A stretch of time, from a time up to but not including another, in ms since 1970. */
export interface Interval {
  readonly from: number
  readonly to: number
}

/** The same time without overlaps, in order. */
export function union(intervals: readonly Interval[]): Interval[] {
  if (intervals.length === 0) return []
  const merged: { from: number; to: number }[] = []
  for (const { from, to } of [...intervals].sort((a, b) => a.from - b.from)) {
    const last = merged.at(-1)
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to)
    else if (to > from) merged.push({ from, to })
  }
  return merged
}

/** What is in the first and not in the second; both in order and without overlaps. */
export function subtract(whole: readonly Interval[], taken: readonly Interval[]): readonly Interval[] {
  if (taken.length === 0) return whole
  const rest: Interval[] = []
  let next = 0
  for (const { from, to } of whole) {
    let at = from
    while (next < taken.length && (taken[next]?.to ?? 0) <= at) next++
    for (let i = next; at < to; i++) {
      const away = taken[i]
      if (away === undefined || away.from >= to) break
      if (away.from > at) rest.push({ from: at, to: away.from })
      at = Math.max(at, away.to)
    }
    if (at < to) rest.push({ from: at, to })
  }
  return rest
}

/** How much of a period the intervals fill, in ms; they must not overlap. */
export function measure(intervals: readonly Interval[], period: Interval): number {
  let sum = 0
  for (const { from, to } of intervals)
    sum += Math.max(0, Math.min(to, period.to) - Math.max(from, period.from))
  return sum
}
