/** A length of time for people, two units at most: `4 s`, `12 min 5 s`, `3 h 7 min`, `5 d 2 h`. */
export function duration(ms: number): string {
  const total = Math.floor(ms / 1000)
  const parts = [
    [Math.floor(total / 86_400), 'd'],
    [Math.floor(total / 3600) % 24, 'h'],
    [Math.floor(total / 60) % 60, 'min'],
    [total % 60, 's'],
  ] as const
  const first = parts.findIndex(([value]) => value > 0)
  if (first < 0) return '0 s'
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ')
}

/** The same where fractions of a second matter: `129 ms`, `2.1 s`, `12 min 5 s`. */
export function preciseDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms)
}

/** For tables, two units without blanks: `4s`, `1m20s`, `3h7m`, `5d2h`. At most 6 characters up to 99 days. */
export function shortDuration(ms: number): string {
  return duration(ms).replaceAll(
    /(\d+) (d|h|min|s) ?/g,
    (_, value: string, unit: string) => value + unit.charAt(0),
  )
}

/** The larger unit alone, for how long ago something was: `12 min`, `3 h`. */
export function roughDuration(ms: number): string {
  return duration(ms).split(' ').slice(0, 2).join(' ')
}
